package inbound

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

// Up to three instances park messages whose parents come and go. They are stopped in order,
// killed and cut off, answers get lost, and the organization goes on with what nobody waits
// for any more. The bound is less than a quarter of AckWait, so that waiting covers also
// what a killed one sent of a parked message.
func TestNoKeyGoesBackWhenParkedMessagesGoOnAtOnceAfterAnOrderlyEnd(t *testing.T) {
	var mu sync.Mutex
	var resumed, waited, parked, late int64
	histories := *seeds
	if testing.Short() {
		histories = (histories + 2) / 3
	}
	t.Cleanup(func() {
		t.Logf("%d terms went on at once, %d did not; at most %d parked in a history; %d late writes", resumed, waited, parked, late)
		if n := int64(histories); 4*resumed < n || waited < n || parked < 10 || late < 3*n {
			t.Error("the histories were not eventful")
		}
	})
	for seed := range histories {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := parkingWorld(t, uint64(seed))
				w.run()
				mu.Lock()
				defer mu.Unlock()
				resumed, waited = resumed+int64(w.lot.resumed), waited+int64(w.lot.waited)
				parked, late = max(parked, int64(w.lot.most)), late+w.applied.Load()
			})
		})
	}
}

func parkingWorld(t *testing.T, seed uint64) *world {
	rnd := rand.New(rand.NewPCG(seed, 13))
	cfg := parkConfig()
	cfg.AckWait, cfg.AmbiguityBound, cfg.GiveUpParked = 6*time.Second, 800*time.Millisecond, 24*time.Hour
	cfg.ParkAfter, cfg.RetryMax = 300*time.Millisecond, time.Second
	w := &world{
		t: t, rnd: rnd, b: newBroker(), crm: &crm{}, out: &outbox{}, late: cfg.AmbiguityBound, cfg: cfg,
		lot: &lot{}, several: 1 + rnd.IntN(3), steps: 600, stops: true,
	}
	w.b.ackWait, w.b.pinTTL, w.b.onAck = cfg.AckWait, time.Second, w.judge
	w.kills, w.cuts, w.acks, w.faults = rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(4) > 0
	w.lost = []float64{0.05, 0.15}[rnd.IntN(2)]
	if rnd.IntN(2) > 0 {
		w.memory = &ledger{}
	}
	// The parent of half the keys comes and goes, for some seconds each, and stays in the end.
	began, phase := time.Now(), time.Duration(1+rnd.IntN(6))*time.Second
	w.crm.before = func(_ context.Context, key string, _ uint64, _ int) error {
		if since := time.Since(began); key < "k5" && since < 90*time.Second && since/phase%2 == 0 {
			return &outcome.Error{Verdict: outcome.Park, Reason: outcome.MissingReference}
		}
		return nil
	}
	return w
}
