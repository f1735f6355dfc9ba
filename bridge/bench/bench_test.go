package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes the test binary work as a child instead of running the tests.
const childEnv = "CEBRIDGE_BENCH_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Work(ctx, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), os.Args[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T) func(...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command(self, args...)
		cmd.Env = append(os.Environ(), childEnv+"=1")
		cmd.Stderr = os.Stderr
		return cmd
	}
}

func TestMemoryStaysFlatWhileATableLoads(t *testing.T) {
	r, err := Memory(t.Context(), Options{Rows: 100_000, RowBytes: 400, Dir: t.TempDir(), Child: child(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows in %.1f s: peak %.0f MiB, %.0f at half the rows", r.Rows, r.Seconds, r.PeakMiB, r.HalfMiB)
	if r.HalfMiB == 0 || r.PeakMiB > 150 || r.PeakMiB > 1.5*r.HalfMiB {
		t.Errorf("the bridge took %.0f MiB, %.0f at half the rows; at most 150 and no growth are promised", r.PeakMiB, r.HalfMiB)
	}
}

func TestEveryCaseHasAFigureALimitAndTheirRatio(t *testing.T) {
	o := Options{
		Rows: 12_000, RowBytes: 400, Messages: 300, InFlight: 8, Batch: 10, Latency: time.Millisecond,
		Rings: 5, Idle: time.Second, Poll: 200 * time.Millisecond, Dir: t.TempDir(), Profile: t.TempDir(), Child: child(t),
	}
	results, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results {
		got = append(got, r.Name)
		if r.Items == 0 || r.Unit == "" || r.Ours <= 0 || r.Ratio <= 0 || r.RSS <= 0 && r.Name != "idle-requests-50-tables" {
			t.Errorf("%+v", r)
		}
		rate := strings.HasSuffix(r.Unit, "/s")
		if rate && (r.Ratio != r.Ours/r.Limit || r.CPU <= 0 || r.LimitCPU <= 0) || !rate && r.Ratio != r.Limit/r.Ours {
			t.Errorf("%+v", r)
		}
		if in := strings.HasPrefix(r.Name, Inbound); in != (r.Connections > 0) || in != (r.LimitConnections > 0) {
			t.Errorf("%s: %d connections, %d of the raw loop", r.Name, r.Connections, r.LimitConnections)
		}
		if strings.Contains(r.Name, "tls2") && r.Connections > 8 {
			t.Errorf("HTTP/2 took %d connections for 8 requests at once", r.Connections)
		}
	}
	want := []string{
		"outbound-load-400B", "outbound-load-400B-sync-always", "outbound-delta-400B",
		"doorbell-p50", "doorbell-p99", "idle-cpu-50-tables", "idle-requests-50-tables",
		"inbound-patch-1ms-8", "inbound-patch-tls1-1ms-8", "inbound-patch-tls2-1ms-8", "inbound-batch10-1ms-8",
	}
	if !slices.Equal(got, want) {
		t.Errorf("cases: %q\nwant   %q", got, want)
	}
	for _, name := range Names(o) {
		if st, err := os.Stat(o.Profile + "/" + name + ".pprof"); err != nil || st.Size() == 0 {
			t.Errorf("no profile of %s: %v", name, err)
		}
	}
}

func TestAProcessThatEndsEarlyIsAFault(t *testing.T) {
	o := Options{Rows: 10, RowBytes: 400, Only: []string{"outbound-load"}, Dir: t.TempDir(), Child: func(...string) *exec.Cmd { return exec.Command("false") }}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "outbound-load-400B: the process ended after 0 of 10 items") {
		t.Errorf("got %v", err)
	}
}

func TestACaseThatDoesNotExistIsAFault(t *testing.T) {
	o := Options{Only: []string{"sideways"}, Child: child(t)}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "sideways") {
		t.Errorf("got %v", err)
	}
}
