package outbound

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"cebridge/schema/event"
	"cebridge/schema/telemetry"
)

// measures are one table's instruments.
type measures struct {
	meter   metric.Meter
	table   attribute.KeyValue
	events  metric.Int64Counter
	skipped metric.Int64Counter
	failed  metric.Int64Counter
	fenced  metric.Int64Counter
	resyncs metric.Int64Counter
	late    metric.Int64Counter
	missed  metric.Int64Counter
	claimed metric.Int64Counter
	poll    metric.Float64Histogram
	commit  metric.Float64Histogram

	lag, sinceSuccess, age, tokenAge, tokenLife metric.Float64ObservableGauge
	rows, state                                 metric.Int64ObservableGauge
}

func newMeasures(meter metric.Meter, table string) (*measures, error) {
	m := &measures{meter: meter, table: attribute.String(telemetry.AttrTable, table)}
	var errs [17]error
	m.events, errs[0] = meter.Int64Counter(telemetry.OutboundEvents, metric.WithDescription("Events published."))
	m.skipped, errs[1] = meter.Int64Counter(telemetry.OutboundSkipped, metric.WithDescription("Rows that became no event."))
	m.failed, errs[2] = meter.Int64Counter(telemetry.OutboundFailures, metric.WithDescription("Failed polls and commits."))
	m.fenced, errs[3] = meter.Int64Counter(telemetry.OutboundFenced, metric.WithDescription("Times another writer was first."))
	m.poll, errs[4] = meter.Float64Histogram(telemetry.OutboundPollDuration, metric.WithUnit("s"),
		metric.WithDescription("One round from a delta link to the next."))
	m.commit, errs[5] = meter.Float64Histogram(telemetry.CommitDuration, metric.WithUnit("s"),
		metric.WithDescription("One atomic batch, with everything it took to settle it."))
	m.lag, errs[6] = meter.Float64ObservableGauge(telemetry.OutboundLag, metric.WithUnit("s"),
		metric.WithDescription("Now minus the start of the last fully published poll."))
	m.sinceSuccess, errs[7] = meter.Float64ObservableGauge(telemetry.OutboundSinceSuccess, metric.WithUnit("s"),
		metric.WithDescription("Time since a poll last succeeded."))
	m.age, errs[8] = meter.Float64ObservableGauge(telemetry.CheckpointAge, metric.WithUnit("s"),
		metric.WithDescription("Age of the stored checkpoint."))
	m.rows, errs[9] = meter.Int64ObservableGauge(telemetry.LoadRows,
		metric.WithDescription("Rows that the initial load has settled."))
	m.state, errs[10] = meter.Int64ObservableGauge(telemetry.OutboundState,
		metric.WithDescription("1 for the table's present state, 0 for the others."))
	m.resyncs, errs[11] = meter.Int64Counter(telemetry.OutboundResyncs, metric.WithDescription("Resyncs begun."))
	m.late, errs[12] = meter.Int64Counter(telemetry.OutboundLateCommits,
		metric.WithDescription("Events that only the overlap found: the source committed them late."))
	m.claimed, errs[15] = meter.Int64Counter(telemetry.OutboundClaimed,
		metric.WithDescription("Events whose data was put into the object store."))
	m.tokenAge, errs[13] = meter.Float64ObservableGauge(telemetry.OutboundTokenAge, metric.WithUnit("s"),
		metric.WithDescription("Age of the delta link."))
	m.tokenLife, errs[14] = meter.Float64ObservableGauge(telemetry.OutboundTokenLife, metric.WithUnit("s"),
		metric.WithDescription("How long the organization lets a delta link be used; 0 when unknown."))
	m.missed, errs[16] = meter.Int64Counter(telemetry.OutboundMissed,
		metric.WithDescription("Events of rows that a round of several pages had skipped, by what found them."))
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("make the instruments of table %s: %w", table, err)
		}
	}
	return m, nil
}

// expose reports the gauges from status until the returned function is called.
func (m *measures) expose(status func() Status) (func(), error) {
	label := metric.WithAttributeSet(attribute.NewSet(m.table))
	reg, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := status()
		o.ObserveFloat64(m.lag, s.Lag.Seconds(), label)
		o.ObserveFloat64(m.sinceSuccess, s.SinceSuccess.Seconds(), label)
		o.ObserveFloat64(m.age, s.CheckpointAge.Seconds(), label)
		o.ObserveFloat64(m.tokenAge, s.TokenAge.Seconds(), label)
		o.ObserveFloat64(m.tokenLife, s.TokenLife.Seconds(), label)
		o.ObserveInt64(m.rows, s.Rows, label)
		for _, st := range States {
			v := int64(0)
			if st == s.State {
				v = 1
			}
			o.ObserveInt64(m.state, v, metric.WithAttributes(m.table, attribute.String(telemetry.AttrState, string(st))))
		}
		return nil
	}, m.lag, m.sinceSuccess, m.age, m.tokenAge, m.tokenLife, m.rows, m.state)
	if err != nil {
		return nil, fmt.Errorf("expose the table's gauges: %w", err)
	}
	return func() { _ = reg.Unregister() }, nil
}

func (m *measures) published(ctx context.Context, c event.Change, n uint64) {
	m.events.Add(ctx, int64(n), metric.WithAttributes(m.table, attribute.String(telemetry.AttrChange, string(c))))
}

func (m *measures) skip(ctx context.Context, reason string, n uint64) {
	m.skipped.Add(ctx, int64(n), metric.WithAttributes(m.table, attribute.String(telemetry.AttrReason, reason)))
}

func (m *measures) failure(ctx context.Context, reason string) {
	m.failed.Add(ctx, 1, metric.WithAttributes(m.table, attribute.String(telemetry.AttrReason, reason)))
}

func (m *measures) resync(ctx context.Context, reason string) {
	m.resyncs.Add(ctx, 1, metric.WithAttributes(m.table, attribute.String(telemetry.AttrReason, reason)))
}

func (m *measures) claim(ctx context.Context) { m.claimed.Add(ctx, 1, metric.WithAttributes(m.table)) }

func (m *measures) lateCommits(ctx context.Context, n int64) {
	m.late.Add(ctx, n, metric.WithAttributes(m.table))
}

func (m *measures) missedRows(ctx context.Context, by string, n int64) {
	m.missed.Add(ctx, n, metric.WithAttributes(m.table, attribute.String(telemetry.AttrReason, by)))
}

func (m *measures) took(ctx context.Context, h metric.Float64Histogram, began time.Time) {
	h.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(m.table))
}

// traceParent renders the span as the creation context of events, in the W3C
// form; "" when the span is not sampled, since it then leads nowhere.
func traceParent(span trace.Span) (parent, state string) {
	c := span.SpanContext()
	if !c.IsValid() || !c.IsSampled() {
		return "", ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-01", c.TraceState().String()
}
