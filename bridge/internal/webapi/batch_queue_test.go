package webapi

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatDoesNotFitIntoABatchWaitsForTheLingerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const linger = 100 * time.Millisecond
		s := &sizing{t: t, took: time.Hour / 100}
		c, stop := newPipeClient(t, s, func(cfg *Config) {
			cfg.MaxInFlight, cfg.Batch = 3, BatchConfig{Max: 10, Linger: linger}
		})
		defer stop()
		// All slots are taken until every write waits and the linger is over.
		var permits []*permit
		for range 3 {
			p, err := c.governor.admit(t.Context(), inboundSide)
			if err != nil {
				t.Fatal(err)
			}
			permits = append(permits, p)
		}
		var group sync.WaitGroup
		for i := range 9 {
			group.Go(func() {
				w := upsertOf(i)
				w.Body = slices.Concat([]byte(`{"name":"`), bytes.Repeat([]byte("x"), 900<<10), []byte(`"}`))
				if _, err := c.Apply(t.Context(), w); err != nil {
					t.Error(err)
				}
			})
		}
		advance(time.Second)
		start := time.Now()
		for _, p := range permits {
			c.governor.done(p)
		}
		group.Wait()
		if !slices.Equal(s.sizes, []int{4, 4, 1}) {
			t.Fatalf("requests of %v writes, want 4, 4 and 1", s.sizes)
		}
		for i, at := range s.at {
			if waited := at.Sub(start); waited != time.Duration(i)*linger {
				t.Errorf("request %d left after %v", i, waited)
			}
		}
	})
}

func TestACallerThatLeavesWithItsPermitHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sizing{t: t}
		c, stop := newPipeClient(t, s, batching(10))
		defer stop()
		b := c.batches
		p, err := c.governor.admit(t.Context(), inboundSide)
		if err != nil {
			t.Fatal(err)
		}
		// Its turn to be sent alone came, and its context ended before it looked.
		gone := &passenger{ctx: t.Context(), ticket: make(chan arrival, 1)}
		b.linger, b.inside, b.flying = time.Hour, 1, 1
		b.life, b.end = context.WithCancel(context.Background())
		b.sendAlone(gone, p)
		start := time.Now()
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := c.Apply(t.Context(), upsertOf(1)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // it waits for company
		b.leave(gone)
		group.Wait()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the other write waited %v", waited)
		}
		if c.governor.total() != 0 || b.flying != 0 || b.inside != 0 || b.starting != 0 {
			t.Errorf("%d slots taken, %d in flight, %d inside, %d starting", c.governor.total(), b.flying, b.inside, b.starting)
		}
	})
}

func TestASlotThatWasAskedForByCallersWhoLeftServesThoseWhoCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sizing{t: t}
		c, stop := newPipeClient(t, s, batching(10))
		defer stop()
		b := c.batches
		p, err := c.governor.admit(t.Context(), inboundSide)
		if err != nil {
			t.Fatal(err)
		}
		// The callers left in the moment in which their request got its slot.
		b.starting = 1
		b.life, b.end = context.WithCancel(context.Background())
		b.end()
		var group sync.WaitGroup
		for i := range 2 {
			group.Go(func() {
				if _, err := c.Apply(t.Context(), upsertOf(i)); err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		b.fill(p, nil)
		group.Wait()
		if !slices.Equal(s.sizes, []int{2}) {
			t.Errorf("requests of %v writes, want one of 2", s.sizes)
		}
	})
}
