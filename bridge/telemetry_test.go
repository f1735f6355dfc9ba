package bridge_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

const bothWays = followAccounts + customerRoute + `
admin: {listen: "127.0.0.1:0"}
`

func TestTheAdminPortShowsBothDirections(t *testing.T) {
	r := newRig(t, bothWays, func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "ABC123"})
	})
	r.events("crm.contoso.account.>")()
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "ABC123", "name": "x"})
	r.written()
	base := "http://" + r.bridge.AdminAddr()
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := get(t, base+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	r.until("the status shows a full poll", func() bool { return r.bridge.Status().Tables[0].LagSeconds != nil })
	r.until("the status page shows it too", func() bool {
		var s struct {
			Tables []struct {
				Table, State string
				LagSeconds   *float64 `json:"lag_seconds"`
				Checkpoint   struct{ Sequence uint64 }
			}
			Routes []struct {
				Route   string
				Pending *uint64
				Results map[string]int
			}
		}
		_, body := get(t, base+"/status.json")
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
		return len(s.Tables) == 1 && s.Tables[0].State == "following" && s.Tables[0].LagSeconds != nil && *s.Tables[0].LagSeconds < 60 &&
			s.Tables[0].Checkpoint.Sequence > 0 && len(s.Routes) == 1 && s.Routes[0].Pending != nil && s.Routes[0].Results["written"] == 1
	})
	_, metrics := get(t, base+"/metrics")
	for _, name := range []string{
		"cebridge_outbound_events_total{", "cebridge_outbound_lag_seconds{", "cebridge_inbound_events_total{",
		"cebridge_webapi_requests_total{", "cebridge_build_info{", "cebridge_outbound_poll_duration_seconds_count{",
		"messaging_process_duration_seconds_count{", "cebridge_outbound_state{", "cebridge_inbound_pending{", "cebridge_nats_connected",
		"cebridge_inbound_parked{", "cebridge_inbound_stopped{", "cebridge_inbound_state{",
	} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
	for _, personal := range []string{"ABC123", "Contoso\""} {
		if strings.Contains(metrics, personal) {
			t.Errorf("/metrics shows %s", personal)
		}
	}
}

func TestSpansLeadFromTheRecordToTheEventAndFromTheEventToTheWrite(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	r := newRigWith(t, followAccounts+customerRoute, sim.Options{}, func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "ABC123"})
	}, bridge.WithTracerProvider(tracers))
	e := r.events("crm.contoso.account.>")()
	if len(e.TraceParent) != 55 || e.header.Get("traceparent") != e.TraceParent {
		t.Errorf("traceparent of the event is %q, of the message %q", e.TraceParent, e.header.Get("traceparent"))
	}
	parent := "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	body := `{"specversion":"1.0","id":"1","source":"/t","type":"com.example.customer","traceparent":"` + parent + `","data":{"id":"ABC123","name":"x"}}`
	r.raw("erp.customer", nil, []byte(body))
	r.written()
	r.stop()
	names := map[string]int{}
	linked := false
	for _, s := range recorder.Ended() {
		name, _, _ := strings.Cut(s.Name(), " ")
		names[name]++
		for _, l := range s.Links() {
			linked = linked || name == "process" && l.SpanContext.TraceID().String() == "0123456789abcdef0123456789abcdef"
		}
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), "ABC123") {
				t.Errorf("span %s carries the business key in %s", s.Name(), a.Key)
			}
		}
		if strings.Contains(s.Name(), "ABC123") {
			t.Errorf("span name %s carries the business key", s.Name())
		}
	}
	for _, name := range []string{"poll", "fetch", "commit", "process", "upsert"} {
		if names[name] == 0 {
			t.Errorf("no span named %s; got %v", name, names)
		}
	}
	if !linked {
		t.Error("the process span has no link to the event's trace")
	}
}
