package webapi

import (
	"context"
	"errors"
	"time"

	"cebridge/schema/telemetry"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// measures are the client's instruments. Every label value comes from a closed
// set: operations, statuses, verdicts.
type measures struct {
	requests  metric.Int64Counter
	duration  metric.Float64Histogram
	inFlight  metric.Int64UpDownCounter
	throttled metric.Int64Counter
}

func newMeasures(m metric.Meter) (*measures, error) {
	var errs [4]error
	s := &measures{}
	s.requests, errs[0] = m.Int64Counter(telemetry.WebAPIRequests,
		metric.WithUnit("{request}"), metric.WithDescription("Requests to the Web API that ended."))
	s.duration, errs[1] = m.Float64Histogram(telemetry.WebAPIDuration,
		metric.WithUnit("s"), metric.WithDescription("Time of one request, its answer's body included."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120))
	s.inFlight, errs[2] = m.Int64UpDownCounter(telemetry.WebAPIInFlight,
		metric.WithUnit("{request}"), metric.WithDescription("Requests to the Web API that run now."))
	s.throttled, errs[3] = m.Int64Counter(telemetry.WebAPIThrottled,
		metric.WithUnit("{answer}"), metric.WithDescription("Answers that asked to wait."))
	return s, errors.Join(errs[:]...)
}

func (s *measures) begin(ctx context.Context, op string) {
	s.inFlight.Add(ctx, 1, metric.WithAttributes(attribute.String(telemetry.AttrOp, op)))
}

// end counts a finished request; status is 0 when no answer arrived.
func (s *measures) end(ctx context.Context, op string, status int, verdict string, took time.Duration) {
	operation := attribute.String(telemetry.AttrOp, op)
	s.inFlight.Add(ctx, -1, metric.WithAttributes(operation))
	s.requests.Add(ctx, 1, metric.WithAttributes(operation,
		attribute.Int(telemetry.AttrStatus, status), attribute.String(telemetry.AttrVerdict, verdict)))
	s.duration.Record(ctx, took.Seconds(), metric.WithAttributes(operation))
}
