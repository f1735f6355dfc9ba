package inbound

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"cebridge/schema/telemetry"
)

// observe declares the metrics that are read from the route's status: to count what is
// in hand up and down would cost each message more than to look when somebody asks.
func (r *Route) observe(m metric.Meter) error {
	if m == nil {
		return nil
	}
	gauges := []struct {
		name, description string
		value             func(Status) int64
	}{
		{telemetry.InboundParked, "Messages that are parked, as far as this instance knows.",
			func(s Status) int64 { return int64(s.Parked) }},
		{telemetry.InboundStopped, "1 while the route is stopped until a person acts.",
			func(s Status) int64 {
				if s.State == StateStopped {
					return 1
				}
				return 0
			}},
	}
	for _, g := range gauges {
		_, err := m.Int64ObservableGauge(g.name, metric.WithDescription(g.description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(g.value(r.Status()), r.tel.byRoute)
				return nil
			}))
		if err != nil {
			return fmt.Errorf("metric %s: %w", g.name, err)
		}
	}
	_, err := m.Int64ObservableGauge(telemetry.InboundState, metric.WithDescription("1 for the route's present state, 0 for the others."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			present := r.Status().State
			for _, state := range States {
				value := int64(0)
				if state == present {
					value = 1
				}
				o.Observe(value, metric.WithAttributes(r.tel.route, attribute.String(telemetry.AttrState, string(state))))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("metric %s: %w", telemetry.InboundState, err)
	}
	_, err = m.Int64ObservableUpDownCounter(telemetry.InboundInFlight, metric.WithDescription("Messages in hand."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(r.Status().InFlight), r.tel.byRoute)
			return nil
		}))
	if err != nil {
		return fmt.Errorf("metric %s: %w", telemetry.InboundInFlight, err)
	}
	return nil
}
