package soak

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

// childEnv makes the test binary run the bridge instead of the tests, so that a
// real process can be killed.
const childEnv = "CEBRIDGE_SOAK_CHILD"

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		os.Exit(runChild(config))
	}
	os.Exit(m.Run())
}

func runChild(config string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := bridge.RunFile(ctx, config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestTwentyKillsLoseNothingAndDoubleNothing(t *testing.T) {
	t.Parallel()
	soaked(t, Options{Seed: 20261122, Kills: 20, Instances: 1})
}

func TestTwoInstancesKeepTheOrderOfEachKeyWhileTheyAreKilled(t *testing.T) {
	t.Parallel()
	soaked(t, Options{Seed: 20261123, Kills: 20, Instances: 2})
}

func soaked(t *testing.T, o Options) {
	t.Helper()
	if testing.Short() {
		o.Kills = 4
	}
	o.Dir, o.Progress, o.Child = t.TempDir(), t.Output(), childOf(t)
	o.Settle = 5 * time.Minute // on a busy machine it takes longer to catch up
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills in %.0f s: %d writes, %d events, %d messages, %d dead letters, faults %v",
		report.Kills, report.Seconds, report.Writes, report.Events, report.Messages, report.Dead, report.Faults)
	for _, v := range report.Violations {
		t.Error(v)
	}
	if report.Kills != o.Kills || report.Events == 0 || report.Messages == 0 || report.Dead == 0 {
		t.Errorf("the proof is too thin: %+v", report)
	}
	if !testing.Short() && report.Expired == 0 {
		t.Error("no token ever expired")
	}
	if !testing.Short() && (report.Aside == 0 || report.References == 0) {
		t.Errorf("%d events were put aside, %d stated a reference", report.Aside, report.References)
	}
	if len(report.Faults) == 0 {
		t.Error("no scripted fault ever fired")
	}
}

// childOf starts this test binary as the bridge.
func childOf(t *testing.T) func(config string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(config string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+config)
		return cmd
	}
}
