package inbound

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

// poisoned runs n messages through a route with the default settings, and returns how
// long those of the good keys took.
func poisoned(t *testing.T, n int, poison func(ctx context.Context) error, keyOf func(i int) string) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		cfg := RouteConfig{Name: "erp", Format: FormatJSON, EventType: "com.example.changed"}
		b := newBroker()
		b.ackWait, b.pinTTL, b.maxAckPending, b.batch = DefaultAckWait, DefaultAckWait, DefaultMaxHeld, 64
		h := parkedBench(t, cfg, b, &crm{}, &outbox{}, &lot{})
		var mu sync.Mutex
		good, left := 0, 0
		done := make(chan struct{})
		h.crm.before = func(ctx context.Context, key string, _ uint64, _ int) error {
			if poison != nil && strings.HasPrefix(key, "bad") {
				return poison(ctx)
			}
			sleep(ctx, 50*time.Millisecond)
			return nil
		}
		h.crm.after = func(_ context.Context, key string, _ uint64, _ int) error {
			if strings.HasPrefix(key, "good") {
				mu.Lock()
				defer mu.Unlock()
				if left--; left == 0 {
					close(done)
				}
			}
			return nil
		}
		for i := range n {
			key := keyOf(i)
			if strings.HasPrefix(key, "good") {
				good++
			}
			h.b.publish(key)
		}
		left = good
		began := time.Now()
		h.start()
		limit := time.After(time.Hour)
		select {
		case <-done:
		case <-limit:
			t.Fatalf("the good messages were not all written within an hour: %+v", h.route.Status())
		}
		took = time.Since(began)
		h.after(time.Minute)
		if bad := h.crm.regressions(); bad != nil {
			t.Error(bad)
		}
		if open := h.b.unsettled(); 2*len(open) > DefaultMaxHeld {
			t.Errorf("%d messages are neither settled nor parked", len(open))
		}
	})
	return took
}

// Poison of a tenth of the keys, of each kind that fails for a reason of its own,
// leaves the others at least nine tenths of their throughput.
func TestATenthOfPoisonedKeysLeavesTheOthersNineTenthsOfTheirThroughput(t *testing.T) {
	keys := func(i int) string {
		if i%10 == 0 {
			return fmt.Sprintf("bad%d", i/10%10)
		}
		return fmt.Sprintf("good%d", i%100)
	}
	n := 20_000
	if testing.Short() {
		n /= 2
	}
	clean := poisoned(t, n*9/10, nil, func(i int) string { return fmt.Sprintf("good%d", i%100) })
	for name, poison := range map[string]func(context.Context) error{
		"rejected":              func(context.Context) error { return failing(outcome.Reject, outcome.Invalid) },
		"fails for ever":        func(context.Context) error { return failing(outcome.Retry, outcome.Plugin) },
		"misses another record": func(context.Context) error { return failing(outcome.Park, outcome.MissingReference) },
		"loses races for ever":  func(context.Context) error { return failing(outcome.RetryRace, outcome.Duplicate) },
		"fails slowly for ever": func(ctx context.Context) error {
			sleep(ctx, time.Second)
			return failing(outcome.Retry, outcome.Server)
		},
		"an error of no verdict": func(context.Context) error { return fmt.Errorf("odd") },
	} {
		took := poisoned(t, n, poison, keys)
		share := float64(clean) / float64(took)
		t.Logf("%s: the others keep %.0f %% (%s instead of %s)", name, 100*share, took, clean)
		if share < 0.9 {
			t.Errorf("%s: the others keep %.0f %% of their throughput", name, 100*share)
		}
	}
}

// Poisoned messages of ever new keys, far more than may be unacknowledged, do not
// stop the others either.
func TestEverNewPoisonedKeysNeverFillTheAckWindow(t *testing.T) {
	keys := func(i int) string {
		if i%10 == 0 {
			return fmt.Sprintf("bad%d", i)
		}
		return fmt.Sprintf("good%d", i%100)
	}
	took := poisoned(t, 20_000, func(context.Context) error { return failing(outcome.Retry, outcome.Plugin) }, keys)
	t.Logf("18,000 good messages beside 2,000 that fail for ever took %s", took)
	if took > time.Minute {
		t.Errorf("the good messages took %s", took)
	}
}

// While nothing is accepted, what fails says nothing about the messages: they stay in
// hand and nothing is parked.
func TestWhileEverythingFailsNothingIsParkedForWantOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lot{}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{}, &outbox{}, l)
		h.crm.before = func(context.Context, string, uint64, int) error { return failing(outcome.Retry, outcome.Server) }
		for i := range 1000 {
			h.b.publish(fmt.Sprint("k", i))
		}
		h.start()
		h.after(10 * time.Minute)
		if l.count() != 0 {
			t.Errorf("%d messages were parked because the organization was away", l.count())
		}
	})
}

// A wait that the server asked for, of minutes, is spent in hand: the message is not
// delivered again meanwhile, and later ones of its key do not overtake it.
func TestAWaitOfMinutesIsSpentInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(_ context.Context, key string, _ uint64, call int) error {
			if key == "slow" && call == 1 {
				return &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, RetryAfter: 10 * time.Minute}
			}
			return nil
		}
		h.b.publish("slow")
		h.start()
		h.after(time.Second)
		h.b.publish("slow")
		h.b.publish("other")
		h.after(9 * time.Minute)
		if got := h.crm.sequences("slow"); len(got) != 0 || len(h.crm.sequences("other")) != 1 {
			t.Errorf("written during the wait: %v, and others %v", got, h.crm.sequences("other"))
		}
		h.after(2 * time.Minute)
		if got := h.crm.sequences("slow"); len(got) != 2 || got[0] != 1 || len(h.b.unsettled()) != 0 {
			t.Errorf("written %v, unsettled %v", got, h.b.unsettled())
		}
		for seq := uint64(1); seq <= 3; seq++ {
			if n := h.b.deliveriesOf(seq); n != 1 {
				t.Errorf("message %d was delivered %d times", seq, n)
			}
		}
	})
}

// The bridge decides what becomes of a message, not how often it was delivered.
func TestAMillionDeliveriesAreNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.b.before = 1_000_000
		for _, key := range []string{"A", "A", "B"} {
			h.b.publish(key)
		}
		h.start()
		h.after(time.Minute)
		if len(h.crm.writes()) != 3 || len(h.b.unsettled()) != 0 {
			t.Errorf("written %v, unsettled %v", h.crm.writes(), h.b.unsettled())
		}
		for _, s := range h.settled {
			if s.Message.Deliveries <= 1_000_000 || s.Outcome != "written" {
				t.Errorf("message %d: %s at delivery %d", s.Message.Sequence, s.Outcome, s.Message.Deliveries)
			}
		}
	})
}
