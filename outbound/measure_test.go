package outbound

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"
)

func TestMetricsUseTheKnownNamesAndBoundedLabels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter(telemetry.Scope)
		r := newRig(9)
		w := newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Meter: meter})
		stop := start(t, w)
		pass(time.Second)
		r.crm.put(recordID(0), "changed")
		r.crm.put(recordID(90), "short-lived")
		r.crm.remove(recordID(90))
		r.crm.set(refuseTimes(2), nil)
		pass(time.Minute)
		var data metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &data); err != nil {
			t.Fatal(err)
		}
		labels := map[string][]string{}
		sums := map[string]int64{}
		for _, m := range data.ScopeMetrics[0].Metrics {
			note := func(set attribute.Set) {
				for _, kv := range set.ToSlice() {
					labels[m.Name] = append(labels[m.Name], string(kv.Key)+"="+kv.Value.AsString())
				}
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					note(p.Attributes)
					sums[m.Name] += p.Value
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					note(p.Attributes)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					note(p.Attributes)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					note(p.Attributes)
				}
			default:
				t.Errorf("metric %s has data of type %T", m.Name, d)
			}
		}
		for _, name := range []string{telemetry.OutboundEvents, telemetry.OutboundSkipped, telemetry.OutboundFailures,
			telemetry.OutboundLag, telemetry.OutboundSinceSuccess, telemetry.OutboundState, telemetry.CheckpointAge,
			telemetry.LoadRows, telemetry.OutboundPollDuration, telemetry.CommitDuration} {
			if !slices.Contains(labels[name], telemetry.AttrTable+"=account") {
				t.Errorf("metric %s is missing or has no table: %v", name, labels[name])
			}
		}
		allowed := regexp.MustCompile(`^cebridge\.(table=account|change=[a-z]+|reason=[a-z_]+|state=[a-z]+)$`)
		for name, list := range labels {
			for _, l := range list {
				if !allowed.MatchString(l) {
					t.Errorf("metric %s has label %s", name, l)
				}
			}
		}
		if sums[telemetry.OutboundEvents] != 10 || sums[telemetry.OutboundSkipped] != 1 || sums[telemetry.OutboundFailures] != 2 {
			t.Errorf("counted %v, want 10 events, 1 skip, 2 failures", sums)
		}
		stop()
		data = metricdata.ResourceMetrics{}
		if err := reader.Collect(t.Context(), &data); err != nil {
			t.Fatal(err)
		}
		for _, m := range data.ScopeMetrics[0].Metrics {
			if m.Name == telemetry.OutboundLag {
				t.Error("a stopped worker still reports its lag")
			}
		}
	})
}

func refuseTimes(n int) func(string) error {
	return func(string) error {
		if n--; n < 0 {
			return nil
		}
		return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server, Status: 503, Op: "GET accounts secret-key"}
	}
}

func TestEventsCarryTheContextOfTheirPoll(t *testing.T) {
	t.Parallel()
	for _, sampled := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			sampler := sdktrace.NeverSample()
			if sampled {
				sampler = sdktrace.AlwaysSample()
			}
			tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sampler)).Tracer("test")
			r := newRig(3)
			stop := start(t, newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Tracer: tracer}))
			pass(time.Second)
			r.crm.set(refuseTimes(1), nil)
			pass(time.Minute)
			stop()
			var e struct {
				TraceParent string `json:"traceparent"`
			}
			if err := json.Unmarshal(r.stream.snapshot()[0].Data, &e); err != nil {
				t.Fatal(err)
			}
			if !sampled {
				if e.TraceParent != "" {
					t.Errorf("an unsampled poll left traceparent %q", e.TraceParent)
				}
				return
			}
			names := map[string]int{}
			found := false
			for _, s := range recorder.Ended() {
				names[s.Name()]++
				c := s.SpanContext()
				if s.Name() == telemetry.SpanPoll && e.TraceParent == "00-"+c.TraceID().String()+"-"+c.SpanID().String()+"-01" {
					found = true
				}
				if strings.Contains(s.Status().Description, "secret") {
					t.Errorf("span %s tells %q", s.Name(), s.Status().Description)
				}
			}
			if !found {
				t.Errorf("traceparent %q is of no poll", e.TraceParent)
			}
			if names[telemetry.SpanPoll] < 5 || names[telemetry.SpanFetch] != names[telemetry.SpanPoll] || names[telemetry.SpanCommit] == 0 {
				t.Errorf("spans %v", names)
			}
			for _, s := range recorder.Started() {
				if s.EndTime().IsZero() {
					t.Errorf("span %s never ended", s.Name())
				}
			}
		})
	}
}
