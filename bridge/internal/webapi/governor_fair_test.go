package webapi

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPollsOvertakeLongReadsWhichStillGetTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGovernor(1)
		first := admitted(t, g, outboundSide)
		order := make(chan bool, 20)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ask := func(bulk bool) {
			go func() {
				if p, err := g.admitRead(ctx, outboundSide, bulk); err == nil {
					order <- bulk
					g.done(p)
				}
			}()
			synctest.Wait()
		}
		for range 3 {
			ask(true)
		}
		for range 8 {
			ask(false)
		}
		g.done(first)
		for i, want := range []bool{false, false, false, true, false, false, false, true, false, false, true} {
			if got := <-order; got != want {
				t.Fatalf("request %d: long read %v, want %v", i, got, want)
			}
		}
	})
}

// TestALoadOfManyTablesStarvesNeitherPollsNorWrites: sixty readers of long reads
// want all slots all the time; a poll and a write wait no longer than a slot takes to
// come free, and the long reads go on meanwhile.
func TestALoadOfManyTablesStarvesNeitherPollsNorWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const took = 2 * time.Second
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				advance(50 * time.Millisecond)
				w.Header().Set("OData-Version", "4.0")
				w.WriteHeader(204)
				return
			}
			advance(took)
			answering(200, emptyDelta)(w, r)
		})
		c, stop := newPipeClient(t, server, func(cfg *Config) { cfg.MaxInFlight = 8 })
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		var loaded atomic.Int64
		for range 60 {
			group.Go(func() {
				q := accountQuery()
				q.Bulk = true
				for ctx.Err() == nil {
					if _, err := c.Page(ctx, q, ""); err == nil {
						loaded.Add(1)
					}
				}
			})
		}
		advance(10 * time.Second)
		var mu sync.Mutex
		var slowPoll, slowWrite time.Duration
		var polls, writes int
		measure := func(slowest *time.Duration, n *int, one func() error, pause time.Duration) {
			group.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					if err := one(); err == nil {
						mu.Lock()
						*slowest = max(*slowest, time.Since(began))
						*n++
						mu.Unlock()
					}
					advance(pause)
				}
			})
		}
		for range 10 {
			measure(&slowPoll, &polls, func() error { return pageError(c, ctx) }, 5*time.Second)
			measure(&slowWrite, &writes, func() error { _, err := c.Apply(ctx, upsertOf(1)); return err }, 100*time.Millisecond)
		}
		before := loaded.Load()
		advance(5 * time.Minute)
		mu.Lock()
		if slowPoll > 5*took || polls < 300 { // ten polls at once, four slots, a long read after three: three rounds and the own one
			t.Errorf("%d polls, the slowest took %s where a page takes %s", polls, slowPoll, took)
		}
		if slowWrite > 2*took || writes < 3000 {
			t.Errorf("%d writes, the slowest took %s", writes, slowWrite)
		}
		mu.Unlock()
		if n := loaded.Load() - before; n < 100 {
			t.Errorf("%d pages of long reads in five minutes: they are starved", n)
		}
		cancel()
		group.Wait()
	})
}

func TestTheLoadOfTheClientIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, stop := newPipeClient(t, answering(200, emptyDelta), func(cfg *Config) { cfg.MaxInFlight = 2 })
		defer stop()
		g := c.governor
		a, b := admitted(t, g, outboundSide), admitted(t, g, inboundSide)
		ctx, cancel := context.WithCancel(t.Context())
		for _, bulk := range []bool{true, false} {
			go func() { _, _ = g.admitRead(ctx, outboundSide, bulk) }()
		}
		go func() { _, _ = g.admit(ctx, inboundSide) }()
		synctest.Wait()
		want := Load{Limit: 2, Most: 2, RunningOutbound: 1, RunningInbound: 1, WaitingOutbound: 2, WaitingInbound: 1}
		if got := c.Load(); got != want {
			t.Errorf("load %+v, want %+v", got, want)
		}
		cancel()
		synctest.Wait()
		a.hint = 1
		ends(g, a, clean)
		ends(g, b, congested)
		g.gate.closeFor(time.Minute)
		want = Load{Limit: 1, Most: 2, Hint: 1, ClosedUntil: time.Now().Add(time.Minute)}
		if got := c.Load(); !got.ClosedUntil.Equal(want.ClosedUntil) || got.Hint != 1 || got.Limit != 1 || got.RunningOutbound+got.WaitingOutbound != 0 {
			t.Errorf("load %+v, want %+v", got, want)
		}
		advance(time.Minute)
		if got := c.Load(); !got.ClosedUntil.IsZero() {
			t.Errorf("an open gate is shown as closed until %s", got.ClosedUntil)
		}
	})
}
