package inbound

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestGateOpensOnlyWhenAllUnacknowledgedIsInHand(t *testing.T) {
	type step struct {
		claim  string
		number uint64
		pos    *FeedState
		inHand int
		open   bool
	}
	at := func(pending int, claim string) *FeedState {
		return &FeedState{Delivered: 9, AckPending: pending, Claim: claim}
	}
	cases := []struct {
		name  string
		steps []step
	}{
		{"nothing outstanding elsewhere", []step{{claim: "a", pos: at(1, "a"), inHand: 1, open: true}}},
		{"without a position", []step{{claim: "a", inHand: 100}}},
		{"one is elsewhere", []step{{claim: "a", pos: at(2, "a"), inHand: 1}, {claim: "a", inHand: 2, open: true}}},
		{"another client is active", []step{{claim: "a", pos: at(1, "b"), inHand: 1}}},
		{"the active client is unknown", []step{{claim: "a", pos: at(1, ""), inHand: 1, open: true}}},
		{"a new claim closes", []step{{claim: "a", pos: at(0, "a"), open: true}, {claim: "b", inHand: 9}}},
		{"a gap closes", []step{
			{claim: "a", number: 4, pos: at(0, "a"), open: true},
			{claim: "a", number: 5, open: true},
			{claim: "a", number: 7, inHand: 9},
		}},
		{"an unknown number is no gap", []step{
			{claim: "a", number: 4, pos: at(0, "a"), open: true}, {claim: "a", number: 0, open: true},
			{claim: "a", number: 9, open: true},
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var g gate
			for i, s := range tc.steps {
				g.note(&Message{Claim: s.claim, Number: s.number})
				if s.pos != nil {
					g.learn(g.epoch, *s.pos)
				}
				g.tryOpen(func(uint64) int { return s.inHand })
				if g.open != s.open {
					t.Errorf("step %d: open %t", i, g.open)
				}
			}
		})
	}
}

func TestGateIgnoresAPositionAskedForBeforeItClosed(t *testing.T) {
	var g gate
	g.note(&Message{Claim: "a"})
	asked := g.epoch
	g.note(&Message{Claim: "b"})
	g.learn(asked, FeedState{})
	if g.tryOpen(func(uint64) int { return 0 }) {
		t.Error("opened by a position of an earlier tenure")
	}
}

func TestGateBelievesInAnotherActiveClientOnlyTheSecondTime(t *testing.T) {
	var g gate
	g.note(&Message{Claim: "a"})
	other, own := FeedState{Claim: "b"}, FeedState{Claim: "a"}
	got := []bool{g.learn(1, other), g.learn(1, own), g.learn(1, other), g.learn(1, other)}
	if diff := cmp.Diff([]bool{false, false, false, true}, got); diff != "" {
		t.Error(diff)
	}
}

// TestGateNeverOpensOverAnOlderMessageElsewhere plays any order of deliveries,
// returns and settlements against the gate, and asks the model what is elsewhere.
func TestGateNeverOpensOverAnOlderMessageElsewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g gate
		here, elsewhere := map[uint64]bool{}, map[uint64]bool{}
		delivered := uint64(rapid.IntRange(0, 12).Draw(t, "delivered before"))
		for seq := range delivered {
			if rapid.Bool().Draw(t, "left unacknowledged") {
				elsewhere[seq+1] = true
			}
		}
		number := uint64(0)
		arrive := func(seq uint64) {
			number++
			g.note(&Message{Claim: "mine", Sequence: seq, Number: number})
			delete(elsewhere, seq)
			here[seq] = true
		}
		inHand := func(upTo uint64) (n int) {
			for seq := range here {
				if seq <= upTo {
					n++
				}
			}
			return n
		}
		pick := func(from map[uint64]bool) uint64 {
			for seq := uint64(1); seq <= delivered; seq++ {
				if from[seq] {
					return seq
				}
			}
			return 0
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"new", "again", "settled elsewhere", "read"}).Draw(t, "step") {
			case "new":
				delivered++
				arrive(delivered)
			case "again":
				if seq := pick(elsewhere); seq != 0 {
					arrive(seq)
				}
			case "settled elsewhere":
				delete(elsewhere, pick(elsewhere))
			case "read":
				g.learn(g.epoch, FeedState{
					Delivered: delivered, AckPending: len(here) + len(elsewhere), Claim: "mine",
				})
			}
			if g.tryOpen(inHand) && len(elsewhere) > 0 {
				t.Fatalf("opened while %v was elsewhere", elsewhere)
			}
			if g.open {
				return
			}
		}
	})
}

// holdBack makes a vanished client keep the first message for d, and publishes a
// newer one of its key.
func holdBack(h *bench, d time.Duration) {
	gone := h.b.client()
	h.b.publish("A")
	gone.pull()
	h.b.mu.Lock()
	h.b.pending[1].deadline = time.Now().Add(d)
	h.b.pinned = nil
	h.b.mu.Unlock()
	h.b.publish("A")
}

func TestATakeOverHoldsNewMessagesUntilTheOldOnesReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		holdBack(h, 8*time.Second)
		h.b.publish("B")
		h.start()
		h.after(7 * time.Second)
		if log := h.crm.writes(); len(log) != 0 {
			t.Errorf("written before the older one came back: %v", log)
		}
		h.after(2 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		if len(h.b.unsettled()) != 0 {
			t.Error("the gate stayed closed")
		}
	})
}

func TestStatusSaysThatMessagesAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		holdBack(h, 8*time.Second)
		h.start()
		h.after(time.Second)
		st := h.route.Status()
		if st.State != StateHolding || !strings.Contains(st.Detail, "take-over") || st.InFlight != 1 {
			t.Errorf("%+v", st)
		}
		if n := len(h.crm.writes()); n != 0 {
			t.Errorf("%d writes during the hold-back", n)
		}
		h.after(10 * time.Second)
		if st := h.route.Status(); st.State != StateRunning || st.Detail != "" {
			t.Errorf("%+v", st)
		}
		if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}

	})
}

func TestWhatIsHeldBackStaysThisClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		holdBack(h, 8*time.Second)
		h.start()
		h.after(20 * time.Second)
		if n := h.b.deliveriesOf(2); n != 1 {
			t.Errorf("the message held back was delivered %d times", n)
		}

	})
}

func TestAnUnreadablePositionHoldsBackButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.c.stateErr = errors.New("no responders")
		h.b.publish("A")
		h.start()
		h.after(5 * time.Second)
		if len(h.crm.writes()) != 0 {
			t.Error("written without knowing what is outstanding")
		}
		if st := h.route.Status(); !strings.Contains(st.LastError, "no responders") {
			t.Errorf("%+v", st)
		}
		h.c.set(func(c *client) { c.stateErr = nil })
		h.after(5 * time.Second)
		if len(h.b.unsettled()) != 0 {
			t.Error("still held back")
		}

	})
}

func TestATakeOverMayHoldMoreThanMaxHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Concurrency, cfg.MaxHeld = 2, 4
		h := newBench(t, cfg)
		for range 10 {
			h.b.publish("A")
		}
		h.b.client().pull() // takes all ten and vanishes
		h.start()
		h.after(10 * time.Second)
		if left := h.b.unsettled(); len(left) != 0 {
			t.Errorf("unsettled: %v, %+v", left, h.route.Status())
		}
		if diff := cmp.Diff([]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTwoClientsThatHoldBackDoNotWaitForEachOther(t *testing.T) {
	for name, noClaims := range map[string]bool{"the active client is known": false, "it is not": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, org, out := newBroker(), &crm{}, &outbox{}
				one, two := newBenchOn(t, testConfig(), b, org, out), newBenchOn(t, testConfig(), b, org, out)
				one.c.noClaims, two.c.noClaims = noClaims, noClaims
				// One holds the second message back, because of the first.
				holdBack(one, 15*time.Second)
				one.start()
				one.after(time.Second)
				// Two becomes active and holds the third one back, because of both.
				b.mu.Lock()
				b.claims++
				b.pinned, b.claim, b.lastPull = two.c, "forced", time.Now()
				b.mu.Unlock()
				two.start()
				b.publish("A")
				one.after(100 * time.Millisecond)
				if one.route.Status().InFlight != 1 || two.route.Status().InFlight != 1 {
					t.Errorf("not the situation: %+v, %+v", one.route.Status(), two.route.Status())
				}
				one.after(time.Minute)
				if left := b.unsettled(); len(left) != 0 {
					t.Errorf("still unsettled: %v", left)
				}
				if diff := cmp.Diff([]uint64{1, 2, 3}, org.sequences("A")); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAnotherClientThatIsActiveGetsTheWaitingMessagesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		holdBack(h, time.Hour)
		h.start()
		h.after(time.Second)
		other := h.b.client()
		h.b.mu.Lock()
		h.b.claims++
		h.b.pinned, h.b.claim, h.b.lastPull = other, "forced", time.Now()
		h.b.mu.Unlock()
		h.after(2 * time.Second)
		if st := h.route.Status(); st.InFlight != 0 {
			t.Errorf("still held: %+v", st)
		}
	})
}

func TestWhatWaitedUnderAnEarlierClaimIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		s := newSession(t.Context(), h.route)
		defer s.lapse()
		take := func(seq uint64, claim string) {
			s.handle(&delivery{c: h.c, m: &Message{Stream: "ERP", Sequence: seq, Claim: claim, Data: []byte(`{"key":"A"}`)}})
		}
		take(1, "a")
		take(2, "a")
		take(3, "b")
		take(2, "b")
		var held []uint64
		for id := range s.held {
			held = append(held, id.sequence)
		}
		slices.Sort(held)
		if diff := cmp.Diff([]uint64{2, 3}, held); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAMessageBeingSettledDoesNotCountAsUnacknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		s := newSession(t.Context(), h.route)
		defer s.lapse()
		s.gate.note(&Message{})
		// The acknowledgement of the first may have reached the server already; the
		// one that the server counts may be another.
		s.held[messageID{"", 1}] = &entry{settling: true}
		s.gate.learn(s.gate.epoch, FeedState{Delivered: 2, AckPending: 1})
		if s.tryOpen(); s.gate.open {
			t.Error("opened over a message elsewhere")
		}
	})
}

func TestALongCutEndsTheSessionAndCancelsItsWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		var cancelled time.Time
		h.crm.before = func(ctx context.Context, _ string, _ uint64, call int) error {
			if call > 1 {
				return nil
			}
			<-ctx.Done()
			cancelled = time.Now()
			return ctx.Err()
		}
		h.b.publish("A")
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		h.c.cut(true)
		began := time.Now()
		h.after(20 * time.Second)
		if cancelled.IsZero() || cancelled.Sub(began) >= h.b.ackWait {
			t.Errorf("the write was cancelled after %s", cancelled.Sub(began))
		}
		if n := len(h.crm.writes()); n != 0 {
			t.Errorf("%d writes while others may have the messages", n)
		}
		h.c.cut(false)
		h.after(10 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}

	})
}

func TestAShortCutChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, 4*time.Second)
			return ctx.Err()
		}
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		h.c.cut(true)
		h.after(time.Second)
		h.c.cut(false)
		h.after(5 * time.Second)
		if diff := cmp.Diff([]uint64{1}, h.crm.sequences("A")); diff != "" || h.b.deliveriesOf(1) != 1 {
			t.Error(diff, h.b.deliveriesOf(1))
		}

	})
}

func TestAProcessThatStoodStillTrustsNothingInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		s := newSession(t.Context(), h.route)
		defer s.lapse()
		now := time.Now()
		if !s.extendDue(now.Add(s.part(1))) {
			t.Error("a tick in time ended the session")
		}
		if s.extendDue(now.Add(h.b.ackWait / 2)) {
			t.Error("a tick much too late was not noticed")
		}
	})
}

func TestNoAttemptBeginsForAMessageThatMayBeAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		s := newSession(t.Context(), h.route)
		m := &Message{Sequence: 1, Data: []byte(`{"key":"A"}`)}
		e := &entry{message: m, extended: time.Now(), progress: &progress{}}
		time.Sleep(s.part(lapseAfter))
		if _, _, ok := s.attempt(t.Context(), e); ok || h.crm.calls != 0 {
			t.Error("an attempt was made")
		}
		if s.settle.Err() == nil || s.work.Err() == nil {
			t.Error("the session goes on")
		}
	})
}

func TestAGapMakesNewerMessagesWaitForTheLostOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.start()
		h.b.publish("A")
		h.after(time.Second)
		h.c.set(func(c *client) { c.latency = 50 * time.Millisecond })
		h.b.publish("A")
		h.after(10 * time.Millisecond) // the delivery is on the wire
		h.c.cut(true)
		h.c.cut(false)
		h.after(100 * time.Millisecond)
		h.b.publish("A")
		h.after(time.Second)
		if diff := cmp.Diff([]uint64{1}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		h.after(5 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2, 3}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}

	})
}
