package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"cebridge/bridge/internal/jet"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

// Options of a soak.
type Options struct {
	Seed  uint64
	Kills int
	// Instances is how many bridges run side by side, 0 for one. One of them at a
	// time is killed and started again.
	Instances int
	// Duration bounds the time under load; 0 lets Kills alone decide.
	Duration time.Duration
	// Dir holds the store, the configuration and the bridge's log.
	Dir string
	// Child starts the bridge with that configuration file as a process of its
	// own. Its standard error is set by Run.
	Child func(config string) *exec.Cmd
	// Progress receives a line now and then; nil for none.
	Progress io.Writer
	// Rate is how many records change in a second, 0 for 250.
	Rate int
	// Settle bounds the wait for the bridge to catch up at the end, 0 for a minute.
	Settle time.Duration
}

// Report is what a soak found.
type Report struct {
	Seed       uint64         `json:"seed"`
	Kills      int            `json:"kills"`
	Seconds    float64        `json:"seconds"`
	Writes     int            `json:"writes"`
	Events     int            `json:"events"`
	Stored     int            `json:"stored"` // messages of the event stream, checkpoints and all
	Expired    int            `json:"expired"`
	Aside      int            `json:"aside"`      // events whose data is in the object store
	References int            `json:"references"` // events that state the key of a lookup's target
	Messages   int            `json:"messages"`
	Dead       int            `json:"dead_letters"`
	Faults     map[string]int `json:"faults"`
	Violations []Violation    `json:"violations"`
}

// Run soaks the bridge and checks what happened. It fails when the proof could
// not be made; violations are in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Settle <= 0 {
		o.Settle = time.Minute
	}
	if o.Rate <= 0 {
		o.Rate = 250
	}
	o.Instances = max(o.Instances, 1)
	began := time.Now()
	r := &run{o: o, rand: rand.New(rand.NewPCG(o.Seed, 7))}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		return nil, fmt.Errorf("soak: prepare: %w", err)
	}
	if err := r.underLoad(ctx); err != nil {
		return nil, fmt.Errorf("soak: under load: %w", err)
	}
	h, err := r.settle(ctx)
	if err != nil {
		return nil, fmt.Errorf("soak: settle: %w", err)
	}
	rep := &Report{
		Seed: o.Seed, Kills: r.kills, Seconds: time.Since(began).Seconds(), Writes: len(h.Writes),
		Stored: len(h.Events), Messages: len(h.Sent), Dead: len(h.Dead), Faults: r.faults.Counts(), Violations: Check(h),
	}
	for _, e := range h.Events {
		if e.Kind != Record {
			continue
		}
		rep.Events++
		if e.DataRef != "" {
			rep.Aside++
		}
		if len(e.References) > 0 {
			rep.References++
		}
	}
	for _, w := range h.Writes {
		if w.Mark == Expired {
			rep.Expired++
		}
	}
	return rep, nil
}

type run struct {
	o      Options
	rand   *rand.Rand
	sim    *sim.Server
	faults *sim.Faults
	nats   *jet.Embedded
	conn   *jet.Conn
	js     jetstream.JetStream
	config string
	log    *os.File
	sent   sentList
	kills  int

	names    schema.Names
	recorder *recorder
	writes   []Write // the write log up to entry logged
	logged   int64
}

func (r *run) say(format string, args ...any) {
	if r.o.Progress != nil {
		fmt.Fprintf(r.o.Progress, format+"\n", args...)
	}
}

func (r *run) prepare(ctx context.Context) error {
	r.faults = sim.NewFaults(r.o.Seed)
	var err error
	if r.sim, err = sim.New(sim.Options{RecordWrites: true, Faults: r.faults}); err != nil {
		return err
	}
	url, err := r.sim.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := r.seedRecords(); err != nil {
		return err
	}
	r.nats, err = jet.StartEmbedded(jet.EmbeddedOptions{StoreDir: filepath.Join(r.o.Dir, "jetstream"), Port: -1})
	if err != nil {
		return err
	}
	if r.conn, err = jet.Connect(ctx, jet.Config{Embedded: r.nats, Name: "soak"}); err != nil {
		return err
	}
	if r.js, err = jetstream.New(r.conn.NATS()); err != nil {
		return err
	}
	if err := r.conn.EnsureSourceStream(ctx, jet.ProvisionApply, sourceStream, []string{sourceSubject}, 1); err != nil {
		return err
	}
	r.names = schema.Names{Prefix: "crm", Org: org}
	if r.recorder, err = record(ctx, r.conn, r.names); err != nil {
		return fmt.Errorf("record the event stream: %w", err)
	}
	if r.log, err = os.Create(filepath.Join(r.o.Dir, "bridge.log")); err != nil {
		return err
	}
	r.config = filepath.Join(r.o.Dir, "bridge.yaml")
	return os.WriteFile(r.config, []byte(configText(url, r.nats.URL(), r.o.Rate)), 0o600)
}

// underLoad kills the bridge again and again while records change and messages
// arrive.
func (r *run) underLoad(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	if r.o.Duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, r.o.Duration)
	}
	defer cancel()
	if err := r.addFaults(); err != nil {
		return err
	}
	g, loadCtx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.changeRecords(loadCtx) })
	g.Go(func() error { return r.sendMessages(loadCtx) })
	g.Go(func() error {
		defer cancel()
		return r.killLoop(loadCtx)
	})
	err := g.Wait()
	r.faults.Clear()
	return err
}

// killLoop keeps the instances running and kills one of them, again and again. When it
// ends none is left.
func (r *run) killLoop(ctx context.Context) (err error) {
	alive := make([]*child, r.o.Instances)
	defer func() {
		for _, c := range alive {
			if c != nil {
				err = errors.Join(err, c.kill())
			}
		}
	}()
	for ctx.Err() == nil && (r.o.Kills == 0 || r.kills < r.o.Kills) {
		for i := range alive {
			if alive[i] != nil {
				continue
			}
			if alive[i], err = r.start(); err != nil {
				return err
			}
		}
		victim := r.rand.IntN(len(alive))
		if err := r.live(ctx, alive, alive[victim]); err != nil {
			return err
		}
		if err := alive[victim].kill(); err != nil {
			return err
		}
		alive[victim] = nil
		r.kills++
		if r.kills%10 == 0 {
			r.say("%d kills, %d messages sent", r.kills, r.sent.len())
			// What was deleted before is known to nobody but the bridge's stream.
			if err := r.sim.ExpireTokens("new_region"); err != nil {
				return fmt.Errorf("expire tokens: %w", err)
			}
		}
	}
	return nil
}

// live lets the bridges run for a while; that one of them ends by itself is an error.
func (r *run) live(ctx context.Context, alive []*child, victim *child) error {
	// Mostly long enough to make progress, now and then so short that the kill
	// falls into the start.
	span := 200*time.Millisecond + time.Duration(r.rand.Int64N(int64(2*time.Second)))
	if r.rand.IntN(5) == 0 {
		span = time.Duration(r.rand.Int64N(int64(300 * time.Millisecond)))
	}
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-victim.done:
	}
	for _, c := range alive {
		select {
		case <-c.done:
			return fmt.Errorf("the bridge ended by itself: %w; see %s", c.err, r.log.Name())
		default:
		}
	}
	return nil
}

// child is one life of the bridge.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

func (r *run) start() (*child, error) {
	c := &child{cmd: r.o.Child(r.config), done: make(chan struct{})}
	c.cmd.Stderr = r.log
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the bridge: %w", err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// kill ends the process without giving it a chance to do anything.
func (c *child) kill() error {
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the bridge: %w", err)
	}
	<-c.done
	return nil
}

// stop asks the process to end in its own time.
func (c *child) stop(limit time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the bridge: %w", err)
	}
	select {
	case <-c.done:
		return c.err
	case <-time.After(limit):
		return errors.Join(fmt.Errorf("the bridge did not stop within %s", limit), c.kill())
	}
}

func (r *run) close() {
	if r.conn != nil {
		r.conn.Close()
	}
	if r.nats != nil {
		r.nats.Stop()
	}
	if r.sim != nil {
		r.sim.Close()
	}
	if r.log != nil {
		r.log.Close()
	}
}
