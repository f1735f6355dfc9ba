package inbound

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

// throughput publishes n messages over 100 keys, every tenth of them poisoned, and
// returns how long the good ones took.
func throughput(t *testing.T, n int, poison *outcome.Error) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.b.maxAckPending = 200
		good := 0
		h.crm.before = func(ctx context.Context, key string, _ uint64, _ int) error {
			sleep(ctx, 10*time.Millisecond)
			if poison != nil && strings.HasPrefix(key, "poison") {
				return poison
			}
			return nil
		}
		for i := range n {
			if i%10 == 0 {
				h.b.publish("poison" + strconv.Itoa(i%100))
				continue
			}
			good++
			h.b.publish("k" + strconv.Itoa(i%100))
		}
		began := time.Now()
		h.start()
		for count := 0; count < good && time.Since(began) < time.Hour; {
			h.after(10 * time.Millisecond)
			count = 0
			for _, w := range h.crm.writes() {
				if !strings.HasPrefix(w.Key, "poison") {
					count++
				}
			}
		}
		took = time.Since(began)
	})
	return took
}

func TestRejectedMessagesDoNotSlowTheOthers(t *testing.T) {
	clean := throughput(t, 600, nil)
	poisoned := throughput(t, 600, failing(outcome.Reject, outcome.Invalid))
	if float64(clean) < 0.9*float64(poisoned) {
		t.Errorf("%s with a tenth of poison, %s without", poisoned, clean)
	}
}

func TestFailingKeysLeaveSlotsToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		failing := failing(outcome.Retry, outcome.Timeout)
		h.crm.before = func(ctx context.Context, key string, _ uint64, _ int) error {
			if strings.HasPrefix(key, "hangs") {
				sleep(ctx, 5*time.Second)
				return failing
			}
			sleep(ctx, 10*time.Millisecond)
			return nil
		}
		for i := range 30 {
			h.b.publish("hangs" + strconv.Itoa(i))
		}
		h.start()
		h.after(time.Minute) // every one of them has failed once
		for i := range 100 {
			h.b.publish("good" + strconv.Itoa(i))
		}
		h.after(time.Second)
		if n := len(h.crm.writes()); n != 100 {
			t.Errorf("%d of 100 written beside keys that hang", n)
		}
	})
}

func TestAFailingKeyBlocksOnlyItsOwnLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Concurrency = 1
		h := newBench(t, cfg)
		h.crm.before = func(_ context.Context, key string, _ uint64, _ int) error {
			if key == "bad" {
				return failing(outcome.Retry, outcome.Server)
			}
			return nil
		}
		for range 20 {
			h.b.publish("bad")
			h.b.publish("good")
		}
		h.start()
		h.after(time.Minute)
		if n := len(h.crm.sequences("good")); n != 20 {
			t.Errorf("%d of 20 written", n)
		}
		if st := h.route.Status(); st.InFlight != 20 || st.Lanes != 1 {
			t.Errorf("%+v", st)
		}
		if n := h.b.deliveriesOf(1); n != 1 {
			t.Errorf("a waiting message was delivered %d times", n)
		}
	})
}

func TestConcurrencyAndWhatIsHeldAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Concurrency, cfg.MaxHeld = 4, 10
		h := newBench(t, cfg)
		h.b.maxAckPending = 1000
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, 100*time.Millisecond)
			return nil
		}
		h.b.batch = 5
		h.start()
		for i := range 5 {
			h.b.publish("k" + strconv.Itoa(i))
		}
		h.after(time.Second) // the gate is open
		for i := range 100 {
			h.b.publish("k" + strconv.Itoa(i))
		}
		most := 0
		for range 200 {
			h.after(10 * time.Millisecond)
			most = max(most, h.route.Status().InFlight)
		}
		if most != 10 || h.crm.peak() != 4 {
			t.Errorf("%d held, %d writes at once", most, h.crm.peak())
		}
		h.after(10 * time.Second)
		if left := h.b.unsettled(); len(left) != 0 {
			t.Errorf("unsettled: %v, %+v", left, h.route.Status())
		}
	})
}

func TestATakeInThatWasBlockedForLongChecksThePositionAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Concurrency, cfg.MaxHeld = 1, 2
		h := newBench(t, cfg)
		h.b.maxAckPending = 6
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, 2*time.Second)
			return nil
		}
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		for range 6 {
			h.b.publish("A")
		}
		h.after(3500 * time.Millisecond)
		h.route.mu.Lock()
		s := h.route.current
		h.route.mu.Unlock()
		s.mu.Lock()
		epochs := s.gate.epoch
		s.mu.Unlock()
		if epochs < 2 {
			t.Error("the gate did not close after a long wait for room")
		}
		h.after(5 * time.Minute)
		if left := h.b.unsettled(); len(left) != 0 {
			t.Errorf("unsettled: %v, %+v", left, h.route.Status())
		}
		if r := h.crm.regressions(); r != nil {
			t.Error(r)
		}
	})
}
