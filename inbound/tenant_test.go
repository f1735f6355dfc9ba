package inbound

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/outcome"
)

// Three instances are killed, cut off and ended while the organization goes on, up to
// the bound, with requests whose answers nobody got.
func TestWhatAKilledInstanceSentNeverOverwritesANewerMessage(t *testing.T) {
	var applied, takeOvers atomic.Int64
	histories := *seeds
	if testing.Short() {
		histories = (histories + 2) / 3
	}
	t.Cleanup(func() {
		if applied.Load() < int64(5*histories) || takeOvers.Load() < int64(2*histories) {
			t.Errorf("only %d late writes and %d take-overs", applied.Load(), takeOvers.Load())
		}
	})
	for seed := range histories {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(uint64(seed), 11))
				cfg := testConfig()
				cfg.AmbiguityBound = 10 * time.Second
				w := &world{t: t, rnd: rnd, b: newBroker(), crm: &crm{}, out: &outbox{}, late: cfg.AmbiguityBound, cfg: cfg}
				w.b.onAck = w.judge
				w.kills, w.cuts, w.acks, w.faults = true, rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0
				if rnd.IntN(3) > 0 {
					w.memory = &ledger{}
				}
				w.run()
				applied.Add(w.applied.Load())
				takeOvers.Add(int64(w.b.claims))
			})
		})
	}
}

// tenants are two instances that follow each other on one route; the first is in the
// middle of message 1 of key A when it ends.
type tenants struct {
	*bench
	second *bench
	when   map[uint64]time.Time
}

func newTenants(t *testing.T, store Revisions) *tenants {
	cfg := testConfig()
	cfg.AmbiguityBound = time.Minute
	b, c := newBroker(), &crm{}
	h := &tenants{bench: newBenchOn(t, cfg, b, c, &outbox{}), second: newBenchOn(t, cfg, b, c, &outbox{}), when: map[uint64]time.Time{}}
	h.route.deps.Revisions, h.second.route.deps.Revisions = store, store
	for _, key := range []string{"A", "A", "B", "B"} {
		b.publish(key)
	}
	return h
}

// takes tells how long after the start of the second instance each message was written.
func (h *tenants) takes(d time.Duration) map[uint64]time.Duration {
	h.t.Helper()
	h.crm.mu.Lock()
	h.crm.before = func(_ context.Context, _ string, seq uint64, _ int) error {
		h.mu.Lock()
		h.when[seq] = time.Now()
		h.mu.Unlock()
		return nil
	}
	h.crm.mu.Unlock()
	began := time.Now()
	h.second.start()
	h.after(d)
	h.second.close()
	if left := h.b.unsettled(); len(left) > 0 {
		h.t.Errorf("not settled: %v", left)
	}
	took := map[uint64]time.Duration{}
	for seq, at := range h.when {
		took[seq] = at.Sub(began)
	}
	return took
}

func TestAfterACrashTheNextMessageOfAKeyWaitsForWhatTheDeadOneMayHaveSent(t *testing.T) {
	for name, store := range map[string]Revisions{"with a memory": &ledger{}, "without": nil} {
		synctest.Test(t, func(t *testing.T) {
			h := newTenants(t, store)
			h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error { <-ctx.Done(); return ctx.Err() }
			h.start()
			h.after(time.Second)
			h.c.cut(true)
			h.after(10 * time.Second) // it has lapsed, and cannot tell anybody
			h.close()
			took := h.takes(2 * time.Minute)
			for _, seq := range []uint64{1, 3} {
				if took[seq] > 5*time.Second {
					t.Errorf("%s: message %d itself waited %s", name, seq, took[seq])
				}
			}
			for _, seq := range []uint64{2, 4} {
				if took[seq] < 55*time.Second || took[seq] > 65*time.Second {
					t.Errorf("%s: message %d was written after %s", name, seq, took[seq])
				}
			}
		})
	}
}

func TestAfterAnOrderlyEndNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTenants(t, &ledger{})
		h.crm.before = func(context.Context, string, uint64, int) error {
			return failing(outcome.Retry, outcome.Server)
		}
		h.start()
		h.after(time.Second)
		h.close()
		for seq, took := range h.takes(20 * time.Second) {
			if took > 10*time.Second {
				t.Errorf("message %d was written after %s", seq, took)
			}
		}
	})
}

func TestAnEndWhileWritesWaitForTheirTurnIsAnOrderlyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTenants(t, &ledger{})
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			<-ctx.Done()
			return fmt.Errorf("waiting for its turn, %w: %w", ErrNotSent, ctx.Err())
		}
		h.start()
		h.after(time.Second)
		h.close()
		for seq, took := range h.takes(20 * time.Second) {
			if took > 10*time.Second {
				t.Errorf("message %d was written after %s", seq, took)
			}
		}
	})
}

func TestAnOrderlyEndAfterALostAnswerIsNoCleanOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTenants(t, &ledger{})
		h.crm.before = func(context.Context, string, uint64, int) error {
			return &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Timeout, Ambiguous: true, RetryAfter: time.Hour}
		}
		h.start()
		h.after(time.Second)
		h.close()
		if took := h.takes(2 * time.Minute); took[2] < 50*time.Second || took[1] > 10*time.Second {
			t.Errorf("written after %v", took)
		}
	})
}

// The first instance got its message written by the second attempt, and is killed
// before the first one can be excluded.
func TestAMessageWithALostAnswerIsAcknowledgedWhenItCanNoLongerTakeEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.AmbiguityBound = time.Minute
		h := newBench(t, cfg)
		h.crm.before = func(_ context.Context, _ string, _ uint64, call int) error {
			if call == 1 {
				return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Network, Ambiguous: true}
			}
			return nil
		}
		h.b.publish("A")
		h.start()
		h.after(50 * time.Second)
		if got := h.crm.sequences("A"); len(got) != 1 || len(h.b.unsettled()) != 1 {
			t.Errorf("written %v, not settled %v", got, h.b.unsettled())
		}
		h.b.publish("B")
		h.after(time.Second)
		if len(h.crm.sequences("B")) != 1 {
			t.Error("another key waited")
		}
		h.after(20 * time.Second)
		if len(h.b.unsettled()) != 0 || h.b.deliveriesOf(1) != 1 {
			t.Errorf("not settled %v after %d deliveries", h.b.unsettled(), h.b.deliveriesOf(1))
		}
	})
}

func TestOnlyHalfOfWhatIsInHandWaitsForItsAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.AmbiguityBound, cfg.MaxHeld = time.Hour, 20
		h := newBench(t, cfg)
		seen := map[uint64]bool{}
		h.crm.before = func(_ context.Context, _ string, seq uint64, _ int) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !seen[seq] {
				seen[seq] = true
				return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Network, Ambiguous: true}
			}
			return nil
		}
		for i := range 100 {
			h.b.publish(fmt.Sprint("k", i))
		}
		h.start()
		h.after(5 * time.Minute)
		if got := len(h.crm.writes()); got != 100 || len(h.b.unsettled()) != 10 {
			t.Errorf("%d written, %d not acknowledged", got, len(h.b.unsettled()))
		}
	})
}

func TestNothingIsWrittenBeforeTheMemoryKnowsWhoWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		store := &ledger{fail: func(string) error {
			if broken {
				return errors.New("no responders")
			}
			return nil
		}}
		h := newTenants(t, store)
		h.start()
		h.after(20 * time.Second)
		if n := len(h.crm.writes()); n != 0 || !strings.Contains(h.route.Status().LastError, "no responders") {
			t.Errorf("%d writes, %+v", n, h.route.Status())
		}
		store.mu.Lock()
		broken = false
		store.mu.Unlock()
		h.after(20 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAFullMemoryStopsTheRouteBeforeItsFirstWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTenants(t, &ledger{fail: func(call string) error {
			if call == "store" {
				return fmt.Errorf("full: %w", ErrStateFull)
			}
			return nil
		}})
		h.start()
		h.after(20 * time.Second)
		if st := h.route.Status(); st.State != StateStopped || len(h.crm.writes()) != 0 {
			t.Errorf("%+v after %d writes", st, len(h.crm.writes()))
		}
	})
}

func TestATenantThatWasReplacedCannotSayThatItLeftInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{}
		h := newTenants(t, store)
		h.start()
		h.after(5 * time.Second)
		store.mu.Lock()
		here := store.keys[tenantKey]
		here.Place += 100
		store.keys[tenantKey] = here
		store.mu.Unlock()
		h.close()
		if got := store.keys[tenantKey]; got.Revision != tenantHere {
			t.Errorf("%+v", got)
		}
	})
}
