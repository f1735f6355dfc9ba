package inbound

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestSpansAreLinkedToTheEventsOwnTrace(t *testing.T) {
	cases := map[string]*Message{
		"attribute of a structured event": {
			Header: map[string][]string{"Content-Type": {"application/cloudevents+json"}},
			Data:   []byte(`{"specversion":"1.0","id":"7","source":"/erp","type":"t","traceparent":"` + parent + `","data":{}}`),
		},
		"header": {
			Header: map[string][]string{"Content-Type": {"application/cloudevents+json"}, "traceparent": {parent}},
			Data:   []byte(`{"specversion":"1.0","id":"7","source":"/erp","type":"t","data":{}}`),
		},
		"header of a message that is no event": {Header: map[string][]string{"traceparent": {parent}}},
	}
	for name, m := range cases {
		t.Run(name, func(t *testing.T) {
			spans := tracetest.NewInMemoryExporter()
			tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
			r, err := NewRoute(RouteConfig{Name: "erp"}, nil, keyMapper{}, nil, nil, Deps{Tracer: tp.Tracer(telemetry.Scope)})
			if err != nil {
				t.Fatal(err)
			}
			m.Stream = "ERP"
			p, err := r.prepare(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			r.tracing(m, p)
			got := spans.GetSpans()[0]
			if len(got.Links) != 1 || got.Links[0].SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
				t.Errorf("links: %+v", got.Links)
			}
			if got.Name != telemetry.SpanProcess || got.SpanKind != trace.SpanKindConsumer || got.Parent.IsValid() {
				t.Errorf("%s %s parent %v", got.Name, got.SpanKind, got.Parent)
			}
		})
	}
}

func TestMetricsAndSpansTellTheResultAndNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter(telemetry.Scope)
		spans := tracetest.NewInMemoryExporter()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer(telemetry.Scope)
		h := newBench(t, testConfig())
		var err error
		if h.route.tel, err = newInstruments(meter, tracer, "erp"); err != nil {
			t.Fatal(err)
		}
		if err := h.route.observe(meter); err != nil {
			t.Fatal(err)
		}
		h.crm.before = func(_ context.Context, key string, _ uint64, call int) error {
			switch {
			case key == "SECRET-bad":
				return failing(outcome.Reject, outcome.Plugin)
			case key == "SECRET-late" && call < 4:
				return failing(outcome.Retry, outcome.Server)
			}
			return nil
		}
		h.start()
		for _, key := range []string{"SECRET-late", "SECRET-bad", "SECRET-good"} {
			h.b.publish(key)
			h.after(5 * time.Second)
		}
		h.b.publishRaw(`{"key":"SECRET","skip":true}`)
		h.after(20 * time.Second)
		h.close()

		var all metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, m := range all.ScopeMetrics[0].Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					got[m.Name+labels(p.Attributes)] = p.Value
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					got[m.Name+labels(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					got[m.Name+labels(p.Attributes)] = int64(p.Count)
				}
			}
		}
		want := map[string]int64{
			"cebridge.inbound.events written erp":      2,
			"cebridge.inbound.events rejected erp":     1,
			"cebridge.inbound.events unmatched erp":    1,
			"messaging.process.duration written erp":   2,
			"messaging.process.duration rejected erp":  1,
			"messaging.process.duration unmatched erp": 1,
			"cebridge.inbound.retries server erp":      3,
			"cebridge.inbound.dead_letters plugin erp": 1,
			"cebridge.inbound.in_flight erp":           0,
			"cebridge.inbound.pending erp":             0,
			"cebridge.inbound.parked erp":              0,
			"cebridge.inbound.stopped erp":             0,
		}
		for _, state := range States {
			want["cebridge.inbound.state erp "+string(state)] = 0
		}
		want["cebridge.inbound.state erp idle"] = 1 // it has ended
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		failed := 0
		for _, s := range spans.GetSpans() {
			for _, a := range s.Attributes {
				if strings.Contains(a.Value.String(), "SECRET") {
					t.Errorf("a key in a span: %v", a)
				}
			}
			if s.Status.Code == codes.Error {
				failed++
			}
		}
		if failed != 1 || len(spans.GetSpans()) != 4 {
			t.Errorf("%d spans, %d of them failed", len(spans.GetSpans()), failed)
		}
		if strings.Contains(h.logs.String(), "SECRET") {
			t.Error("a key in the log")
		}
	})
}

func labels(set attribute.Set) string {
	s := ""
	for _, kv := range set.ToSlice() {
		s += " " + kv.Value.String()
	}
	return s
}

func TestFailuresThatRepeatAreCountedInTheLogAndNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Receipts = "erp.receipts"
		h := newBench(t, cfg)
		h.out.fail = func(int) error { return errors.New("no stream takes the subject") }
		for range 20 {
			h.b.publish("A")
			h.b.publish("B")
			h.b.publish("C")
		}
		h.start()
		h.after(25 * time.Second)
		lines := strings.Count(h.logs.String(), "failed, and tried again")
		// The times of retries are drawn: the third line may come after the end.
		if lines < 2 || lines > 3 || !strings.Contains(h.logs.String(), "more_since_last=") {
			t.Errorf("%d lines in 25 s:\n%s", lines, h.logs)
		}
	})
}
