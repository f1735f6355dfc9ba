package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// entries decodes a log; a line that is not JSON fails the test.
func entries(t *testing.T, log []byte) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range bytes.Lines(log) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("the log line %q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

func TestADeadCollectorIsOneJSONLinePerSignalAndNoFailureOfTheBridge(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // a port that no other test can be given
	var log bytes.Buffer
	p, err := newProviders(t.Context(), slog.New(slog.NewJSONHandler(&log, nil)), "contoso", "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, span := p.tracer.Start(t.Context(), "poll")
	span.End()
	if err := p.close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	signals := map[any]int{}
	for _, e := range entries(t, log.Bytes()) {
		if e["level"] != "WARN" || e["error"] == nil {
			t.Errorf("unexpected line %v", e)
		}
		signals[e["signal"]]++
	}
	if signals["traces"] != 1 || signals["metrics"] != 1 || len(signals) != 2 {
		t.Errorf("lines by signal: %v, want one each of traces and metrics", signals)
	}
}

// failing is a metric exporter that answers err.
type failing struct {
	metricExporter
	err error
}

func (f *failing) Export(context.Context, *metricdata.ResourceMetrics) error { return f.err }

func TestALongAbsenceOfTheCollectorIsRemindedOfSeldomAndItsReturnIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &failing{err: errors.New("connection refused")}
		e := metricExporter{f, &exportLog{log: slog.New(slog.NewJSONHandler(&log, nil)), signal: "metrics"}}
		export := func() {
			if err := e.Export(t.Context(), nil); err != nil {
				t.Errorf("the SDK hears of %v", err)
			}
		}
		for range 300 { // 25 minutes
			export()
			time.Sleep(5 * time.Second)
		}
		f.err = nil
		export()
		export()
		got := entries(t, log.Bytes())
		if len(got) != 4 {
			t.Fatalf("%d lines, want the first failure, two reminders and the return: %s", len(got), log.Bytes())
		}
		if last := got[3]; last["level"] != "INFO" || last["exports_lost"] != 300.0 {
			t.Errorf("the return is told as %v", last)
		}
	})
}
