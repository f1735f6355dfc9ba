package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/schema"
)

// MemoryResult is how much memory a bridge process took for an initial load.
type MemoryResult struct {
	Rows int `json:"rows"`
	// PeakMiB is the highest resident size; HalfMiB was the peak when half the rows
	// were loaded. Flat memory means that the two hardly differ.
	PeakMiB float64 `json:"peak_mib"`
	HalfMiB float64 `json:"half_mib"`
	Seconds float64 `json:"seconds"`
}

// Memory loads o.Rows rows with a bridge in a process of its own, started by child
// with a configuration file, and returns its peak resident size. Simulator and
// JetStream server stay in this process. Linux only.
func Memory(ctx context.Context, o Options, child func(config string) *exec.Cmd) (res MemoryResult, err error) {
	res.Rows = o.Rows
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "cebridge-memory-"); err != nil {
			return res, fmt.Errorf("make a directory: %w", err)
		}
		defer os.RemoveAll(o.Dir)
	}
	s, err := newStage(ctx, o, "memory", nil)
	if err != nil {
		return res, err
	}
	defer s.close()
	if err := s.accounts(o.Rows, o.RowBytes); err != nil {
		return res, err
	}
	config := filepath.Join(o.Dir, "bridge.yaml")
	text := fmt.Sprintf(`org: %s
webapi: {url: "%s"}
nats: {urls: ["%s"]}
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber, description], poll: 1h, page_size: %d}
`, benchOrg, s.url, s.nats.URL(), pageSize)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return res, err
	}
	cmd := child(config)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return res, fmt.Errorf("start the bridge: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		if stopErr := cmd.Process.Signal(syscall.SIGTERM); stopErr == nil {
			err = errors.Join(err, <-ended)
		}
	}()
	err = s.await(ctx, func() bool {
		select {
		case e := <-ended:
			ended <- e
			return true
		default:
		}
		n := s.eventCount(ctx)
		if n >= o.Rows/2 && res.HalfMiB == 0 {
			res.HalfMiB = peakMiB(cmd.Process.Pid)
		}
		return n >= o.Rows
	})
	res.Seconds = time.Since(start).Seconds()
	res.PeakMiB = peakMiB(cmd.Process.Pid)
	if err == nil && s.eventCount(ctx) < o.Rows {
		err = errors.New("the bridge ended before the load did")
	}
	return res, err
}

// eventCount is the number of records on the stream: one message each in a load,
// the checkpoint apart.
func (s *stage) eventCount(ctx context.Context) int {
	stream, err := s.js.Stream(ctx, schema.Names{Prefix: "crm", Org: benchOrg}.EventStream())
	if err != nil {
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return -1
		}
		return 0
	}
	return max(int(stream.CachedInfo().State.Msgs)-1, 0)
}

// peakMiB reads the peak resident size of a process, 0 when it is gone.
func peakMiB(pid int) float64 { return statusMiB(strconv.Itoa(pid), "VmHWM:") }

// residentMiB is the resident size of this process now.
func residentMiB() float64 { return statusMiB("self", "VmRSS:") }

func statusMiB(process, field string) float64 {
	f, err := os.Open("/proc/" + process + "/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}
