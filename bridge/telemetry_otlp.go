package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
)

// exportReminder is how often a collector that stays away is mentioned again.
const exportReminder = 10 * time.Minute

// exportLog tells of failed exports in the bridge's own log. The SDK's way is a
// process-wide handler that prints a line per failure, not as JSON. A collector
// that is away for long is one line every exportReminder.
type exportLog struct {
	log    *slog.Logger
	signal string

	mu    sync.Mutex
	lost  int // failed exports since the last good one
	since time.Time
}

// result notes how an export ended. A failure is told here, so that the SDK need
// not hear of it; what it held is lost, as telemetry may be.
func (e *exportLog) result(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil && e.lost > 0:
		e.log.Info("telemetry is exported again", "signal", e.signal, "exports_lost", e.lost)
		e.lost = 0
	case err != nil:
		e.lost++
		if e.lost == 1 || time.Since(e.since) >= exportReminder {
			e.since = time.Now()
			e.log.Warn("telemetry is not exported; check OTEL_EXPORTER_OTLP_* and the collector",
				"signal", e.signal, "exports_lost", e.lost, "error", err)
		}
	}
}

// spanExporter and metricExporter tell an exportLog of failures and hide them from
// the SDK.
type spanExporter struct {
	trace.SpanExporter
	log *exportLog
}

func (s spanExporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	s.log.result(s.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

type metricExporter struct {
	metric.Exporter
	log *exportLog
}

func (m metricExporter) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	m.log.result(m.Exporter.Export(ctx, rm))
	return nil
}
