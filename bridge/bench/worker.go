package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"github.com/nats-io/nats.go"

	"cebridge/bridge"
)

// Work is what a child of a run does: args are those that Options.Child was given.
//
//	bridge CONFIG [PROFILE]   a bridge, as "run" would run it
//	raw JOB                   a raw loop
//
// It ends with ctx.
func Work(ctx context.Context, log *slog.Logger, args ...string) error {
	switch {
	case len(args) == 2 && args[0] == "raw":
		j, err := readJob(args[1])
		if err == nil {
			err = j.work(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("raw loop: %w", err)
		}
		return nil
	case len(args) == 2 && args[0] == "bridge":
		return bridge.RunFile(ctx, args[1], bridge.WithLogger(log))
	case len(args) == 3 && args[0] == "bridge":
		return profiled(args[2], func() error {
			return bridge.RunFile(ctx, args[1], bridge.WithLogger(log))
		})
	}
	return fmt.Errorf("bench: no such work: %q", args)
}

// profiled runs fn and keeps a processor profile of it.
func profiled(file string, fn func() error) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return fn()
}

// job is the work of a raw loop.
type job struct {
	Kind string // of the kinds below
	NATS string
	URL  string // the simulator
	// Items to do: rows, messages.
	Items int
	// Links are where pages begin, idle tables are looked at, or the doorbell reads.
	Links []string
	// Header and Data are those of one event that the bridge made, for the raw loop to
	// store as many like it.
	Header nats.Header
	Data   []byte
	// How PATCHes are sent.
	CA              string
	InFlight, Batch int
	HTTP2           bool
	// Every is the time between two looks at an idle table.
	Every time.Duration
}

// The kinds of jobs.
const (
	jobPages  = "pages"
	jobWrites = "writes"
	jobRings  = "rings"
	jobIdle   = "idle"
)

func (j job) write(file string) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func readJob(file string) (j job, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return j, err
	}
	return j, json.Unmarshal(text, &j)
}

// work does the job, then waits for ctx to end: whoever started the process reads its
// figures until then.
func (j job) work(ctx context.Context) (err error) {
	nc, err := nats.Connect(j.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	switch j.Kind {
	case jobPages:
		err = j.pages(ctx, nc)
	case jobWrites:
		err = j.writes(ctx, nc)
	case jobRings:
		err = j.rings(ctx, nc)
	case jobIdle:
		err = j.idle(ctx)
	default:
		err = fmt.Errorf("no such job: %q", j.Kind)
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
