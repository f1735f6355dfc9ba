package inbound

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"cebridge/schema"
	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"
)

// repeated is the result of a message that was settled before and only
// acknowledged again.
const repeated = "repeated"

// instruments are a route's metrics and tracer.
type instruments struct {
	route    attribute.KeyValue
	tracer   trace.Tracer
	events   metric.Int64Counter
	retries  metric.Int64Counter
	letters  metric.Int64Counter
	pending  metric.Int64Gauge
	duration metric.Float64Histogram
	byResult map[string]options
	byRoute  metric.MeasurementOption
}

// options are the labels of a measurement, as a slice: one that is made for each call is
// garbage of each call.
type options struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func newInstruments(m metric.Meter, t trace.Tracer, route string) (*instruments, error) {
	if m == nil {
		m = metricnoop.NewMeterProvider().Meter(telemetry.Scope)
	}
	if t == nil {
		t = tracenoop.NewTracerProvider().Tracer(telemetry.Scope)
	}
	i := &instruments{
		route: attribute.String(telemetry.AttrRoute, route), tracer: t,
		byResult: make(map[string]options),
	}
	i.byRoute = metric.WithAttributeSet(attribute.NewSet(i.route))
	for _, result := range []string{Written, Superseded, Rejected, Unmatching, Shadowed, Waiting, repeated} {
		labels := metric.WithAttributeSet(attribute.NewSet(i.route, attribute.String(telemetry.AttrResult, result)))
		i.byResult[result] = options{[]metric.AddOption{labels}, []metric.RecordOption{labels}}
	}
	var errs [5]error
	i.events, errs[0] = m.Int64Counter(telemetry.InboundEvents, metric.WithDescription("Settled messages."))
	i.retries, errs[1] = m.Int64Counter(telemetry.InboundRetries, metric.WithDescription("Attempts that are to be repeated."))
	i.letters, errs[2] = m.Int64Counter(telemetry.DeadLetters, metric.WithDescription("Dead letters stored."))
	i.pending, errs[3] = m.Int64Gauge(telemetry.ConsumerPending, metric.WithDescription("Messages not delivered yet."))
	i.duration, errs[4] = m.Float64Histogram(telemetry.ProcessDuration, metric.WithUnit("s"),
		metric.WithDescription("Time from the delivery of a message to its settlement."))
	return i, errors.Join(errs[:]...)
}

func (i *instruments) reason(r outcome.Reason) metric.MeasurementOption {
	return metric.WithAttributes(i.route, attribute.String(telemetry.AttrReason, string(r)))
}

// settled counts a message whose acknowledgement is confirmed, and drops what
// need not be remembered of it.
func (r *Route) settled(e *entry) {
	ctx, fate := context.Background(), e.progress.settlement
	result := fate.outcome
	if fate.acked {
		result = repeated
	}
	labels := r.tel.byResult[result]
	r.tel.events.Add(ctx, 1, labels.add...)
	r.tel.duration.Record(ctx, time.Since(e.arrived).Seconds(), labels.record...)
	if result == repeated {
		return
	}
	if fate.lettered {
		r.tel.letters.Add(ctx, 1, r.tel.reason(fate.err.Reason))
		r.deps.Logger.Warn("message rejected", "sequence", e.message.Sequence,
			logReason(e, fate.err), "attempts", e.progress.attempts)
	}
	if fate.outcome == Shadowed {
		r.logShadow(e, fate)
	}
	r.report.mu.Lock()
	r.report.results[fate.outcome]++
	r.report.mu.Unlock()
	if r.deps.Observe != nil && fate.outcome != Waiting {
		seen := Settled{
			Message: e.message, Writes: e.writes, Result: fate.result, Results: fate.results, Err: fate.err, Outcome: fate.outcome,
		}
		if len(e.writes) > 0 {
			seen.Write = e.writes[0]
		}
		r.deps.Observe(seen)
	}
	*fate = settlement{outcome: fate.outcome, acked: true}
	e.progress.retry = retryState{}
}

func (r *Route) logShadow(e *entry, fate *settlement) {
	if fate.err != nil {
		r.deps.Logger.Info("shadow: the message would be rejected", "sequence", e.message.Sequence, logReason(e, fate.err))
		return
	}
	if len(e.writes) == 0 {
		return
	}
	w := e.writes[0]
	r.deps.Logger.Info("shadow: the message would be written", "sequence", e.message.Sequence,
		"operation", w.Operation, "table", w.Table, "writes", len(e.writes))
}

// arrived tells that the record of an accepted write is there.
func (r *Route) arrived(w *schema.Write) {
	if w.Operation != schema.OpDelete {
		r.deps.Arrivals.Announce(w.Path())
	}
}

// retried counts a failed attempt that will be repeated.
func (r *Route) retried(err *outcome.Error) {
	r.tel.retries.Add(context.Background(), 1, r.tel.reason(err.Reason))
}

// tellAgain is the time between two log lines about failures of one kind. Every message
// of a route can meet the same one, several times a second.
const tellAgain = 10 * time.Second

// told is when the log was told of a kind of failure, and how many followed.
type told struct {
	at     time.Time
	unsaid int
}

// failed notes a failure that the route recovers from by itself.
func (r *Route) failed(what string, err error) {
	text, now := what+": "+brief(err), time.Now()
	r.report.mu.Lock()
	r.report.last, r.report.lastTime = text, now
	last := r.report.told[what]
	if last == nil {
		last = &told{}
		r.report.told[what] = last
	}
	quiet := now.Sub(last.at) < tellAgain
	if quiet {
		last.unsaid++
	}
	unsaid := last.unsaid
	if !quiet {
		*last = told{at: now}
	}
	r.report.mu.Unlock()
	switch {
	case quiet:
	case unsaid > 0:
		r.deps.Logger.Warn("failed, and tried again", "error", text, "more_since_last", unsaid)
	default:
		r.deps.Logger.Warn("failed, and tried again", "error", text)
	}
}

// noteFailure notes a failed write, and raises the alarm once when the
// credentials are refused.
func (r *Route) noteFailure(e *entry, err *outcome.Error) {
	text := brief(err)
	r.report.mu.Lock()
	r.report.last, r.report.lastTime = text, time.Now()
	raise := err.Verdict == outcome.Reauthenticate && !r.report.alarm
	r.report.alarm = r.report.alarm || raise
	r.report.mu.Unlock()
	if raise {
		r.deps.Logger.Error("the credentials are refused", "error", text,
			"next", "check the application user, its secret or certificate")
	}
	r.deps.Logger.Debug("write failed", "sequence", e.message.Sequence, "error", text, "attempt", e.progress.attempts)
}

// accepted notes that writes are possible, which ends the alarm.
func (r *Route) accepted() {
	r.lastAccepted.Store(time.Now().UnixNano())
	r.report.mu.Lock()
	cleared := r.report.alarm
	r.report.alarm = false
	r.report.mu.Unlock()
	if cleared {
		r.deps.Logger.Info("the credentials are accepted again")
	}
}

// position notes the consumer's position.
func (r *Route) position(p FeedState, waits bool) {
	r.tel.pending.Record(context.Background(), int64(min(p.Pending, 1<<62)), r.tel.byRoute)
	r.report.mu.Lock()
	r.report.position = p
	r.report.mu.Unlock()
	if waits {
		r.deps.Logger.Debug("holding deliveries back", "unacknowledged", p.AckPending, "delivered", p.Delivered)
	}
}

// startSpan starts the span of one message. It is linked to the span that made
// the event, not a child of it: the two may be days apart.
func (r *Route) startSpan(ctx context.Context, e *entry) (context.Context, trace.Span) {
	if _, off := r.tel.tracer.(tracenoop.Tracer); off {
		return ctx, tracenoop.Span{}
	}
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(r.tel.route,
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", e.message.Stream)),
	}
	origin := propagation.TraceContext{}.Extract(context.Background(), carrier{e})
	if sc := trace.SpanContextFromContext(origin); sc.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: sc}))
	}
	return r.tel.tracer.Start(ctx, telemetry.SpanProcess, options...)
}

func endSpan(span trace.Span, e *entry, done bool) {
	if done && span.IsRecording() {
		fate := e.progress.settlement
		span.SetAttributes(attribute.String(telemetry.AttrResult, fate.outcome))
		if fate.err != nil {
			span.SetAttributes(attribute.String(telemetry.AttrReason, string(fate.err.Reason)))
			span.SetStatus(codes.Error, string(fate.err.Reason))
		}
	}
	span.End()
}

// carrier reads the trace context of a message: the event's extension attribute
// first, the message's header else.
type carrier struct{ e *entry }

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if c.e.event != nil {
		if v, ok := c.e.event.Extensions()[key].(string); ok && v != "" {
			return v
		}
	}
	if v := c.e.message.Header[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier; nothing is written to a message.
func (carrier) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (carrier) Keys() []string { return []string{"traceparent", "tracestate"} }
