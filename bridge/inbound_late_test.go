package bridge_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/bridge/internal/webapi"
	"cebridge/bridge/sim"
	"cebridge/inbound"
	"cebridge/schema"
)

var ambiguousWrites = flag.Int("bridge.ambiguous", 10_000, "writes that lose their answer; a tenth of it with -short")

// wireless takes requests to the simulator without a network, so that time can jump. An
// aborted connection is an error, as on the wire.
type wireless struct{ server http.Handler }

func (w wireless) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			resp, err = nil, errors.Join(io.ErrUnexpectedEOF, r.Context().Err())
		}
	}()
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	a := httptest.NewRecorder()
	w.server.ServeHTTP(a, in)
	return a.Result(), nil
}

// tape is a feed of so many messages about so many keys, in turn.
type tape struct {
	keys, messages, window int

	mu    sync.Mutex
	given int
	acked map[int]bool
	freed chan struct{}
}

func (f *tape) Run(ctx context.Context, handle func(inbound.Delivery)) error {
	for {
		f.mu.Lock()
		next, free := f.given, f.given-len(f.acked) < f.window
		if next < f.messages && free {
			f.given++
		}
		f.mu.Unlock()
		if next >= f.messages || !free {
			select {
			case <-f.freed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		handle(reel{f, next})
	}
}

func (f *tape) State(context.Context) (inbound.FeedState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return inbound.FeedState{Delivered: uint64(f.given), AckPending: f.given - len(f.acked)}, nil
}

func (f *tape) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.messages - len(f.acked)
}

type reel struct {
	f *tape
	n int
}

func (d reel) Message() *inbound.Message {
	data := fmt.Sprintf(`{"key":"K%d","n":%d}`, d.n%d.f.keys, d.n/d.f.keys+1)
	return &inbound.Message{Subject: "erp.x", Data: []byte(data), Stream: "ERP", Incarnation: "i", Sequence: uint64(d.n + 1), Deliveries: 1, Number: uint64(d.n + 1)}
}

func (d reel) Extend() error { return nil }

func (d reel) Release() error { return nil }

func (d reel) Ack(context.Context) error {
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	d.f.acked[d.n] = true
	select {
	case d.f.freed <- struct{}{}:
	default:
	}
	return nil
}

// numbered writes the number of the message into its record; every second key is
// written by update-or-create.
type numbered struct{ table *schema.Table }

func (numbered) Match(context.Context, *cloudevent.Event) (bool, error) { return true, nil }

func (m numbered) Map(_ context.Context, e *cloudevent.Event) ([]*schema.Write, error) {
	var p struct {
		Key string
		N   int
	}
	if err := e.DataAs(&p); err != nil {
		return nil, err
	}
	key := []schema.KeyPart{{Column: "accountnumber", Value: []byte(`"` + p.Key + `"`)}}
	predicate, err := schema.KeyPredicate(m.table, key)
	w := &schema.Write{
		Operation: schema.OpUpsert, Table: "account", EntitySet: m.table.EntitySet, Key: key, Predicate: predicate,
		Body: fmt.Appendf(nil, `{"numberofemployees":%d}`, p.N),
	}
	if (p.Key[len(p.Key)-1]-'0')%2 == 0 {
		w.OnCreate = fmt.Appendf(nil, `{"numberofemployees":%d,"name":"new"}`, p.N)
	}
	return []*schema.Write{w}, err
}

type nowhere struct{ letters chan *inbound.Letter }

func (o nowhere) DeadLetter(_ context.Context, l *inbound.Letter) error {
	select {
	case o.letters <- l:
	default:
	}
	return nil
}
func (nowhere) Receipt(context.Context, *inbound.Receipt) error { return nil }

// Every fault that leaves a write open, up to the bound of two minutes: cut before and
// after it was made, never answered, and made long after the client gave up.
func TestTenThousandLostAnswersLeaveNoOlderStateAndNoSecondRecord(t *testing.T) {
	t.Parallel()
	want := *ambiguousWrites
	if testing.Short() {
		want /= 10
	}
	const keys = 400
	synctest.Test(t, func(t *testing.T) {
		faults := sim.NewFaults(7)
		for _, rule := range []sim.Rule{
			{Kind: sim.FaultCutBeforeCommit, Probability: 0.03},
			{Kind: sim.FaultCutAfterCommit, Probability: 0.05},
			{Kind: sim.FaultHang, Probability: 0.02},
			{Kind: sim.FaultLateApply, Delay: time.Millisecond, Probability: 0.03},
			{Kind: sim.FaultLateApply, Delay: time.Second, Probability: 0.03},
			{Kind: sim.FaultLateApply, Delay: 40 * time.Second, Probability: 0.06},
			{Kind: sim.FaultLateApply, Delay: 119 * time.Second, Probability: 0.06},
			{Kind: sim.FaultLatency, Delay: 10 * time.Millisecond},
		} {
			rule.Method = "PATCH"
			if faults.Add(rule) == 0 {
				t.Fatal("the rule is not taken")
			}
		}
		s, err := sim.New(sim.Options{RecordWrites: true, Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		client, err := webapi.New(webapi.Config{URL: "http://crm.example", Transport: wireless{s.Handler()}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		catalog, err := client.Metadata(t.Context(), []string{"account"})
		if err != nil {
			t.Fatal(err)
		}
		feed := &tape{keys: keys, messages: 4 * want, window: 1000, acked: map[int]bool{}, freed: make(chan struct{}, 1)}
		out := nowhere{make(chan *inbound.Letter, 1)}
		route, err := inbound.NewRoute(inbound.RouteConfig{Name: "erp", Format: inbound.FormatJSON, EventType: "com.example.x"},
			feed, numbered{catalog["account"]}, client, out, inbound.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- route.Run(ctx) }()
		for range 10_000 {
			if feed.left() == 0 {
				break
			}
			time.Sleep(time.Minute)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(inbound.DefaultAmbiguityBound)
		if n := feed.left(); n > 0 || len(out.letters) > 0 {
			t.Fatalf("%d messages are not settled, dead letters: %d; %+v", n, len(out.letters), route.Status())
		}
		lost, stale := 0, 0
		newest, records := map[any]int64{}, map[string]bool{}
		for _, e := range s.Log(0) {
			switch e.Kind {
			case sim.KindFault:
				if e.Operation != string(sim.FaultLatency) {
					lost++
				}
			case sim.KindCommit:
				if e.Table != "account" {
					continue
				}
				n := numberIn(t, e.Columns["numberofemployees"])
				key := e.Columns["accountnumber"]
				records[e.ID] = true
				if n < newest[key] {
					stale++
				}
				newest[key] = max(newest[key], n)
			}
		}
		if stale > 0 || len(records) != keys || len(newest) != keys {
			t.Errorf("%d older states, %d records of %d keys", stale, len(records), len(newest))
		}
		if lost <= want {
			t.Errorf("only %d writes lost their answer, want more than %d", lost, want)
		}
		t.Logf("%d lost answers, %d stale overwrites, %d records of %d keys", lost, stale, len(records), keys)
	})
}

func numberIn(t *testing.T, v any) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil {
		t.Fatalf("no number: %v", v)
	}
	return n
}
