package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// revisingMapper reads the revision of an event from its member rev.
type revisingMapper struct{ keyMapper }

func (revisingMapper) Revision(_ context.Context, e *cloudevent.Event) (string, error) {
	var p struct{ Rev string }
	return p.Rev, errors.Join(json.Unmarshal(e.Data(), &p), nil)
}

// ledger is the shared memory of revisions.
type ledger struct {
	mu    sync.Mutex
	place uint64
	keys  map[string]Applied
	reads int
	fail  func(call string) error
}

func (l *ledger) Applied(_ context.Context, key string) (Applied, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.fail != nil {
		if err := l.fail("read"); err != nil {
			return Applied{}, err
		}
	}
	return l.keys[key], nil
}

func (l *ledger) Advance(_ context.Context, key string, a Applied) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail("store"); err != nil {
			return 0, err
		}
	}
	if l.keys[key].Place != a.Place {
		return 0, ErrOutdated
	}
	if l.keys == nil {
		l.keys = map[string]Applied{}
	}
	l.place++
	a.Place = l.place
	l.keys[key] = a
	return a.Place, nil
}

func guardedBench(t *testing.T, cfg RouteConfig, b *broker, c *crm, store *ledger) *bench {
	h := newBenchOn(t, cfg, b, c, &outbox{})
	h.route.mapper = revisingMapper{}
	h.route.guard = newGuard(store)
	return h
}

func revised(key, rev string) string { return fmt.Sprintf(`{"key":%q,"rev":%q}`, key, rev) }

func TestAnOlderOrEqualRevisionIsNeverWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Receipts = "erp.receipts"
		h := guardedBench(t, cfg, newBroker(), &crm{}, &ledger{})
		for _, rev := range []string{"n2", "n1", "n2", "n3", "", "n3"} {
			h.b.publishRaw(revised("A", rev))
		}
		h.b.publishRaw(revised("B", "n1"))
		h.start()
		h.after(time.Second)
		if diff := cmp.Diff([]uint64{1, 4, 5}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int{Written: 4, Superseded: 3}, h.outcomes()); diff != "" {
			t.Error(diff)
		}
		if left := h.b.unsettled(); len(left) > 0 {
			t.Errorf("not settled: %v", left)
		}
		receipts := map[string]int{}
		for _, r := range h.out.receipts {
			receipts[r.Outcome]++
		}
		if diff := cmp.Diff(map[string]int{Written: 4, Superseded: 3}, receipts); diff != "" {
			t.Error(diff)
		}
		if got := h.route.Status().Results[Superseded]; got != 3 {
			t.Errorf("%d counted", got)
		}
	})
}

func TestTheOrderGuardSurvivesRestartsAndOtherInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, store := newBroker(), &crm{}, &ledger{}
		first := guardedBench(t, testConfig(), b, c, store)
		b.publishRaw(revised("A", "n1"))
		first.start()
		first.after(time.Second)
		// Another instance writes a newer revision while the first one remembers 1.
		first.c.cut(true)
		second := guardedBench(t, testConfig(), b, c, store)
		second.start()
		b.publishRaw(revised("A", "n7"))
		second.after(20 * time.Second)
		second.close()
		b.publishRaw(revised("A", "n5"))
		b.publishRaw(revised("A", "n8"))
		first.c.cut(false)
		first.after(20 * time.Second)
		first.close()
		third := guardedBench(t, testConfig(), b, c, store)
		b.publishRaw(revised("A", "n8"))
		third.start()
		third.after(20 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2, 4}, c.sequences("A")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAMessageIsNotAcknowledgedBeforeItsRevisionIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{}
		away := true
		store.fail = func(call string) error {
			if call == "store" && away {
				return errors.New("no answer")
			}
			return nil
		}
		h := guardedBench(t, testConfig(), newBroker(), &crm{}, store)
		h.b.publishRaw(revised("A", "n1"))
		h.start()
		h.after(10 * time.Second)
		if left := h.b.unsettled(); len(left) != 1 {
			t.Error("acknowledged while its revision was not stored")
		}
		store.mu.Lock()
		away = false
		store.mu.Unlock()
		h.after(10 * time.Second)
		if left := h.b.unsettled(); len(left) != 0 {
			t.Error("not acknowledged")
		}
		if diff := cmp.Diff([]uint64{1}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNothingIsWrittenWhileTheLastRevisionIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{fail: func(string) error { return errors.New("no answer") }}
		h := guardedBench(t, testConfig(), newBroker(), &crm{}, store)
		h.b.publishRaw(revised("A", "n1"))
		h.start()
		h.after(10 * time.Second)
		if n := len(h.crm.writes()); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestAFullRevisionStreamStopsTheRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{fail: func(call string) error {
			if call == "store" {
				return ErrStateFull
			}
			return nil
		}}
		h := guardedBench(t, testConfig(), newBroker(), &crm{}, store)
		h.b.publishRaw(revised("A", "n1"))
		h.start()
		h.after(time.Second)
		if st := h.route.Status(); st.State != StateStopped || len(h.b.unsettled()) != 1 {
			t.Errorf("state %s (%s), unsettled %v", st.State, st.Detail, h.b.unsettled())
		}
	})
}

func TestRevisionsOfDifferentKindsAreNotCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guardedBench(t, testConfig(), newBroker(), &crm{}, &ledger{})
		h.b.publishRaw(revised("A", "n1"))
		h.b.publishRaw(revised("A", "sx"))
		h.start()
		h.after(time.Second)
		if len(h.out.letters) != 1 || h.out.letters[0].Reason != string(outcome.Invalid) || h.out.letters[0].Revision != "sx" {
			t.Errorf("letters %+v", h.out.letters)
		}
	})
}

func TestTheGuardRemembersABoundedNumberOfKeys(t *testing.T) {
	store := &ledger{}
	g := newGuard(store)
	g.size = 10
	for i := range 100 {
		if _, err := g.applied(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(g.known) != 10 || len(g.order) != 10 {
		t.Errorf("%d keys known", len(g.known))
	}
	before := store.reads
	if _, err := g.applied(t.Context(), "99"); err != nil || store.reads != before {
		t.Errorf("a remembered key was read again (%v)", err)
	}
	g.forget()
	if _, err := g.applied(t.Context(), "99"); err != nil || store.reads != before+1 {
		t.Errorf("a forgotten key was not read again (%v)", err)
	}
}

func TestANewerRevisionOfAnotherInstanceStays(t *testing.T) {
	store := &ledger{}
	g := newGuard(store)
	w := &schema.Write{Table: "account", ID: "A"}
	key := KeyHash(w.Identity())
	e := &entry{lanes: []string{w.Lane()}, message: &Message{Incarnation: "i", Sequence: 5}, prepared: prepared{revision: "n5", writes: []*schema.Write{w}}}
	if _, err := g.judge(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Advance(t.Context(), key, Applied{Revision: "n9"}); err != nil {
		t.Fatal(err)
	}
	if err := g.advance(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := store.keys[key].Revision; got != "n9" {
		t.Errorf("stored revision %s, want n9", got)
	}
}

// Two keys that differ in an accent alone may be one record, so they keep their order;
// or two, so neither takes the other's revision for its own.
func TestKeysThatMayBeOneRecordKeepTheirOrderAndTheirOwnRevisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{}
		h := guardedBench(t, testConfig(), newBroker(), &crm{}, store)
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, 100*time.Millisecond)
			return nil
		}
		for _, key := range []string{"M\u00fcller", "Muller"} {
			h.b.publishRaw(revised(key, "n1"))
		}
		h.start()
		h.after(time.Second)
		if got := h.crm.writes(); len(got) != 2 || got[0].Sequence != 1 || h.crm.peak() != 1 {
			t.Errorf("written %v, %d at once", got, h.crm.peak())
		}
		if len(store.keys) != 2 {
			t.Errorf("%d revisions are kept, want one for each key", len(store.keys))
		}
	})
}
