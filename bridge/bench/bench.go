package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options of a run.
type Options struct {
	// Rows of the outbound cases, Messages of the inbound ones, Rings of the doorbell.
	Rows     int
	Messages int
	Rings    int
	// RowBytes is the approximate size of one row as the Web API sends it; 0: the
	// sizes of the table in the package's documentation.
	RowBytes int
	// InFlight is the number of requests running at once; Latency is how long the
	// simulator takes for each. Without them the inbound cases are those of the table.
	InFlight int
	Latency  time.Duration
	// Batch is the number of writes in one $batch of the inbound batch case.
	Batch int
	// Idle is how long idle tables are watched, Poll the time between two looks at one.
	Idle time.Duration
	Poll time.Duration
	// Only holds beginnings of the names of cases; without any all are measured.
	Only []string
	// Dir holds the stores; "" takes a temporary directory.
	Dir string
	// Profile is a directory for processor profiles of the bridge, one file a case;
	// "" for none. Profiling costs what is measured some of its time.
	Profile string
	// Progress receives a line per case; nil for none.
	Progress io.Writer
	// Child makes the command that calls Work with the given arguments, in a process
	// of its own.
	Child func(args ...string) *exec.Cmd
}

// The directions, as Only may name them.
const (
	Inbound  = "inbound"
	Outbound = "outbound"
)

// Result is one case.
type Result struct {
	Name string `json:"name"`
	// Unit of Ours and Limit: items per second, milliseconds, or else.
	Unit  string  `json:"unit"`
	Items int     `json:"items"`
	Ours  float64 `json:"ours"`
	Limit float64 `json:"limit"`
	// Ratio says how near the limit is: ours / limit of a rate, limit / ours of a time
	// or a cost, so that 1 is the raw loop and less is worse.
	Ratio float64 `json:"ratio"`
	// CPU is the processor time per item in microseconds of the process with nothing
	// but the bridge in it, LimitCPU that of the raw loop's.
	CPU      float64 `json:"cpu_us,omitempty"`
	LimitCPU float64 `json:"limit_cpu_us,omitempty"`
	// RSS is the peak resident size of those processes; HalfRSS is what the bridge's
	// was when half the items were done: flat memory means that the two hardly differ.
	RSS      float64 `json:"rss_mib,omitempty"`
	HalfRSS  float64 `json:"half_rss_mib,omitempty"`
	LimitRSS float64 `json:"limit_rss_mib,omitempty"`
	// Connections is how many the simulator accepted (inbound only).
	Connections      int64 `json:"connections,omitempty"`
	LimitConnections int64 `json:"limit_connections,omitempty"`
	// Owed is what is promised of the case.
	Owed []Owed `json:"owed"`
}

// kase is one case; it may give several results.
type kase struct {
	name string
	run  func(context.Context, Options) ([]Result, error)
}

func (o Options) wants(name string) bool {
	for _, begin := range o.Only {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return len(o.Only) == 0
}

// Names are the names of the cases that the options ask for.
func Names(o Options) (names []string) {
	for _, c := range cases(o) {
		names = append(names, c.name)
	}
	return names
}

func cases(o Options) (list []kase) {
	all := append(outboundCases(o), doorbellCase(), idleCase())
	for _, c := range append(all, inboundCases(o)...) {
		if o.wants(c.name) {
			list = append(list, c)
		}
	}
	return list
}

// Run measures every case.
func Run(ctx context.Context, o Options) (results []Result, err error) {
	if o.Child == nil {
		return nil, errors.New("bench: no way to start a process is given")
	}
	list := cases(o)
	if len(list) == 0 {
		return nil, fmt.Errorf("bench: no case begins with %s", strings.Join(o.Only, " or "))
	}
	done, err := o.prepare()
	if err != nil {
		return nil, err
	}
	defer done()
	for i, c := range list {
		o := o
		o.Dir = filepath.Join(o.Dir, strconv.Itoa(i))
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return results, fmt.Errorf("bench %s: %w", c.name, err)
		}
		rs, err := c.run(ctx, o)
		if err != nil {
			return results, fmt.Errorf("bench %s: %w", c.name, err)
		}
		for j := range rs {
			rs[j].Owed = owed(rs[j])
			fmt.Fprintln(o.Progress, rs[j])
		}
		results = append(results, rs...)
		if err := os.RemoveAll(o.Dir); err != nil {
			return results, fmt.Errorf("bench %s: %w", c.name, err)
		}
	}
	return results, nil
}

// prepare fills in what is missing; the returned function removes it again.
func (o *Options) prepare() (func(), error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Dir != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "cebridge-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: make a directory: %w", err)
	}
	o.Dir = dir
	return func() { os.RemoveAll(dir) }, nil
}

// String is a line for people.
func (r Result) String() string {
	return fmt.Sprintf("%s: ours %.4g, limit %.4g %s, ratio %.2f", r.Name, r.Ours, r.Limit, r.Unit, r.Ratio)
}
