package webapi

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"

	"pgregory.net/rapid"
)

// The virtual time of a bubble begins at midnight UTC.

func taken(b *Budget, s side, bulk bool, most int) int {
	for n := range most {
		if _, ok := b.take(s, bulk, 1); !ok {
			return n
		}
	}
	return most
}

func TestOutboundUsesItsShareAndInboundAllThatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1000, 0.4)
		if n := taken(b, outboundSide, true, 2000); n != 480 {
			t.Errorf("a long read took %d at the beginning of the day, want 480: a fifth of 600 is for polls", n)
		}
		if n := taken(b, outboundSide, false, 2000); n != 120 {
			t.Errorf("polls took %d more, want 120", n)
		}
		if n := taken(b, inboundSide, false, 2000); n != 400 {
			t.Errorf("inbound took %d, want the 400 that were kept for it", n)
		}
		if s := b.State(); s.Left != 0 || s.OutboundLeft != 0 || s.Outbound != 600 || s.Inbound != 400 || s.Date != "2000-01-01" {
			t.Errorf("state %+v", s)
		}
		b = NewBudget(1000, 0.4)
		if n := taken(b, inboundSide, false, 2000); n != 1000 {
			t.Errorf("inbound alone took %d, want all", n)
		}
		if n := taken(b, outboundSide, false, 10); n != 0 {
			t.Errorf("outbound took %d of nothing", n)
		}
	})
}

func TestWhatInboundDoesNotUseGoesToOutboundAsTheDayGoesBy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1000, 0.4)
		advance(12 * time.Hour)
		if n := taken(b, outboundSide, false, 2000); n != 800 {
			t.Errorf("outbound took %d at noon, want 800: half of inbound's 400 was for the morning", n)
		}
		again, ok := b.take(outboundSide, false, 1)
		if ok || again > 2*time.Minute {
			t.Errorf("refused to come again in %s although outbound gets more all the time", again)
		}
		advance(6 * time.Hour)
		if n := taken(b, outboundSide, false, 2000); n != 100 {
			t.Errorf("outbound took %d more in the evening, want 100", n)
		}
		if n := taken(b, inboundSide, false, 2000); n != 100 {
			t.Errorf("inbound took %d, want 100", n)
		}
		again, ok = b.take(outboundSide, false, 1)
		if ok || again < 6*time.Hour || again > 6*time.Hour+budgetSpread {
			t.Errorf("refused until %s from now, want the new day", again)
		}
		advance(6 * time.Hour)
		if s := b.State(); s.Left != 1000 || s.Date != "2000-01-02" || s.Reset.Day() != 3 {
			t.Errorf("the new day begins with %+v", s)
		}
	})
}

func TestABudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 300).Draw(t, "limit")
		share := rapid.Float64Range(0, 1).Draw(t, "share")
		b := NewBudget(limit, share)
		var used [sides]int64
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			s := side(rapid.IntRange(0, 1).Draw(t, "side"))
			n := rapid.Int64Range(1, 3).Draw(t, "n")
			if n > limit {
				n = 1
			}
			if _, ok := b.take(s, rapid.Bool().Draw(t, "bulk"), n); ok {
				used[s] += n
			}
			if used[0]+used[1] > limit {
				t.Fatalf("%d and %d requests of %d", used[0], used[1], limit)
			}
		}
		if n := b.Unsaved(); n.Outbound != used[0] || n.Inbound != used[1] {
			t.Fatalf("unsaved %+v, made %v", n, used)
		}
	})
}

func TestFiftyTablesPollTheWholeDayWithinTheBudget(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0, 0.5} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const limit, tables = 4000, 50
				b := NewBudget(limit, share)
				end := time.Now().Add(day - time.Second)
				var hours [24]atomic.Int64
				var refused atomic.Int64
				var group sync.WaitGroup
				for i := range tables {
					group.Go(func() {
						last := time.Now().Add(time.Duration(i) * 100 * time.Millisecond)
						for {
							next := last.Add(b.Pace(fmt.Sprint(i), 5*time.Second))
							if now := time.Now(); next.After(now) {
								advance(min(next.Sub(now), time.Minute))
							}
							if now := time.Now(); now.After(end) {
								return
							} else if next.After(now) {
								continue
							}
							last = time.Now()
							if _, ok := b.take(outboundSide, false, 1); !ok {
								refused.Add(1)
								continue
							}
							hours[last.Hour()].Add(1)
						}
					})
				}
				group.Wait()
				s := b.State()
				if s.Date == "2000-01-01" && (s.Outbound > limit || s.Outbound < limit*9/10) {
					t.Errorf("%d of %d requests were used", s.Outbound, limit)
				}
				total := int64(0)
				for h := range hours {
					n := hours[h].Load()
					total += n
					if n < 30 || n > limit/5 {
						t.Errorf("%d polls in hour %d", n, h)
					}
				}
				if total < limit*9/10 || total > limit {
					t.Errorf("%d polls in the day", total)
				}
			})
		})
	}
}

func TestWhereTheBudgetIsAmplePollsKeepTheirInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100_000, 0)
		if d := b.Pace("account", 5*time.Second); d != 5*time.Second {
			t.Errorf("one table polls in %s", d)
		}
		for i := range 9 { // 10 x 17,280 polls
			b.Pace(fmt.Sprint(i), 5*time.Second)
		}
		d := b.Pace("account", 5*time.Second)
		if d < 8*time.Second || d > 9*time.Second || b.State().Stretch < 1.7 {
			t.Errorf("ten tables poll in %s, stretched by %v", d, b.State().Stretch)
		}
		advance(paceKept + time.Second)
		if d := b.Pace("account", 5*time.Second); d != 5*time.Second {
			t.Errorf("tables that are gone still count: %s", d)
		}
		b.take(inboundSide, false, 100_000)
		if d := b.Pace("account", 5*time.Second); d < 23*time.Hour || d > day+5*time.Second {
			t.Errorf("polls in %s when nothing is left", d)
		}
	})
}

func TestSavingCountsWhatOtherInstancesUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1000, 0)
		b.take(outboundSide, false, 10)
		b.take(inboundSide, false, 5)
		u := b.Unsaved()
		b.take(inboundSide, false, 2) // while it is being saved
		if err := b.Saved(u, Spent{u.Date, 110, 305}); err != nil {
			t.Fatal(err)
		}
		if s := b.State(); s.Outbound != 110 || s.Inbound != 307 || s.Left != 583 {
			t.Errorf("state %+v", s)
		}
		if n := b.Unsaved(); n.Outbound != 0 || n.Inbound != 2 {
			t.Errorf("unsaved %+v", n)
		}
		if err := b.Saved(u, Spent{u.Date, 110, 305}); err == nil {
			t.Error("the same requests were saved twice")
		}
		advance(day)
		if err := b.Saved(u, Spent{u.Date, 900, 900}); err != nil || b.State().Left != 1000 {
			t.Errorf("yesterday's requests count today: %v, %+v", err, b.State())
		}
	})
}

// countingServer answers like a table and counts.
type countingServer struct{ reads, writes atomic.Int64 }

func (s *countingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.Method == http.MethodPatch {
		s.writes.Add(1)
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(204)
		return
	}
	s.reads.Add(1)
	answering(200, emptyDelta)(w, r)
}

func TestWritesWaitForTheNextDayAndReadsAreToldWhenToComeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{}
		b := NewBudget(50, 0.2)
		c, stop := newPipeClient(t, s, func(cfg *Config) { cfg.Budget, cfg.MaxInFlight = b, 16 })
		defer stop()
		var group sync.WaitGroup
		for i := range 60 {
			group.Go(func() {
				if _, err := c.Apply(t.Context(), upsertOf(i)); err != nil {
					t.Errorf("a write failed: %v", err)
				}
			})
		}
		advance(20 * time.Hour)
		if n := s.writes.Load(); n != 50 {
			t.Errorf("%d writes arrived in the first day, want 50", n)
		}
		err := pageError(c, t.Context())
		e := outcome.Of(err)
		if e == nil || e.Verdict != outcome.RetryAfter || e.Reason != outcome.Budget || e.RetryAfter < 4*time.Hour || e.RetryAfter > 5*time.Hour {
			t.Errorf("a page without budget: %v", err)
		}
		wantText(t, err, "GET accounts", "webapi.daily_requests")
		if l := c.Load(); l.RunningInbound != 0 {
			t.Errorf("%d slots are held while nothing may be sent", l.RunningInbound)
		}
		group.Wait()
		if n := s.writes.Load(); n != 60 || s.reads.Load() != 0 {
			t.Errorf("%d writes and %d reads in the end, want 60 and none", n, s.reads.Load())
		}
		if st := b.State(); st.Date != "2000-01-02" || st.Inbound != 10 {
			t.Errorf("the new day: %+v", st)
		}
		if err := pageError(c, t.Context()); err != nil {
			t.Errorf("a page of the new day: %v", err)
		}
	})
}

func TestWhatIsNotSentIsNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(50, 0)
		g := newGovernor(4)
		g.budget = b
		p := admitted(t, g, inboundSide)
		if s := b.State(); s.Inbound != 1 {
			t.Errorf("%d counted for an admitted request", s.Inbound)
		}
		ends(g, p, silent)
		if s := b.State(); s.Inbound != 0 {
			t.Errorf("%d counted for a request that was never made", s.Inbound)
		}
	})
}

func TestABatchCountsItsOperationsAndFitsTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sizing{t: t}
		b := NewBudget(25, 0)
		c, stop := newPipeClient(t, s, func(cfg *Config) {
			cfg.Budget, cfg.Batch = b, BatchConfig{Max: 10, Linger: time.Millisecond}
		})
		defer stop()
		var group sync.WaitGroup
		var done atomic.Int64
		for i := range 40 {
			group.Go(func() {
				if _, err := c.Apply(t.Context(), upsertOf(i)); err != nil {
					t.Errorf("a write failed: %v", err)
				}
				done.Add(1)
			})
		}
		advance(23 * time.Hour)
		// Two batches may board for the same room: the later one then waits for the new day,
		// and leaves the operation that it paid for to others.
		if n, counted := done.Load(), b.State().Inbound; n != 25 || counted != 25 {
			t.Errorf("%d writes were done and %d counted in the first day, want 25", n, counted)
		}
		group.Wait()
		if st := b.State(); st.Inbound != 15 {
			t.Errorf("the new day: %+v", st)
		}
	})
}

// A batch that waits over midnight is counted whole in the day in which it is sent.
func TestABatchThatWaitsOverMidnightHoldsNothingOfTheOldDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10, 0)
		p := &permit{side: inboundSide}
		if !b.pay(p, false) {
			t.Fatal("no room in a new day")
		}
		if _, ok := b.take(inboundSide, false, 7); !ok {
			t.Fatal("no room for seven")
		}
		spent := make(chan error, 1)
		go func() { spent <- b.spend(t.Context(), p, inboundSide, false, 5) }()
		synctest.Wait()
		if got := b.State().Inbound; got != 7 || p.paid {
			t.Errorf("%d counted while the batch waits, want 7", got)
		}
		if _, ok := b.take(inboundSide, false, 3); !ok {
			t.Error("what the waiting batch paid for is not left to others")
		}
		if err := <-spent; err != nil {
			t.Fatal(err)
		}
		if st := b.State(); st.Date != "2000-01-02" || st.Inbound != 5 {
			t.Errorf("the new day: %+v, want 5", st)
		}
	})
}

// What was paid yesterday takes nothing from today, be it sent or not.
func TestARequestPaidYesterdayIsNotTakenOffToday(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10, 0)
		unsent, sent := &permit{side: inboundSide}, &permit{side: inboundSide}
		if !b.pay(unsent, false) || !b.pay(sent, false) {
			t.Fatal("no room in a new day")
		}
		advance(25 * time.Hour)
		if _, ok := b.take(inboundSide, false, 4); !ok {
			t.Fatal("no room for four")
		}
		b.giveBack(unsent)
		if err := b.spend(t.Context(), sent, inboundSide, false, 1); err != nil {
			t.Fatal(err)
		}
		if got := b.State().Inbound; got != 5 { // the one that was sent counts where it was sent
			t.Errorf("%d counted, want 5", got)
		}
	})
}
