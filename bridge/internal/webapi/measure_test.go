package webapi

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cebridge/schema/telemetry"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestWhatIsMeasured makes a good page, a refused write and a throttled write,
// and looks at the numbers and spans they leave.
func TestWhatIsMeasured(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	spans := tracetest.NewInMemoryExporter()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	var log strings.Builder
	n := 0
	c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n++; n {
		case 1:
			answering(200, `{"value":[`+row(guid1, 5, "A")+`],"@odata.deltaLink":"accounts?$deltatoken=1"}`)(w, r)
		case 2:
			answering(400, apiError("0x80040265", "personal data"))(w, r)
		default:
			answering(429, apiError("0x80072322", ""))(w, r)
		}
	}), func(cfg *Config) {
		cfg.Meter, cfg.Tracer = meters.Meter(telemetry.Scope), traces.Tracer(telemetry.Scope)
		cfg.Logger = textLogger(&log)
	})
	if err := pageError(c, t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = applyError(c, t.Context(), upsertAccount())
	_ = applyError(c, t.Context(), upsertAccount())

	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range got.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				lines = append(lines, fmt.Sprintf("%s%v=%d", m.Name, p.Attributes.Encoded(attribute.DefaultEncoder()), p.Value))
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				lines = append(lines, fmt.Sprintf("%s%v=%d", m.Name, p.Attributes.Encoded(attribute.DefaultEncoder()), p.Count))
			}
		}
	}
	for _, want := range []string{
		"cebridge.webapi.requestscebridge.operation=page,cebridge.verdict=ok,http.response.status_code=200=1",
		"cebridge.webapi.requestscebridge.operation=upsert,cebridge.verdict=reject,http.response.status_code=400=1",
		"cebridge.webapi.requestscebridge.operation=upsert,cebridge.verdict=retry-after,http.response.status_code=429=1",
		"cebridge.webapi.durationcebridge.operation=upsert=2",
		"cebridge.webapi.in_flightcebridge.operation=page=0",
		"cebridge.webapi.in_flightcebridge.operation=upsert=0",
		"cebridge.webapi.throttled=1",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	all := fmt.Sprintf("%+v %s", spans.GetSpans(), log.String())
	for _, secret := range []string{guid1, "accountnumber", "A%201", "personal data", "deltatoken"} {
		if strings.Contains(all, secret) {
			t.Errorf("spans or logs tell %q", secret)
		}
	}
	ended := spans.GetSpans()
	if len(ended) != 3 || ended[0].Name != telemetry.SpanFetch || ended[0].Status.Code != codes.Unset ||
		ended[1].Name != telemetry.SpanUpsert || ended[1].Status.Code != codes.Error || ended[1].Status.Description != "plugin" {
		t.Errorf("spans: %+v", ended)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "delay=5s") {
		t.Errorf("log: %q", log.String())
	}
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
