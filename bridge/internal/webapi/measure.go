package webapi

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// measures are the client's instruments. Every label value comes from a closed
// set: operations, statuses, verdicts.
type measures struct {
	requests  metric.Int64Counter
	duration  metric.Float64Histogram
	throttled metric.Int64Counter
	limit     metric.Int64Gauge
	wait      metric.Float64Histogram
	batched   metric.Int64Counter
	// madeActive counts records that needed a second step to become inactive.
	madeActive metric.Int64Counter
	// redirected counts writes that went to another record than their key meant before.
	redirected metric.Int64Counter

	// running counts the requests of each operation that run, for whoever asks.
	running sync.Map // of string to *atomic.Int64

	// labels keeps what was once made of an operation or an end: sorting and hashing
	// attributes anew would be a good part of what a request costs.
	mu     sync.RWMutex
	labels map[measured]*options
}

// options are the labels of a measurement, as slices: one that is made for each call is
// garbage of each call.
type options struct {
	add     []metric.AddOption
	record  []metric.RecordOption
	observe []metric.ObserveOption
}

// measured is a combination of values; there are few.
type measured struct {
	op      string
	status  int
	verdict string // "" stands for the operation alone
	// side and reason are those of a wait; nothing else is set then.
	side   side
	reason string
}

func (s *measures) of(l measured) *options {
	s.mu.RLock()
	kept, ok := s.labels[l]
	s.mu.RUnlock()
	if ok {
		return kept
	}
	labels := metric.WithAttributeSet(l.set())
	made := &options{[]metric.AddOption{labels}, []metric.RecordOption{labels}, []metric.ObserveOption{labels}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.labels[l] = made
	return made
}

func (l measured) set() attribute.Set {
	switch {
	case l.reason != "":
		return attribute.NewSet(attribute.String(telemetry.AttrDirection, l.side.String()), attribute.String(telemetry.AttrReason, l.reason))
	case l.verdict == "":
		return attribute.NewSet(attribute.String(telemetry.AttrOp, l.op))
	}
	return attribute.NewSet(attribute.String(telemetry.AttrOp, l.op),
		attribute.Int(telemetry.AttrStatus, l.status), attribute.String(telemetry.AttrVerdict, l.verdict))
}

func newMeasures(m metric.Meter) (*measures, error) {
	var errs [9]error
	s := &measures{labels: make(map[measured]*options)}
	s.requests, errs[0] = m.Int64Counter(telemetry.WebAPIRequests,
		metric.WithUnit("{request}"), metric.WithDescription("Requests to the Web API that ended."))
	s.duration, errs[1] = m.Float64Histogram(telemetry.WebAPIDuration,
		metric.WithUnit("s"), metric.WithDescription("Time of one request, its answer's body included."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120))
	_, errs[2] = m.Int64ObservableUpDownCounter(telemetry.WebAPIInFlight,
		metric.WithUnit("{request}"), metric.WithDescription("Requests to the Web API that run now."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for op, n := range s.running.Range {
				o.Observe(n.(*atomic.Int64).Load(), s.of(measured{op: op.(string)}).observe...)
			}
			return nil
		}))
	s.throttled, errs[3] = m.Int64Counter(telemetry.WebAPIThrottled,
		metric.WithUnit("{answer}"), metric.WithDescription("Answers that asked to wait."))
	s.limit, errs[4] = m.Int64Gauge(telemetry.WebAPILimit,
		metric.WithUnit("{request}"), metric.WithDescription("Requests that may run at once, as the server's answers allow."))
	s.wait, errs[5] = m.Float64Histogram(telemetry.WebAPIWait,
		metric.WithUnit("s"), metric.WithDescription("Time that a request had to wait before it was sent: for a slot, or as the server asked."),
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600))
	s.batched, errs[6] = m.Int64Counter(telemetry.WebAPIBatched,
		metric.WithUnit("{request}"), metric.WithDescription("Requests that were answered inside of $batch requests."))
	s.madeActive, errs[7] = m.Int64Counter(telemetry.WebAPIMadeActive,
		metric.WithUnit("{record}"), metric.WithDescription("New records that were made active first, because a record cannot be created inactive."))
	s.redirected, errs[8] = m.Int64Counter(telemetry.WebAPIRedirected,
		metric.WithUnit("{write}"), metric.WithDescription("Writes that went to another record than their key meant before: it was merged, or the key was reused."))
	return s, errors.Join(errs[:]...)
}

func (s *measures) begin(op string) { s.count(op).Add(1) }

func (s *measures) count(op string) *atomic.Int64 {
	n, ok := s.running.Load(op)
	if !ok {
		n, _ = s.running.LoadOrStore(op, new(atomic.Int64))
	}
	return n.(*atomic.Int64)
}

// end counts a finished request; status is 0 when no answer arrived.
func (s *measures) end(ctx context.Context, op string, status int, verdict string, took time.Duration) {
	s.count(op).Add(-1)
	s.requests.Add(ctx, 1, s.of(measured{op: op, status: status, verdict: verdict}).add...)
	s.duration.Record(ctx, took.Seconds(), s.of(measured{op: op}).record...)
}

func (s *measures) limited(limit int) { s.limit.Record(context.Background(), int64(limit)) }

func (s *measures) waited(side side, reason string, d time.Duration) {
	s.wait.Record(context.Background(), d.Seconds(), s.of(measured{side: side, reason: reason}).record...)
}

func (s *measures) wentElsewhere(ctx context.Context, reason outcome.Reason) {
	s.redirected.Add(ctx, 1, metric.WithAttributes(attribute.String(telemetry.AttrReason, string(reason))))
}

// answered counts n writes of a batch that were answered alike.
func (s *measures) answered(op string, status, n int) {
	s.batched.Add(context.Background(), int64(n), metric.WithAttributes(
		attribute.String(telemetry.AttrOp, op), attribute.Int(telemetry.AttrStatus, status)))
}
