package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	runtimemetrics "go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"cebridge/schema/telemetry"
)

// providers are the bridge's own meter and tracer; nothing global is touched.
// Prometheus is always there. OTLP is sent only when its standard variables name
// an endpoint: a bridge without a collector must not fill its log with export
// errors. Without OTLP there are no spans, so events carry no traceparent that
// would point at a trace nobody has.
type providers struct {
	meter   metric.Meter
	tracer  trace.Tracer
	scrape  http.Handler
	closers []func(context.Context) error
}

func otlpWanted(signal string) bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

func newProviders(ctx context.Context, log *slog.Logger, org, version string, tracerProvider trace.TracerProvider) (*providers, error) {
	p := &providers{}
	res := resource.NewSchemaless(
		attribute.String("service.name", "cebridge"),
		attribute.String("service.version", version),
		attribute.String("service.namespace", org),
	)
	registry := prometheus.NewRegistry()
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry))
	if err != nil {
		return nil, fmt.Errorf("set up the prometheus exporter: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithReader(exporter), sdkmetric.WithResource(res)}
	if otlpWanted("METRICS") {
		otlp, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("set up the OTLP metric exporter, check OTEL_EXPORTER_OTLP_*: %w", err)
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(
			metricExporter{otlp, &exportLog{log: log, signal: "metrics"}})))
	}
	meters := sdkmetric.NewMeterProvider(options...)
	p.closers = append(p.closers, meters.Shutdown)
	p.meter = meters.Meter(telemetry.Scope)
	p.scrape = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})

	switch {
	case tracerProvider != nil:
	case otlpWanted("TRACES"):
		otlp, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("set up the OTLP trace exporter, check OTEL_EXPORTER_OTLP_*: %w", err), p.close(ctx))
		}
		tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(
			spanExporter{otlp, &exportLog{log: log, signal: "traces"}}), sdktrace.WithResource(res))
		p.closers = append(p.closers, tp.Shutdown)
		tracerProvider = tp
	default:
		tracerProvider = noop.NewTracerProvider()
	}
	p.tracer = tracerProvider.Tracer(telemetry.Scope)

	if err := runtimemetrics.Start(runtimemetrics.WithMeterProvider(meters)); err != nil {
		return nil, errors.Join(fmt.Errorf("start the runtime metrics: %w", err), p.close(ctx))
	}
	info, err := p.meter.Int64ObservableGauge(telemetry.BuildInfo, metric.WithDescription("1, labelled with the version"))
	if err == nil {
		_, err = p.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
			o.ObserveInt64(info, 1, metric.WithAttributes(
				attribute.String("version", version), attribute.String("go_version", runtime.Version())))
			return nil
		}, info)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("register %s: %w", telemetry.BuildInfo, err), p.close(ctx))
	}
	return p, nil
}

// close flushes what is buffered, last provider first.
func (p *providers) close(ctx context.Context) error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i](ctx))
	}
	return errors.Join(errs...)
}
