package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/event"
)

// payloadModel is an object store.
type payloadModel struct {
	mu     sync.Mutex
	above  int
	objs   map[string][]byte
	puts   int
	putErr error
	getErr error
}

func newPayloads(above int) *payloadModel {
	return &payloadModel{above: above, objs: map[string][]byte{}}
}

func (p *payloadModel) Above(context.Context) (int, error) { return p.above, nil }

func (p *payloadModel) Put(_ context.Context, name string, data []byte) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.puts++
	if p.putErr != nil {
		return "", p.putErr
	}
	if was, ok := p.objs[name]; ok && !bytes.Equal(was, data) {
		panic("another content under the name " + name)
	}
	p.objs[name] = bytes.Clone(data)
	return "nats-object:B/" + name, nil
}

func (p *payloadModel) Get(_ context.Context, uri string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.getErr != nil {
		return nil, p.getErr
	}
	data, ok := p.objs[strings.TrimPrefix(uri, "nats-object:B/")]
	if !ok {
		return nil, ErrNoPayload
	}
	return data, nil
}

func (p *payloadModel) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for name := range maps.Keys(p.objs) {
		list = append(list, name)
	}
	return list
}

// claimRig is a rig whose large events go to an object store.
func claimRig() (*rig, *payloadModel) {
	r := newRig(0)
	r.cfg.ClaimCheck, r.cfg.Previous = true, true
	return r, newPayloads(1500)
}

func (r *rig) claimWorker(t testing.TB, p Payloads) *Worker {
	return newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Payloads: p})
}

// resolved lists the events of one record, their data resolved.
func (r *rig) resolved(t testing.TB, p Payloads, id string) (list []event.Data, claimed int) {
	t.Helper()
	for _, m := range r.stream.snapshot() {
		if m.Subject != testNames().Record("account", id) {
			continue
		}
		d, err := event.ReadData(m.Header, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if d.Ref != "" {
			claimed++
			if d, err = ResolveData(t.Context(), p, d); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, d)
	}
	return list, claimed
}

func TestOnlyLargeEventsArePutAsideAndTheCompareReadsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, p := claimRig()
		large := strings.Repeat("x", 4000)
		r.crm.put(recordID(1), "small")
		r.crm.put(recordID(2), large)
		w := r.claimWorker(t, p)
		start(t, w)
		pass(time.Second)
		if _, n := r.resolved(t, p, recordID(1)); n != 0 {
			t.Error("a small event is put aside")
		}
		r.crm.put(recordID(2), large+"y")
		pass(time.Minute)
		list, n := r.resolved(t, p, recordID(2))
		if n != 2 || len(list) != 2 {
			t.Fatalf("%d events, %d of them put aside", len(list), n)
		}
		if !strings.Contains(string(list[1].Record), large+"y") || !strings.Contains(string(list[1].Previous), `"name":"`+large+`"`) {
			t.Error("the second event does not tell what the first one was")
		}
		r.crm.remove(recordID(2))
		pass(time.Minute)
		if list, _ = r.resolved(t, p, recordID(2)); len(list) != 3 || !strings.Contains(string(list[2].Previous), `"accountnumber"`) {
			t.Errorf("the delete does not bear the last keys: %s", list[len(list)-1].Previous)
		}
		wantState(t, w, StateFollowing)
		for _, name := range p.names() {
			if !strings.HasPrefix(name, "account/"+recordID(2)+"/0001.") {
				t.Errorf("object %s", name)
			}
		}
	})
}

func TestACrashBetweenObjectAndCommitNeitherLosesNorDoubles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, p := claimRig()
		r.crm.put(recordID(1), strings.Repeat("x", 4000))
		r.stream.set(func(op string) streamFault {
			if op == "commit" {
				return streamFault{err: ErrUnavailable}
			}
			return streamFault{}
		}, nil)
		stop := start(t, r.claimWorker(t, p))
		pass(time.Second)
		stop()
		if len(p.names()) != 1 || len(r.stream.snapshot()) != 0 {
			t.Fatalf("%d objects, %d messages before the crash", len(p.names()), len(r.stream.snapshot()))
		}
		r.stream.set(nil, nil)
		start(t, r.claimWorker(t, p))
		pass(time.Minute)
		list, n := r.resolved(t, p, recordID(1))
		if len(list) != 1 || n != 1 || len(p.names()) != 1 {
			t.Errorf("%d events, %d put aside, %d objects", len(list), n, len(p.names()))
		}
	})
}

func TestAnObjectStoreThatFailsDelaysAndOneThatIsMissingHalts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, p := claimRig()
		r.crm.put(recordID(1), strings.Repeat("x", 4000))
		p.putErr = fmt.Errorf("%w: away", ErrUnavailable)
		w := r.claimWorker(t, p)
		start(t, w)
		pass(10 * time.Second)
		if n := len(r.stream.snapshot()); n != 0 || w.Status().State == StateHalted {
			t.Fatalf("%d messages, state %s", n, w.Status().State)
		}
		p.mu.Lock()
		p.putErr = nil
		p.mu.Unlock()
		pass(2 * time.Minute)
		if list, _ := r.resolved(t, p, recordID(1)); len(list) != 1 {
			t.Fatalf("%d events once the object store is back", len(list))
		}
		// What the compare needs cannot be read now: it waits.
		p.mu.Lock()
		p.getErr = fmt.Errorf("%w: away", ErrUnavailable)
		p.mu.Unlock()
		r.crm.put(recordID(1), "small")
		pass(10 * time.Second)
		if list, _ := r.rawEvents(recordID(1)); list != 1 || w.Status().State == StateHalted {
			t.Fatalf("%d events, state %s", list, w.Status().State)
		}
		// It is gone for good: a person must know.
		p.mu.Lock()
		p.getErr = nil
		clear(p.objs)
		p.mu.Unlock()
		pass(2 * time.Minute)
		if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, "object store") || !strings.Contains(s.Detail, "resync") {
			t.Errorf("detail: %s", s.Detail)
		}
	})
}

// rawEvents counts the events of a record.
func (r *rig) rawEvents(id string) (n int, last Stored) {
	for _, m := range r.stream.snapshot() {
		if m.Subject == testNames().Record("account", id) {
			n, last = n+1, m
		}
	}
	return n, last
}

func TestWithoutAClaimCheckALargeEventIsNotTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, p := claimRig()
		r.cfg.ClaimCheck = false
		r.crm.put(recordID(1), strings.Repeat("x", 4000))
		start(t, r.claimWorker(t, p))
		pass(time.Second)
		if p.puts != 0 {
			t.Error("data is put aside that nobody asked for")
		}
		if _, n := r.resolved(t, p, recordID(1)); n != 0 {
			t.Error("an event refers to an object")
		}
	})
	r, _ := claimRig()
	if _, err := NewWorker(r.cfg, r.crm, r.stream, Deps{}); err == nil {
		t.Error("a claim check without payloads starts")
	}
}

func TestDataBeyondTheLargestMessageIsPutAsideUnencoded(t *testing.T) {
	t.Parallel()
	r, p := claimRig()
	w := r.claimWorker(t, p)
	row := []byte(`{"name":"` + strings.Repeat("x", event.MaxBody) + `"}`)
	rec := event.Record{RecordID: recordID(1), Version: 5, Epoch: 1, Change: event.Loaded, ReadBy: event.ByLoad, Recorded: time.Now(), Row: row}
	header, data, err := w.encodeOne(t.Context(), &rec, 1500)
	if err != nil {
		t.Fatal(err)
	}
	d, err := event.ReadData(header, data)
	if err == nil {
		d, err = ResolveData(t.Context(), p, d)
	}
	if err != nil || !bytes.Equal(d.Record, row) {
		t.Errorf("%d bytes are read back: %v", len(d.Record), err)
	}
	rec.Row = []byte(`{"name":"` + strings.Repeat("x", event.MaxPayload) + `"}`)
	stop := (*haltError)(nil)
	if _, _, err := w.encodeOne(t.Context(), &rec, 1500); !errors.As(err, &stop) || !strings.Contains(err.Error(), recordID(1)) {
		t.Errorf("beyond every limit: %v", err)
	}
}
