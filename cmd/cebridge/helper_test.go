package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/bridge/sim"
)

// tap collects what a command writes, from any goroutine, and lets a test wait
// for it.
type tap struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed and replaced by every write
}

func newTap() *tap { return &tap{changed: make(chan struct{})} }

func (w *tap) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.changed)
	w.changed = make(chan struct{})
	return w.buf.Write(p)
}

func (w *tap) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// wait returns the first match of a pattern, once it was written.
func (w *tap) wait(t *testing.T, ctx context.Context, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		w.mu.Lock()
		found, changed := re.Find(w.buf.Bytes()), w.changed
		w.mu.Unlock()
		if found != nil {
			return string(found)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("nothing like %q was written, only:\n%s", pattern, w)
		}
	}
}

// command is one command line under test.
type command struct {
	stdout, stderr *tap
	stop           context.CancelFunc
	code           chan int
}

// patience is how long a test waits for what must come: far longer than it takes on a
// machine that does other things at the same time.
const patience = 4 * time.Minute

// start runs a command line in the background, as long as the test has patience.
func start(t *testing.T, args ...string) (*command, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	c := &command{stdout: newTap(), stderr: newTap(), stop: cancel, code: make(chan int, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.code <- run(ctx, args, c.stdout, c.stderr)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return c, ctx
}

// end waits for the command's own end.
func (c *command) end(t *testing.T) int {
	t.Helper()
	code := <-c.code
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", c.stdout, c.stderr)
	}
	return code
}

// once runs a command line to its end.
func once(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c, _ := start(t, args...)
	code = c.end(t)
	return code, c.stdout.String(), c.stderr.String()
}

// file writes a file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// simulator starts a simulator for the test and returns its URL.
func simulator(t *testing.T) (*sim.Server, string) {
	t.Helper()
	s, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, url
}

// freeAddress is an address that is the test's own until it ends, and on which nobody
// listens yet. Its port is none of those that the system gives to whoever asks for any
// (from 32768 on, see ip(7), ip_local_port_range), and its UDP port is taken as a mark for
// other tests that choose one in this way.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		mark, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			mark.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { mark.Close() })
		return address
	}
	t.Fatal("no port is free")
	panic("unreachable")
}

// contains fails unless all the texts are there.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}
