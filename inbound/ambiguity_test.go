package inbound

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/outcome"
)

func TestAWriteThatIsAppliedLateNeverOverwritesANewerOne(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second, 30 * time.Second, 119 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			cfg := testConfig()
			cfg.AmbiguityBound = 2 * time.Minute
			h := newBench(t, cfg)
			h.crm.before = func(_ context.Context, key string, seq uint64, call int) error {
				if seq != 1 || call > 1 {
					return nil
				}
				// The answer is lost, and the server goes on with the work.
				time.AfterFunc(late, func() {
					h.crm.mu.Lock()
					defer h.crm.mu.Unlock()
					h.crm.log = append(h.crm.log, write{key, seq})
				})
				return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Network, Ambiguous: true}
			}
			for _, key := range []string{"A", "A", "B", "A"} {
				h.b.publish(key)
			}
			h.start()
			h.after(time.Second)
			if len(h.crm.sequences("B")) != 1 {
				t.Error("another key waited")
			}
			h.after(3 * time.Minute)
			if bad := h.crm.regressions(); len(bad) > 0 {
				t.Errorf("applied %s late: %v", late, bad)
			}
			if left := h.b.unsettled(); len(left) > 0 {
				t.Errorf("not settled: %v", left)
			}
		})
	}
}

func TestOnlyAnAmbiguousFailureMakesTheNextMessageWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.AmbiguityBound = time.Hour
		h := newBench(t, cfg)
		h.crm.before = func(_ context.Context, _ string, _ uint64, call int) error {
			if call == 1 {
				return failing(outcome.Retry, outcome.Server)
			}
			return nil
		}
		h.b.publish("A")
		h.b.publish("A")
		h.start()
		h.after(10 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheWaitAfterAnAmbiguousFailureOutlivesASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.AmbiguityBound = time.Minute
		h := newBench(t, cfg)
		h.crm.before = func(ctx context.Context, _ string, _ uint64, call int) error {
			if call == 1 {
				<-ctx.Done() // cut off from its network
				return ctx.Err()
			}
			return nil
		}
		h.b.publish("A")
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		h.c.cut(true)
		h.after(10 * time.Second)
		h.c.cut(false)
		h.after(20 * time.Second)
		if diff := cmp.Diff([]uint64{1}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		h.after(time.Minute)
		if diff := cmp.Diff([]uint64{1, 2}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStragglersAreForgottenAfterTheirBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stragglers{bound: time.Minute}
		for i := range 1000 {
			s.note(string(rune('a'+i%500)), attemptID{messageID{"i", uint64(i)}, 0}, time.Now())
			time.Sleep(time.Second)
		}
		if n := len(s.keys); n > 130 {
			t.Errorf("%d keys remembered, at most two bounds' worth may be", n)
		}
		last, other := string(rune('a'+499)), attemptID{messageID{"i", 1}, 0}
		if left := s.left(last, other); left != 59*time.Second {
			t.Errorf("%s left after a second", left)
		}
		if own := s.own([]string{"b", last}, messageID{"i", 999}); own != 59*time.Second {
			t.Errorf("%s left of its own", own)
		}
		time.Sleep(59 * time.Second)
		if left := s.left(last, other); left != 0 {
			t.Errorf("%s left after the bound", left)
		}
	})
}

// Every third write loses its answer, before or after it was made, or is made up to
// the bound later.
func TestTenThousandAmbiguousWritesLeaveNoOlderState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys, perKey = 300, 100
		cfg := testConfig()
		cfg.AmbiguityBound = 500 * time.Millisecond
		cfg.Concurrency, cfg.MaxHeld = 64, 1024
		b := newBroker()
		b.maxAckPending, b.batch = 500, 200
		h := newBenchOn(t, cfg, b, &crm{}, &outbox{})
		rnd := newRand(1)
		var mu sync.Mutex
		ambiguous, late := 0, 0
		lost := &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout, Ambiguous: true}
		h.crm.before = func(_ context.Context, key string, seq uint64, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			if ambiguous >= 10_000 || rnd.IntN(3) != 0 {
				return nil
			}
			ambiguous++
			if rnd.IntN(2) == 0 {
				return lost // it was never made
			}
			late++
			time.AfterFunc(time.Duration(rnd.Int64N(int64(cfg.AmbiguityBound))), func() {
				h.crm.mu.Lock()
				defer h.crm.mu.Unlock()
				h.crm.log = append(h.crm.log, write{key, seq})
			})
			return lost
		}
		for range perKey {
			for k := range keys {
				b.publish(strconv.Itoa(k))
			}
		}
		h.start()
		for range 100 {
			h.after(3 * time.Second)
			if len(b.unsettled()) == 0 {
				break
			}
		}
		if bad := h.crm.regressions(); len(bad) > 0 {
			t.Errorf("%d older states, such as %s", len(bad), bad[0])
		}
		if ambiguous != 10_000 || late < 4000 || len(b.unsettled()) != 0 {
			t.Errorf("%d ambiguous, %d applied late, %d not settled", ambiguous, late, len(b.unsettled()))
		}
	})
}
