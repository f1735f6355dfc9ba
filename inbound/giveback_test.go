package inbound

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/outcome"
)

// patient is a configuration, and a broker, whose ack wait is so long that what comes
// again sooner was given back.
func patient() (RouteConfig, *broker) {
	cfg, b := testConfig(), newBroker()
	cfg.AckWait, b.ackWait, b.pinTTL = time.Minute, time.Minute, time.Minute
	cfg.AmbiguityBound, cfg.Concurrency = 30*time.Second, 2
	return cfg, b
}

// pair makes two instances of one route, which share what they keep.
func pair(t *testing.T, cfg RouteConfig, b *broker, store Revisions) (first, second *bench) {
	t.Helper()
	c, out := &crm{}, &outbox{}
	first, second = newBenchOn(t, cfg, b, c, out), newBenchOn(t, cfg, b, c, out)
	first.route.deps.Revisions, second.route.deps.Revisions = store, store
	return first, second
}

func slow(ctx context.Context, _ string, _ uint64, _ int) error {
	if !sleep(ctx, time.Second) {
		return ctx.Err()
	}
	return nil
}

func TestAnOrderlyStopGivesBackWhatWasNotBegunAndARestartGoesOnAtOnce(t *testing.T) {
	for name, waiting := range map[string]bool{"a restart": false, "another instance that waits": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg, b := patient()
				first, second := pair(t, cfg, b, &ledger{})
				first.crm.before = slow
				for i := range 60 {
					b.publish(fmt.Sprint("k", i%6))
				}
				first.start()
				first.after(500 * time.Millisecond)
				if waiting {
					second.start()
				}
				first.after(2 * time.Second)
				first.close()
				done := len(first.crm.writes())
				if done == 0 || done > 10 {
					t.Fatalf("%d writes before the stop", done)
				}
				if !waiting {
					second.start()
				}
				second.after(40 * time.Second) // 60 writes of a second, two at a time, and no ack wait
				if left := b.unsettled(); len(left) > 0 {
					t.Errorf("not settled: %v", left)
				}
				if bad := first.crm.regressions(); len(bad) > 0 {
					t.Error(bad)
				}
				if n := len(first.crm.writes()); n != 60 {
					t.Errorf("%d writes of 60 messages", n)
				}
			})
		})
	}
}

// Message 1 of A is in doubt, so nothing that came later overtakes it, and it is not
// given back; the others wait for it at the next client.
func TestAMessageInDoubtIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, b := patient()
		first, second := pair(t, cfg, b, &ledger{})
		first.crm.before = func(ctx context.Context, _ string, seq uint64, _ int) error {
			if seq == 1 {
				<-ctx.Done() // the answer is lost
				return ctx.Err()
			}
			return failing(outcome.Retry, outcome.Server) // certainly not done
		}
		for _, key := range []string{"A", "A", "B", "B"} {
			b.publish(key)
		}
		first.start()
		first.after(time.Second)
		first.close()
		stopped := time.Now()
		when := map[uint64]time.Duration{}
		first.crm.before = func(_ context.Context, _ string, seq uint64, _ int) error {
			second.mu.Lock()
			defer second.mu.Unlock()
			when[seq] = time.Since(stopped)
			return nil
		}
		second.start()
		second.after(30 * time.Second)
		if diff := cmp.Diff(map[uint64]int{1: 1, 2: 2, 3: 2, 4: 2}, map[uint64]int{1: b.deliveriesOf(1), 2: b.deliveriesOf(2), 3: b.deliveriesOf(3), 4: b.deliveriesOf(4)}); diff != "" {
			t.Errorf("deliveries (-want +got):\n%s", diff)
		}
		second.mu.Lock()
		early := len(when)
		second.mu.Unlock()
		if early != 0 {
			t.Errorf("%d messages were written before the message in doubt is in hand", early)
		}
		second.after(2 * time.Minute)
		if bad := first.crm.regressions(); len(bad) > 0 || len(b.unsettled()) > 0 {
			t.Errorf("%v, not settled %v", bad, b.unsettled())
		}
		second.mu.Lock()
		defer second.mu.Unlock()
		if when[2]-when[1] < 15*time.Second { // the bound, less a quarter of the ack wait
			t.Errorf("written after %v: message 2 did not wait for what may come of message 1", when)
		}
	})
}

// Whoever takes over from a dead instance, and ends before it wrote again what that one may
// have sent, must not say that all was left in order.
func TestAShortTakeOverDoesNotHideWhatADeadInstanceMayHaveSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		began := time.Now()
		entryOf := func(seq, deliveries uint64, arrived time.Duration) *entry {
			return &entry{message: &Message{Sequence: seq, Deliveries: deliveries}, arrived: began.Add(arrived), progress: &progress{}}
		}
		for name, c := range map[string]struct {
			clean bool
			held  *entry
			want  bool
		}{
			"nothing is left":                  {false, nil, true},
			"one that came again":              {false, entryOf(1, 2, -time.Second), false},
			"after an orderly end it may be":   {true, entryOf(1, 2, -time.Second), true},
			"its first delivery":               {false, entryOf(1, 1, -time.Second), true},
			"one that came again to this same": {false, entryOf(1, 2, time.Second), true},
		} {
			s := newSession(t.Context(), h.route)
			if c.held != nil {
				s.held[c.held.message.id()] = c.held
			}
			if got := s.inherited(&tenancy{clean: c.clean, at: began}); got != c.want {
				t.Errorf("%s: %v", name, got)
			}
			s.endIntake()
			s.endWork()
			s.endSettle()
		}
	})
}

func TestAfterALapseNothingIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, b := patient()
		h := newBenchOn(t, cfg, b, &crm{}, &outbox{})
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error { <-ctx.Done(); return ctx.Err() }
		for _, key := range []string{"A", "A", "B"} {
			b.publish(key)
		}
		h.start()
		h.after(time.Second)
		h.c.set(func(c *client) { c.mute = true }) // it can do all but extend
		h.after(50 * time.Second)
		if b.releases() != 0 || h.b.deliveriesOf(2) != 1 {
			t.Errorf("%d messages were given back by a client that had lost them", b.releases())
		}
	})
}

func TestAPausedRouteLeavesItsMessagesToAnotherInstanceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, b := patient()
		first, second := pair(t, cfg, b, &ledger{})
		first.crm.before = slow
		for range 10 {
			b.publish("A")
		}
		first.start()
		first.after(500 * time.Millisecond)
		second.start()
		first.after(time.Second)
		first.route.Pause()
		first.after(15 * time.Second)
		if n := len(first.crm.writes()); n != 10 || len(b.unsettled()) != 0 || len(first.crm.regressions()) != 0 {
			t.Errorf("%d writes, not settled %v, %v", n, b.unsettled(), first.crm.regressions())
		}
	})
}

// Between two deliveries that came here another instance had the message, and may have
// sent it again.
func TestASettledMessageThatSomebodyElseHadMeanwhileIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for deliveries, want := range map[uint64]bool{2: false, 3: true} {
			h := newBench(t, testConfig())
			s := newSession(t.Context(), h.route)
			e := &entry{
				message: &Message{Sequence: 1, Deliveries: deliveries}, arrived: time.Now(), lanes: []string{"A"},
				progress: &progress{settlement: &settlement{outcome: Written}, delivered: 1},
			}
			s.inheritSettled(e)
			if got := h.route.late.own(e.lanes, e.message.id()) > 0; got != want {
				t.Errorf("delivery %d: in doubt %v", deliveries, got)
			}
			if e.progress.delivered != deliveries {
				t.Errorf("delivery %d is not remembered", deliveries)
			}
			s.endIntake()
			s.endWork()
			s.endSettle()
		}
	})
}
