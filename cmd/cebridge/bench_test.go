package main

import (
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// The test binary is what bench starts, as the program would be.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == benchWorker {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestBenchPrintsFiguresLimitsAndWhatIsOwed(t *testing.T) {
	t.Parallel()
	// Whether the promises are kept depends on the machine; --check must say what the
	// figures say.
	code, out, errs := once(t, "bench", "outbound-load", "inbound-batch", "--rows", "6000", "--messages", "100", "--in-flight", "8", "--batch", "20",
		"--latency", "1ms", "--row-bytes", "400", "--output", "json", "--check")
	if code != 0 && code != 4 {
		t.Fatalf("code %d: %s", code, errs)
	}
	var results []struct {
		Name               string
		Ours, Limit, Ratio float64
		CPU                float64 `json:"cpu_us"`
		LimitCPU           float64 `json:"limit_cpu_us"`
		RSS                float64 `json:"rss_mib"`
		Connections        int
		Owed               []struct {
			What string
			Met  bool
		}
	}
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var names []string
	met := true
	for _, r := range results {
		names = append(names, r.Name)
		if r.Limit <= 0 || r.Ratio < 0.99*r.Ours/r.Limit || r.Ratio > 1.01*r.Ours/r.Limit || r.CPU <= 0 || r.LimitCPU <= 0 || r.RSS <= 0 {
			t.Errorf("%+v", r)
		}
		for _, o := range r.Owed {
			met = met && o.Met
		}
	}
	if met != (code == 0) {
		t.Errorf("code %d, the figures say %v", code, met)
	}
	if got := strings.Join(names, " "); got != "outbound-load-400B outbound-load-400B-sync-always inbound-batch20-1ms-8" {
		t.Errorf("cases: %s", got)
	}
	if results[0].Owed[0].What != "ratio" || results[2].Connections == 0 {
		t.Errorf("%+v", results)
	}
}

func TestBenchRefusesACaseItDoesNotHave(t *testing.T) {
	t.Parallel()
	if code, _, errs := once(t, "bench", "sideways"); code != 2 || !strings.Contains(errs, "sideways") {
		t.Errorf("code %d: %s", code, errs)
	}
}
