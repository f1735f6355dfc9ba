package inbound

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

func TestAMessageThatCannotBeAppliedIsRejectedAndTheRouteGoesOn(t *testing.T) {
	cases := []struct {
		name, data string
		reason     outcome.Reason
		text       string
	}{
		{"not JSON", `{"key":`, outcome.Invalid, "JSON"},
		{"empty", ``, outcome.Invalid, "JSON"},
		{"not what the condition expects", `[1]`, outcome.Invalid, "cannot unmarshal"},
		{"the mapping refuses it", `{"key":"A","bad":true}`, outcome.KeyCharacters, "m.key.accountnumber (bridge.yaml:4:7): the key has a slash"},
		{"the mapping panics", `{"key":"A","panic":true}`, outcome.Invalid, "panicked"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newBench(t, testConfig())
				h.b.publishRaw(tc.data)
				h.b.publish("A")
				h.start()
				h.after(10 * time.Second)
				if diff := cmp.Diff(map[string]int{Written: 1, Rejected: 1}, h.outcomes()); diff != "" {
					t.Fatal(diff)
				}
				l := h.out.letters[0]
				if l.Verdict != "reject" || l.Reason != string(tc.reason) || !strings.Contains(l.Text, tc.text) {
					t.Errorf("%+v", l)
				}
				if l.Attempts != 0 || l.Path != "" || l.Method != "" || l.Body != nil {
					t.Errorf("the letter tells of a request that was never made: %+v", l)
				}
				if len(h.b.unsettled()) != 0 {
					t.Error("not acknowledged")
				}
			})
		})
	}
}

func TestAMappingThatCanWorkForNoMessageStopsTheRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.b.publishRaw(`{"key":"A","stop":true}`)
		h.start()
		h.after(10 * time.Second)
		if st := h.route.Status(); st.State != StateStopped || len(h.b.unsettled()) != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestUnmatchedMessages(t *testing.T) {
	for unmatched, want := range map[Unmatched]string{UnmatchedAck: Unmatching, UnmatchedDeadLetter: Rejected} {
		t.Run(string(unmatched), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.Unmatched = unmatched
				h := newBench(t, cfg)
				h.b.publishRaw(`{"key":"A","skip":true}`)
				h.start()
				h.after(time.Second)
				if diff := cmp.Diff(map[string]int{want: 1}, h.outcomes()); diff != "" {
					t.Error(diff)
				}
				if h.crm.calls != 0 || len(h.b.unsettled()) != 0 || len(h.out.letters) != h.outcomes()[Rejected] {
					t.Errorf("%d calls, unsettled %v, %d letters", h.crm.calls, h.b.unsettled(), len(h.out.letters))
				}
			})
		})
	}
}

func TestShadowReportsAndHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Shadow, cfg.Unmatched, cfg.Receipts = true, UnmatchedDeadLetter, "erp.receipts"
		h := newBench(t, cfg)
		for _, data := range []string{`{"key":"A"}`, `{"key":"A","bad":true}`, `not JSON`, `{"key":"A","skip":true}`} {
			h.b.publishRaw(data)
		}
		h.start()
		h.after(time.Second)
		if diff := cmp.Diff(map[string]int{Shadowed: 4}, h.outcomes()); diff != "" {
			t.Error(diff)
		}
		if h.crm.calls != 0 || h.out.calls != 0 || len(h.b.unsettled()) != 0 {
			t.Errorf("%d writes, %d letters and receipts, unsettled %v", h.crm.calls, h.out.calls, h.b.unsettled())
		}
		wrong, would := 0, 0
		for _, s := range h.settled {
			if s.Err != nil {
				wrong++
			}
			if s.Write != nil {
				would++
			}
		}
		if wrong != 3 || would != 1 {
			t.Errorf("%d reported as wrong, %d with a write", wrong, would)
		}
		if log := h.logs.String(); !strings.Contains(log, "would be written") || !strings.Contains(log, "would be rejected") {
			t.Error(log)
		}
	})
}

// recorder keeps the event that it is asked about.
type recorder struct{ event *cloudevent.Event }

func (r *recorder) Match(_ context.Context, e *cloudevent.Event) (bool, error) {
	r.event = e
	return true, nil
}

func (r *recorder) Map(context.Context, *cloudevent.Event) ([]*schema.Write, error) { return nil, nil }

func TestPlainJSONGetsAnEnvelope(t *testing.T) {
	var seen recorder
	r, err := NewRoute(testConfig(), nil, &seen, nil, nil, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	stored := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := &Message{Subject: "erp.customer.7", Stream: "ERP", Incarnation: "kx2", Sequence: 42, Stored: stored, Data: []byte(`{"n":12345678901234567890}`)}
	p, err := r.prepare(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	e := seen.event
	got := []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.Time().Format(time.RFC3339), string(e.Data())}
	want := []string{"kx2/42", "/nats/ERP", "com.example.changed", "erp.customer.7", "2026-01-02T03:04:05Z", `{"n":12345678901234567890}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p.fate == nil || p.fate.outcome != Unmatching {
		t.Error("an event without a write does not count as unmatched")
	}
}

func TestBothModesOfCloudEventsAreRead(t *testing.T) {
	cases := map[string]*Message{
		"structured": {
			Header: map[string][]string{"Content-Type": {"application/cloudevents+json"}},
			Data:   []byte(`{"specversion":"1.0","id":"7","source":"/erp","type":"t","data":{"key":"A"}}`),
		},
		"binary": {
			Header: map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"7"}, "ce-source": {"/erp"}, "ce-type": {"t"}, "Content-Type": {"application/json"}},
			Data:   []byte(`{"key":"A"}`),
		},
	}
	for name, m := range cases {
		t.Run(name, func(t *testing.T) {
			var seen recorder
			r, err := NewRoute(RouteConfig{Name: "erp"}, nil, &seen, nil, nil, Deps{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.prepare(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			var p payload
			if err := json.Unmarshal(seen.event.Data(), &p); err != nil || p.Key != "A" || seen.event.ID() != "7" {
				t.Errorf("%v %+v", err, seen.event)
			}
		})
	}
}

func TestAMappingCutShortByTheEndIsNoVerdict(t *testing.T) {
	r, err := NewRoute(testConfig(), nil, cancelled{}, nil, nil, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := r.prepare(ctx, &Message{Stream: "S", Sequence: 1, Data: []byte(`{}`)}); err == nil || p.fate != nil {
		t.Errorf("%v %+v", err, p)
	}
}

type cancelled struct{}

func (cancelled) Match(ctx context.Context, _ *cloudevent.Event) (bool, error) {
	return false, ctx.Err()
}
func (cancelled) Map(ctx context.Context, _ *cloudevent.Event) ([]*schema.Write, error) {
	return nil, ctx.Err()
}

// FuzzAnyMessageHasAFate proves that no content of a message can panic, stop the
// route, or leave it without a write or a fate.
func FuzzAnyMessageHasAFate(f *testing.F) {
	f.Add("application/cloudevents+json", "1.0", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"key":"A"}}`))
	f.Add("application/json", "1.0", []byte(`{"key":"A"}`))
	f.Add("", "", []byte(`{"key":"A","panic":true}`))
	f.Add("application/cloudevents-batch+json", "0.3", []byte(`[[[[`))
	routes := map[Format]*Route{}
	for _, format := range []Format{FormatCloudEvents, FormatJSON} {
		cfg := testConfig()
		cfg.Format = format
		r, err := NewRoute(cfg, nil, keyMapper{}, nil, nil, Deps{})
		if err != nil {
			f.Fatal(err)
		}
		routes[format] = r
	}
	f.Fuzz(func(t *testing.T, contentType, version string, data []byte) {
		m := &Message{Stream: "ERP", Incarnation: "i", Sequence: 1, Data: data, Header: map[string][]string{
			"Content-Type": {contentType}, "ce-specversion": {version}, "ce-id": {"i/1"}, "ce-source": {"s"}, "ce-type": {"t"},
		}}
		for format, r := range routes {
			p, err := r.prepare(t.Context(), m)
			if o := outcome.Of(err); err != nil && (o == nil || o.Verdict != outcome.Stop) {
				t.Fatalf("%s: %v", format, err)
			}
			if err == nil && (p.fate == nil) == (len(p.writes) == 0) {
				t.Fatalf("%s: fate %+v and write %+v", format, p.fate, p.writes)
			}
			r.tracing(m, p)
		}
	})
}

// tracing reads the trace context of a message as a span would.
func (r *Route) tracing(m *Message, p prepared) {
	_, span := r.startSpan(context.Background(), &entry{message: m, prepared: p})
	span.End()
}

func TestTheLogNamesThePlaceOfTheMappingThatRefusesAMessage(t *testing.T) {
	for _, shadow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := testConfig()
			cfg.Shadow = shadow
			h := newBench(t, cfg)
			h.b.publishRaw(`{"key":"A","bad":true}`)
			h.start()
			h.after(time.Second)
			if !strings.Contains(h.logs.String(), "key_characters: m.key.accountnumber (bridge.yaml:4:7): the key has a slash") {
				t.Errorf("shadow %v: the log says %s", shadow, h.logs)
			}
		})
	}
}
