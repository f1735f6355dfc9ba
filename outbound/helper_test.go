package outbound

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
	"cebridge/schema/event"
)

const testOrg = "11111111-2222-4333-8444-555555555555"

func testNames() schema.Names { return schema.Names{Prefix: "crm", Org: "contoso"} }

func testSettings() event.Settings {
	return event.Settings{Source: "/crm/contoso/account", TypePrefix: "com.contoso.crm", Table: "account", OrgID: testOrg}
}

func testConfig() TableConfig {
	return TableConfig{Query: modelQuery(), Names: testNames(), Settings: testSettings(), OrgID: testOrg}
}

// newTestWorker makes a worker or fails the test.
func newTestWorker(t testing.TB, cfg TableConfig, src Source, log Stream, deps Deps) *Worker {
	t.Helper()
	w, err := NewWorker(cfg, src, log, deps)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// start runs a worker in the bubble; the returned function stops it and waits.
func start(t testing.TB, w *Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// pass lets virtual time go by, then waits until everything is idle.
func pass(d time.Duration) {
	time.Sleep(d) // virtual time: the caller is in a bubble
	synctest.Wait()
}
