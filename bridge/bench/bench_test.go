package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"cebridge/bridge"
)

// childEnv makes the test binary run the bridge instead of the tests, so that the
// memory of a process with nothing but the bridge in it can be read.
const childEnv = "CEBRIDGE_BENCH_CHILD"

func TestMain(m *testing.M) {
	config := os.Getenv(childEnv)
	if config == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := bridge.RunFile(ctx, config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func TestMemoryStaysFlatWhileATableLoads(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Memory(t.Context(), Options{Rows: 100_000, RowBytes: 400, Dir: t.TempDir()}, func(config string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+config)
		cmd.Stderr = os.Stderr
		return cmd
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows in %.1f s: peak %.0f MiB, %.0f at half the rows", r.Rows, r.Seconds, r.PeakMiB, r.HalfMiB)
	if r.HalfMiB == 0 || r.PeakMiB > 150 || r.PeakMiB > 1.5*r.HalfMiB {
		t.Errorf("the bridge took %.0f MiB, %.0f at half the rows; at most 150 and no growth are promised", r.PeakMiB, r.HalfMiB)
	}
}

func TestEveryCaseHasARateALimitAndTheirRatio(t *testing.T) {
	results, err := Run(t.Context(), Options{Rows: 3000, RowBytes: 400, Messages: 200, InFlight: 8, Latency: time.Millisecond, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Items == 0 || r.Ours <= 0 || r.Limit <= 0 || r.Ratio != r.Ours/r.Limit || r.CPU <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if len(results) < 2 {
		t.Errorf("%d cases", len(results))
	}
}
