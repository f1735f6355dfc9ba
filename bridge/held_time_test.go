package bridge

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"cebridge/bridge/sim"
	"cebridge/schema"
)

// inProcess answers requests without a network, so that the bubble's clock is the only one.
type inProcess struct {
	handler http.Handler
	looks   *atomic.Int64
}

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "EntityDefinitions(LogicalName='account')") {
		p.looks.Add(1)
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestAHeldRouteLooksSoonAtFirstAndThenOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := sim.New(sim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		status := func(status schema.KeyStatus) {
			if err := s.AlterTable("account", false, func(t *schema.Table) error {
				t.Key([]string{"accountnumber"}).Status = status
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		status(schema.KeyInProgress)
		cfg, err := ParseConfig("f.yaml", []byte(`{org: contoso, webapi: {url: "http://crm.contoso.example"}, nats: embedded,
  inbound: {routes: {erp: {stream: ERP, start: new, table: account, key: {accountnumber: data.id}, columns: {name: data.name}}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		var looks atomic.Int64
		b, err := New(cfg, WithTransport(inProcess{s.Handler(), &looks}))
		if err != nil {
			t.Fatal(err)
		}
		b.prov = &providers{meter: metricnoop.Meter{}, tracer: tracenoop.Tracer{}}
		if err := b.startWebAPI(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer b.client.Close()
		cat, err := b.client.Metadata(t.Context(), cfg.Tables())
		if err != nil {
			t.Fatal(err)
		}
		programs, waiting, problems := b.checkRoutes(cat)
		if len(problems) > 0 || len(waiting["erp"]) != 1 {
			t.Fatalf("waits for %v: %v", waiting, problems)
		}
		h, err := b.newHold(cfg.Inbound.Routes[0], programs["erp"], waiting["erp"])
		if err != nil {
			t.Fatal(err)
		}
		looks.Store(0)
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { done <- h.wait(ctx) }()
		after := func(d time.Duration, want int64) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := looks.Load(); n != want {
				t.Errorf("%d looks, want %d", n, want)
			}
		}
		after(0, 1)
		after(1100*time.Millisecond, 2)
		after(2*time.Second, 3)
		after(time.Minute, 7) // after 7, 15, 31 and 63 s
		after(time.Hour, 67)
		if detail := h.detail.Load(); detail == nil || !strings.Contains(*detail, "is InProgress") {
			t.Errorf("detail %v", detail)
		}
		status(schema.KeyActive)
		after(time.Minute, 68)
		if err := <-done; err != nil || h.detail.Load() != nil {
			t.Errorf("%v, %v", err, h.detail.Load())
		}
	})
}
