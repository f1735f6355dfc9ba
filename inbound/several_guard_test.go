package inbound

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

func guardedSeveral(t *testing.T, c *crm, store *ledger) *bench {
	h := severalBench(t, testConfig(), newBroker(), c, &outbox{}, nil)
	h.route.mapper = listMapper{}
	h.route.guard = newGuard(store)
	return h
}

func revisedKeys(rev string, keys ...string) string {
	data, _ := json.Marshal(keyList{Keys: keys, Revision: rev})
	return string(data)
}

func laneOf(key string) string {
	value, _ := json.Marshal(key)
	return schema.FoldKey("account", []schema.KeyPart{{Column: "accountnumber", Value: value}})
}

func TestTheRevisionGuardsTheKeyOfTheFirstWriteAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, store := &crm{}, &ledger{}
		h := guardedSeveral(t, c, store)
		for _, data := range []string{
			revisedKeys("n7", "order1", "contact"),
			revisedKeys("n3", "order2", "contact"), // another order: its revision is its own
			revisedKeys("n6", "order1", "line"),    // older than what was applied to order1
		} {
			h.b.publishRaw(data)
		}
		h.start()
		h.after(time.Second)
		if diff := cmp.Diff(map[string]int{Written: 2, Superseded: 1}, h.outcomes()); diff != "" {
			t.Error(diff)
		}
		if got := c.sequences("contact"); !slices.Equal(got, []uint64{1, 2}) || len(c.sequences("line")) != 0 {
			t.Errorf("contact %v, line %v", got, c.sequences("line"))
		}
		if len(store.keys) != 2 {
			t.Errorf("%d keys have a revision, want those of the two orders", len(store.keys))
		}
	})
}

func TestAfterARejectedLaterWriteNothingOlderIsWrittenAndTheLetterCanBeSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, store, bad := &crm{}, &ledger{}, true
		h := guardedSeveral(t, c, store)
		c.before = func(_ context.Context, key string, _ uint64, _ int) error {
			if bad && key == "line" {
				return failing(outcome.Reject, outcome.Invalid)
			}
			return nil
		}
		h.b.publishRaw(revisedKeys("n6", "order", "line"))
		h.b.publishRaw(revisedKeys("n5", "order"))
		h.start()
		h.after(time.Second)
		if diff := cmp.Diff(map[string]int{Rejected: 1, Superseded: 1}, h.outcomes()); diff != "" {
			t.Error(diff)
		}
		if a := store.keys[KeyHash(laneOf("order"))]; a.Revision != "n6" || a.Sequence != 1 {
			t.Fatalf("stored %+v", a)
		}
		// The letter is sent again, fails again, and is sent again once more.
		send := func(of uint64) {
			header := map[string][]string{
				HeaderRetryOf: {RetryOf("erp", &Message{Incarnation: "i1", Sequence: of})}, HeaderRetryRoute: {"erp"},
			}
			h.b.mu.Lock()
			h.b.messages = append(h.b.messages, &Message{
				Subject: "erp.customer", Data: []byte(revisedKeys("n6", "order", "line")), Header: header,
				Stream: "ERP", Incarnation: "i1", Sequence: uint64(len(h.b.messages) + 1), Stored: time.Now(),
			})
			h.b.rouse()
			h.b.mu.Unlock()
			h.after(time.Second)
		}
		send(1)
		if a := store.keys[KeyHash(laneOf("order"))]; a.Sequence != 3 {
			t.Fatalf("after the second failure %+v is stored", a)
		}
		bad = false
		send(3)
		if got := c.sequences("line"); !slices.Equal(got, []uint64{4}) {
			t.Errorf("line written by %v", got)
		}
		// It is written now: the first letter, sent by somebody else, comes too late.
		h.b.publishRaw(revisedKeys("n7", "order"))
		h.after(time.Second)
		send(4)
		if diff := cmp.Diff(map[string]int{Rejected: 2, Superseded: 2, Written: 2}, h.outcomes()); diff != "" {
			t.Error(diff)
		}
	})
}
