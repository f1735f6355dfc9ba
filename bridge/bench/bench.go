package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/internal/jet"
	"cebridge/bridge/sim"
)

// Options of a run.
type Options struct {
	// Rows of the outbound case, Messages of the inbound one.
	Rows     int
	Messages int
	// RowBytes is the approximate size of one row as the Web API sends it.
	RowBytes int
	// InFlight is the number of requests running at once; Latency is how long the
	// simulator takes for each. Without them the inbound cases are those of the
	// table in the package's documentation.
	InFlight int
	Latency  time.Duration
	// Batch is the number of writes in one $batch of the inbound batch case.
	Batch int
	// Only is Inbound or Outbound; "" measures both.
	Only string
	// Dir holds the stores; "" takes a temporary directory.
	Dir string
	// Progress receives a line per case; nil for none.
	Progress io.Writer
	Logger   *slog.Logger
}

// Result is one case: rates are items per second.
type Result struct {
	Name  string  `json:"name"`
	Items int     `json:"items"`
	Ours  float64 `json:"ours"`
	Limit float64 `json:"limit"`
	Ratio float64 `json:"ratio"`
	// CPU is the processor time per item in microseconds while the bridge ran, and
	// LimitCPU while the raw loop did; both include the simulator and, for CPU and
	// the outbound limit, the JetStream server, which run in the same process.
	CPU      float64 `json:"cpu_us_per_item"`
	LimitCPU float64 `json:"limit_cpu_us_per_item"`
	// Connections is how many the simulator accepted from the bridge (inbound only).
	Connections int64 `json:"connections,omitempty"`
	// RSS is the resident size of the process after the bridge ran, servers included.
	RSS float64 `json:"rss_mib"`
}

// The directions.
const (
	Inbound  = "inbound"
	Outbound = "outbound"
)

// kase is one case.
type kase func(context.Context, Options) (Result, error)

func cases(o Options) []kase {
	var list []kase
	if o.Only != Inbound {
		list = append(list, outboundLoad)
	}
	if o.Only != Outbound {
		list = append(list, inboundCases(o)...)
	}
	return list
}

// Run measures every case.
func Run(ctx context.Context, o Options) (results []Result, err error) {
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "cebridge-bench-")
		if err != nil {
			return nil, fmt.Errorf("make a directory: %w", err)
		}
		defer os.RemoveAll(dir)
		o.Dir = dir
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	for i, c := range cases(o) {
		o := o
		o.Dir = filepath.Join(o.Dir, strconv.Itoa(i))
		r, err := c(ctx, o)
		if err != nil {
			return results, err
		}
		r.Ratio = r.Ours / r.Limit
		fmt.Fprintf(o.Progress, "%s: ours %.0f/s, limit %.0f/s, ratio %.2f, %.0f us/item\n", r.Name, r.Ours, r.Limit, r.Ratio, r.CPU)
		results = append(results, r)
	}
	return results, nil
}

// stage is a simulator and a JetStream server.
type stage struct {
	sim  *sim.Server
	url  string
	nats *jet.Embedded
	conn *jet.Conn
	js   jetstream.JetStream
}

func newStage(ctx context.Context, o Options, name string, faults *sim.Faults) (s *stage, err error) {
	s = &stage{}
	defer func() {
		if err != nil {
			s.close()
			err = fmt.Errorf("bench %s: %w", name, err)
		}
	}()
	if s.sim, err = sim.New(sim.Options{Faults: faults}); err != nil {
		return s, err
	}
	if s.url, err = s.sim.Start("127.0.0.1:0"); err != nil {
		return s, err
	}
	if s.nats, err = jet.StartEmbedded(jet.EmbeddedOptions{StoreDir: filepath.Join(o.Dir, name), Port: -1}); err != nil {
		return s, err
	}
	if s.conn, err = jet.Connect(ctx, jet.Config{URLs: []string{s.nats.URL()}, Name: "bench"}); err != nil {
		return s, err
	}
	s.js, err = jetstream.New(s.conn.NATS())
	return s, err
}

func (s *stage) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.nats != nil {
		s.nats.Stop()
	}
	if s.sim != nil {
		s.sim.Close()
	}
}

// cpuTime is the processor time this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs fn and returns items per second and processor time per item.
func measure(items int, fn func() error) (rate, cpu float64, err error) {
	cpu0, start := cpuTime(), time.Now()
	if err := fn(); err != nil {
		return 0, 0, err
	}
	elapsed := time.Since(start)
	return float64(items) / elapsed.Seconds(), float64((cpuTime() - cpu0).Nanoseconds()) / 1000 / float64(items), nil
}
