package inbound

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"
)

func TestMetricsTellOfMessagesInHandAndParkedAndOfAStoppedRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		before := func(_ context.Context, key string, _ uint64, _ int) error {
			switch key {
			case "missing":
				return failing(outcome.Park, outcome.MissingReference)
			case "slow":
				return failing(outcome.Retry, outcome.Server)
			case "stop":
				return failing(outcome.Stop, outcome.Forbidden)
			}
			return nil
		}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{before: before}, &outbox{}, &lot{})
		if err := h.route.observe(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter(telemetry.Scope)); err != nil {
			t.Fatal(err)
		}
		tells := func(when string, inHand, parked, stopped int64) {
			t.Helper()
			var all metricdata.ResourceMetrics
			if err := reader.Collect(context.Background(), &all); err != nil {
				t.Fatal(err)
			}
			got := map[string]int64{}
			for _, m := range all.ScopeMetrics[0].Metrics {
				if m.Name == telemetry.InboundState {
					oneState(t, m.Data.(metricdata.Gauge[int64]), h.route.Status().State)
					continue
				}
				switch d := m.Data.(type) {
				case metricdata.Gauge[int64]:
					got[m.Name] = d.DataPoints[0].Value
				case metricdata.Sum[int64]:
					got[m.Name] = d.DataPoints[0].Value
				}
			}
			want := map[string]int64{telemetry.InboundInFlight: inHand, telemetry.InboundParked: parked, telemetry.InboundStopped: stopped}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
		h.start()
		h.b.publish("good")
		h.after(time.Second)
		tells("at first", 0, 0, 0)
		h.b.publish("slow")
		h.b.publish("missing")
		h.b.publish("missing")
		h.after(time.Minute)
		tells("with two parked and one that is tried again", 1, 2, 0)
		h.b.publish("stop")
		h.after(time.Minute)
		tells("stopped", 0, 0, 1)
	})
}

// oneState checks that the metric names every state, and is 1 for the present one alone.
func oneState(t *testing.T, g metricdata.Gauge[int64], present State) {
	t.Helper()
	got, want := map[string]int64{}, map[string]int64{}
	for _, p := range g.DataPoints {
		state, _ := p.Attributes.Value(telemetry.AttrState)
		got[state.AsString()] = p.Value
	}
	for _, state := range States {
		want[string(state)] = 0
	}
	want[string(present)] = 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
