package jet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// newOutbox starts a server with a stream of dead letters and one of receipts.
func newOutbox(t testing.TB) (*Conn, *Outbox) {
	t.Helper()
	c := connect(t, startServer(t, func(o *EmbeddedOptions) { o.MaxPayload = 1 << 20 }))
	if err := c.EnsureDeadStream(t.Context(), ProvisionApply, names.DeadStream(), names.DeadSubjects(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "RECEIPTS", Subjects: []string{"receipts.>"}}); err != nil {
		t.Fatal(err)
	}
	return c, c.Outbox(names.DeadStream(), names, OutboxSettings{})
}

var stored = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

func letter(change ...func(*inbound.Letter)) *inbound.Letter {
	l := &inbound.Letter{
		Route: "erp-customers",
		Message: &inbound.Message{
			Subject: "erp.customer.changed", Data: []byte(`{"customerNumber":"A1"}`),
			Header: map[string][]string{"Content-Type": {"application/cloudevents+json"}, "X": {"1", "2"}},
			Stream: "ERP", Incarnation: "abc", Sequence: 42, Deliveries: 3, Stored: stored,
		},
		Verdict: "reject", Reason: "invalid", Code: "0x80048408", Status: 400, Text: "a value is out of range",
		Method: "PATCH", Path: "accounts(accountnumber='A1')", Body: []byte(`{"name":"Fabrikam"}`),
		Attempts: 2, First: stored.Add(time.Second), Last: stored.Add(time.Minute),
	}
	for _, f := range change {
		f(l)
	}
	return l
}

func TestADeadLetterKeepsTheMessageAndTheFacts(t *testing.T) {
	t.Parallel()
	c, o := newOutbox(t)
	want := letter()
	if err := o.DeadLetter(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got := all(t, c, names.DeadStream())
	if len(got) != 1 || got[0].Subject != "crm-dead.contoso.erp-customers.abc.42" {
		t.Fatalf("stored: %+v", got)
	}
	if !bytes.Equal(got[0].Data, want.Message.Data) {
		t.Errorf("the body is %s", got[0].Data)
	}
	if got[0].Header["Content-Type"][0] != "application/cloudevents+json" || got[0].Header["Crm-Dead-Reason"][0] != "invalid" {
		t.Errorf("the header is %v", got[0].Header)
	}
	l, err := DecodeLetter(got[0].Header, got[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Error(diff)
	}
}

func TestADeadLetterIsStoredOnceHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	c, o := newOutbox(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			// Attempts and times differ after a crash; the letter is the same.
			l := letter(func(l *inbound.Letter) {
				l.Reason = []string{l.Reason, "plugin"}[i%2] // the answer may differ too
				l.Attempts, l.Last, l.Message.Deliveries = i, stored.Add(time.Duration(i)*time.Hour), uint64(i)
			})
			if err := o.DeadLetter(t.Context(), l); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := all(t, c, names.DeadStream()); len(got) != 1 {
		t.Errorf("%d letters", len(got))
	}
}

func TestAlreadyThereIsBelievedOnlyWithTheSameContent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*inbound.Letter){
		"data":     func(l *inbound.Letter) { l.Message.Data = []byte("other") },
		"header":   func(l *inbound.Letter) { l.Message.Header = map[string][]string{"X": {"1"}} },
		"subject":  func(l *inbound.Letter) { l.Message.Subject = "erp.customer.other" },
		"a stream": func(l *inbound.Letter) { l.Message.Stream = "ERP2" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, o := newOutbox(t)
			if err := o.DeadLetter(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			if err := o.DeadLetter(t.Context(), letter(change)); !errors.Is(err, ErrLetterConflict) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("something else on the subject", func(t *testing.T) {
		t.Parallel()
		c, o := newOutbox(t)
		if _, err := c.js.Publish(t.Context(), names.Dead("erp-customers", "abc", 42), []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := o.DeadLetter(t.Context(), letter()); !errors.Is(err, ErrLetterConflict) {
			t.Errorf("got %v", err)
		}
	})
}

func TestHostileMessagesCanBeDeadLettered(t *testing.T) {
	t.Parallel()
	c, o := newOutbox(t)
	limit := int(c.NATS().MaxPayload())
	noise := make([]byte, 1<<19)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for i, tt := range []struct {
		name   string
		change func(*inbound.Letter)
	}{
		{"headers of the server and of ours", func(l *inbound.Letter) {
			l.Message.Header = map[string][]string{"Nats-Msg-Id": {"1"}, "Nats-Rollup": {"all"}, "Nats-TTL": {"1s"},
				"Nats-Expected-Stream": {"X"}, "Crm-Dead-Reason": {"forged"}, "Crm-Dead-Original-X": {"y"}, "crm-dead-route": {"z"}}
		}},
		{"no header, no data", func(l *inbound.Letter) { l.Message.Header, l.Message.Data = map[string][]string{}, nil }},
		{"bytes that are no text", func(l *inbound.Letter) { l.Message.Data = noise }},
		{"headers up to the limit", func(l *inbound.Letter) {
			l.Message.Header = map[string][]string{"Big": {strings.Repeat("h", 65_000)}}
		}},
		{"a body up to the limit", func(l *inbound.Letter) { l.Message.Data = bytes.Repeat([]byte("x"), limit) }},
		{"a request of a megabyte", func(l *inbound.Letter) { l.Body = noise }},
		{"a text of a megabyte with line ends", func(l *inbound.Letter) { l.Text = strings.Repeat("é\r\nNats-Rollup: all\x00", 50_000) }},
		{"a path beyond all measure", func(l *inbound.Letter) { l.Path = "accounts(x='" + strings.Repeat("ü", 5000) + "')" }},
		{"a header that would break the protocol", func(l *inbound.Letter) {
			l.Message.Header = map[string][]string{"A B": {"x"}, "C": {"line\r\nend"}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := letter(tt.change)
			l.Message.Sequence = uint64(1000 + i)
			for range 2 { // stored, then recognised
				if err := o.DeadLetter(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
			got := all(t, c, names.DeadStream(), names.Dead(l.Route, "abc", l.Message.Sequence))
			if len(got) != 1 {
				t.Fatalf("%d letters", len(got))
			}
			back, err := DecodeLetter(got[0].Header, got[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			if len(back.Message.Data) == 0 {
				back.Message.Data = l.Message.Data
			}
			if diff := cmp.Diff(l.Message, back.Message); diff != "" {
				t.Error(cut(diff))
			}
			if len(back.Text) > maxText || strings.ContainsAny(back.Text, "\r\n\x00") || len(back.Path) > maxPath {
				t.Errorf("text of %d bytes, path of %d", len(back.Text), len(back.Path))
			}
		})
	}
}

func cut(s string) string { return s[:min(len(s), 2000)] }

func TestALetterThatFitsNowhereIsAnError(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 2000)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte(r.Uint32())
	}
	_, _, err := encodeLetter(letter(func(l *inbound.Letter) { l.Message.Data = noise }), 1500)
	if err == nil || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("got %v", err)
	}
}

func TestAFullDeadStreamIsSaidSo(t *testing.T) {
	t.Parallel()
	c, o := newOutbox(t)
	s, err := c.js.Stream(t.Context(), names.DeadStream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxBytes = 2000
	if _, err := c.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		err = o.DeadLetter(t.Context(), letter(func(l *inbound.Letter) { l.Message.Sequence = uint64(i) }))
		if err != nil {
			break
		}
	}
	if !errors.Is(err, inbound.ErrOutboxFull) {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsSettledWithoutAStreamThatTookIt(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	o := c.Outbox(names.DeadStream(), names, OutboxSettings{})
	if err := o.DeadLetter(t.Context(), letter()); !errors.Is(err, outbound.ErrUnavailable) {
		t.Errorf("no stream: got %v", err)
	}
	sub, err := c.NATS().Subscribe(names.Dead("erp-customers", "abc", 42), echo)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.DeadLetter(t.Context(), letter()); err == nil {
		t.Error("an answer that is no confirmation was believed")
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	// A stream of another name takes the subject.
	if err := c.EnsureDeadStream(t.Context(), ProvisionApply, "OTHER", names.DeadSubjects(), 1); err != nil {
		t.Fatal(err)
	}
	if err := o.DeadLetter(t.Context(), letter()); err == nil {
		t.Error("a letter in another stream was believed")
	}
}

func receipt(change ...func(*inbound.Receipt)) *inbound.Receipt {
	r := &inbound.Receipt{
		Route: "erp-customers", Subject: "receipts.erp", Message: letter().Message, EventID: "e1", EventSource: "/erp", Cause: inbound.Cause{ID: "e1", Source: "/erp", Correlation: "order-7"},
		Outcome: "written", Table: "account", Effect: schema.EffectCreated, RecordID: recordID(1), Version: 9_007_199_254_740_993,
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func TestAReceiptIsACloudEvent(t *testing.T) {
	t.Parallel()
	c, o := newOutbox(t)
	if err := o.Receipt(t.Context(), receipt()); err != nil {
		t.Fatal(err)
	}
	got := all(t, c, "RECEIPTS")
	if len(got) != 1 || got[0].Subject != "receipts.erp" {
		t.Fatalf("stored: %+v", got)
	}
	e, err := event.Unmarshal(got[0].Header, got[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if e.ID() != "receipt-erp-customers-abc-42" || e.Source() != "/crm/contoso/inbound" || e.Type() != "crm.contoso.receipt.written" ||
		e.Subject() != recordID(1) || !e.Time().Equal(stored) {
		t.Errorf("got %s", e)
	}
	for name, want := range map[string]any{"causationid": "e1", "causationsource": "/erp", "correlationid": "order-7"} {
		if got := e.Extensions()[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	var data map[string]any
	d := json.NewDecoder(bytes.NewReader(e.Data()))
	d.UseNumber()
	if err := d.Decode(&data); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"route": "erp-customers", "outcome": "written", "table": "account", "effect": "created", "recordid": recordID(1),
		"version": json.Number("9007199254740993"), "event": map[string]any{"id": "e1", "source": "/erp"},
		"message": map[string]any{"stream": "ERP", "incarnation": "abc", "sequence": json.Number("42"), "subject": "erp.customer.changed"},
	}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Error(diff)
	}
}

func TestARepeatedReceiptIsStoredOnce(t *testing.T) {
	t.Parallel()
	c, o := newOutbox(t)
	for range 3 {
		if err := o.Receipt(t.Context(), receipt()); err != nil {
			t.Fatal(err)
		}
	}
	other := receipt(func(r *inbound.Receipt) {
		r.Message = letter(func(l *inbound.Letter) { l.Message.Sequence = 43 }).Message
	})
	if err := o.Receipt(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if got := all(t, c, "RECEIPTS"); len(got) != 2 {
		t.Errorf("%d receipts, want 2", len(got))
	}
}

func TestAReceiptNeedsAStream(t *testing.T) {
	t.Parallel()
	_, o := newOutbox(t)
	for _, subject := range []string{"nowhere.x", "", "receipts.*"} {
		if err := o.Receipt(t.Context(), receipt(func(r *inbound.Receipt) { r.Subject = subject })); err == nil {
			t.Errorf("%q: no error", subject)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Receipt(ctx, receipt()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDecodeLetterRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	good, body, err := encodeLetter(letter(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{deadRoute, deadReason} {
		h := map[string][]string{}
		for k, v := range good {
			if k != name {
				h[k] = v
			}
		}
		if _, err := DecodeLetter(h, body); !errors.Is(err, ErrNotLetter) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	for name, value := range map[string]string{deadSequence: "x", deadStatus: "-1", deadFirst: "today", deadRequest: "%", deadEncoding: "zip"} {
		h := map[string][]string{}
		for k, v := range good {
			h[k] = v
		}
		h[name] = []string{value}
		if _, err := DecodeLetter(h, body); !errors.Is(err, ErrNotLetter) {
			t.Errorf("%s %q: %v", name, value, err)
		}
	}
	h := map[string][]string{deadRoute: {"r"}, deadReason: {"x"}, deadEncoding: {encodingGzip}}
	if _, err := DecodeLetter(h, []byte("not gzip")); !errors.Is(err, ErrNotLetter) {
		t.Errorf("got %v", err)
	}
}

func FuzzALetterIsReadBackAsItWasWritten(f *testing.F) {
	f.Add("erp", "X", "value", []byte("data"), "text", "path", []byte("body"), 10_000)
	f.Add("erp", "Nats-TTL", "1s\r\n", []byte{0}, "\xff\n", "a'b", []byte{}, 700)
	f.Add("erp", "Crm-Dead-Reason", "", []byte(nil), "", "", []byte(nil), 100)
	f.Fuzz(func(t *testing.T, route, name, value string, data []byte, text, path string, body []byte, limit int) {
		l := letter(func(l *inbound.Letter) {
			l.Text, l.Path, l.Body, l.Message.Data = text, path, body, data
			l.Message.Header = map[string][]string{name: {value}}
		})
		if schema.ValidToken(route) {
			l.Route = route
		}
		h, b, err := encodeLetter(l, limit)
		if err != nil {
			return
		}
		if err := checkHeader(h); err != nil {
			t.Fatal(err)
		}
		if headerSize(h)+len(b) > limit {
			t.Fatalf("%d bytes, the limit was %d", headerSize(h)+len(b), limit)
		}
		back, err := DecodeLetter(h, b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Message.Data, data) {
			t.Errorf("data %q became %q", data, back.Message.Data)
		}
		if diff := cmp.Diff(l.Message.Header, back.Message.Header); diff != "" {
			t.Error(diff)
		}
		if !sameLetter(back, l) {
			t.Error("the letter is not recognised")
		}
		if len(body) <= maxRequest && !bytes.Equal(back.Body, body) {
			t.Errorf("request %q became %q", body, back.Body)
		}
	})
}
