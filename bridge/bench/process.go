package bench

import (
	"bufio"
	"bytes"
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
)

// process is a child: the bridge alone, or a raw loop alone.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // why it ended, once ended is closed
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process: %w", err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// stop ends the process in order and joins its fault to err. An orderly end is bounded
// by the bridge's own shutdown_grace; killAfter stands above that.
func (p *process) stop(err *error) {
	const killAfter = time.Minute
	if p.cmd.Process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-p.ended:
		case <-time.After(killAfter):
			*err = errors.Join(*err, errors.New("the process did not end when asked to"), p.cmd.Process.Kill())
			<-p.ended
		}
	}
	<-p.ended
	if p.err != nil && *err == nil {
		*err = fmt.Errorf("the process failed: %w", p.err)
	}
}

// cpu is the processor time that the process has used: the sum of its threads to the
// nanosecond, which Go's runtime never ends, or the kernel's ticks where that is not told.
func (p *process) cpu() time.Duration {
	dir := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	var sum time.Duration
	files, _ := filepath.Glob(filepath.Join(dir, "task", "*", "schedstat"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		first, _, _ := strings.Cut(string(text), " ")
		ns, bad := strconv.ParseInt(first, 10, 64)
		if err == nil && bad == nil {
			sum += time.Duration(ns)
		}
	}
	if sum > 0 {
		return sum
	}
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0
	}
	// The name may hold blanks; behind its parenthesis utime and stime are the 12th and
	// 13th member (proc_pid_stat(5)), in hundredths of a second.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	for _, f := range fields[11:13] {
		ticks, _ := strconv.ParseInt(string(f), 10, 64)
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum
}

// peakMiB is the peak resident size of the process, 0 when it is gone.
func (p *process) peakMiB() float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}

// figures are what a process did from its first item to the last: starting a bridge
// takes longer than many items and is no part of their rate.
type figures struct {
	rate          float64 // items a second
	cpu           float64 // microseconds an item
	peak, halfway float64 // MiB
	seconds       float64 // from the start of the process
}

// look is how often progress is looked at. Ten thousand items pass meanwhile at most.
const look = 10 * time.Millisecond

// follow waits until count says that the process has done n items. Its figures are of
// what it did after the first look that showed an item; where that was more than half of
// them, the rest says too little, and they are of all items since the look before.
func (p *process) follow(ctx context.Context, n int, count func(context.Context) (int, error)) (f figures, err error) {
	type sample struct {
		at  time.Time
		cpu time.Duration
		n   int
	}
	take := func(n int) sample { return sample{time.Now(), p.cpu(), n} }
	start := take(0)
	first := start
	tick := time.NewTicker(look)
	defer tick.Stop()
	for began := false; ; {
		var at sample
		if !began {
			at = take(0) // before the count: what is done meanwhile is measured
		}
		done, err := count(ctx)
		if err != nil {
			return f, err
		}
		switch {
		case began:
		case done == 0:
			first = at
		default:
			if began = true; done <= n/2 {
				at.n = done
				first = at
			}
		}
		if f.halfway == 0 && done >= n/2 {
			f.halfway = p.peakMiB()
		}
		if done >= n {
			break
		}
		select {
		case <-p.ended:
			return f, fmt.Errorf("the process ended after %d of %d items: %w", done, n, errors.Join(p.err, ctx.Err()))
		case <-ctx.Done():
			return f, ctx.Err()
		case <-tick.C:
		}
	}
	last := take(n)
	items := float64(n - first.n)
	f.rate = items / max(last.at.Sub(first.at).Seconds(), 1e-9)
	f.cpu = float64((last.cpu - first.cpu).Nanoseconds()) / 1000 / items
	f.seconds = last.at.Sub(start.at).Seconds()
	f.peak = p.peakMiB()
	return f, nil
}
