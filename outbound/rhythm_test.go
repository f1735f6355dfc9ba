package outbound

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// clocked notes when pages are asked for.
type clocked struct {
	Source
	mu    *sync.Mutex
	times *[]time.Time
}

func (c clocked) Page(ctx context.Context, q Query, link string) (*Page, error) {
	c.mu.Lock()
	*c.times = append(*c.times, time.Now())
	c.mu.Unlock()
	return c.Source.Page(ctx, q, link)
}

// crowd is the most requests that any window of that length holds.
func crowd(times []time.Time, window time.Duration) int {
	slices.SortFunc(times, time.Time.Compare)
	most, first := 0, 0
	for i := range times {
		for times[i].Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestFiftyTablesDoNotPollInTheSameInstant(t *testing.T) {
	t.Parallel()
	for _, most := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var times []time.Time
				const tables = 50
				for i := range tables {
					r := newRig(1)
					r.cfg.PollMax, r.cfg.Phase, r.cfg.OverlapEvery = most, float64(i)/tables, -1
					start(t, newTestWorker(t, r.cfg, clocked{r.crm, &mu, &times}, r.stream, Deps{}))
				}
				pass(2 * time.Second)
				mu.Lock()
				if n := crowd(times, 100*time.Millisecond); n > 12 || len(times) < tables {
					t.Errorf("%d of %d first requests within 100 ms, want them spread over a second", n, len(times))
				}
				mu.Unlock()
				pass(time.Minute)
				mu.Lock()
				times = nil
				mu.Unlock()
				pass(10 * time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if n := crowd(times, 100*time.Millisecond); n > 2 { // its two edges
					t.Errorf("%d polls within 100 ms, want one in each", n)
				}
				want := 50 * 120 // one request per poll per table
				if most != 0 {
					want = 50 * 10
				}
				if len(times) < want-tables || len(times) > want+tables {
					t.Errorf("%d polls in ten minutes, want %d", len(times), want)
				}
			})
		})
	}
}

func TestAnIdleTableIsPolledLessAndAChangedOneAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		r.cfg.PollMax, r.cfg.OverlapEvery = time.Minute, -1
		w := r.worker(t)
		start(t, w)
		pass(10 * time.Minute)
		before := r.pages()
		pass(10 * time.Minute)
		if n := r.pages() - before; n < 9 || n > 11 {
			t.Errorf("%d polls of an idle table in ten minutes, want one a minute", n)
		}
		if s := w.Status(); s.Interval != time.Minute {
			t.Errorf("interval %s shown, want 1m", s.Interval)
		}
		r.crm.put(recordID(0), "changed")
		w.Poke()
		pass(time.Second)
		if s := w.Status(); s.Interval != 5*time.Second {
			t.Errorf("interval %s after a change, want 5s", s.Interval)
		}
		before = r.pages()
		for range 12 {
			r.crm.put(recordID(0), "changed again")
			pass(5 * time.Second)
		}
		if n := r.pages() - before; n < 11 {
			t.Errorf("%d polls in a minute of changes, want one in 5 s", n)
		}
	})
}

// slow is a pacer that allows one poll in an hour until it is told otherwise.
type slow struct {
	mu  sync.Mutex
	way time.Duration
}

func (s *slow) Pace(string, time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.way
}

func (s *slow) set(way time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.way = way
}

func TestAPacerStretchesPollsAndIsAskedAgainWhileTheTableWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		r.cfg.OverlapEvery = -1
		p := &slow{way: time.Hour}
		w := newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Pacer: p})
		start(t, w)
		pass(time.Minute)
		if s := w.Status(); s.Interval != time.Hour || !strings.Contains(s.Detail, "1h0m0s") {
			t.Errorf("the stretch is not shown: %s, %q", s.Interval, s.Detail)
		}
		before := r.pages()
		pass(5 * time.Hour)
		if n := r.pages() - before; n < 4 || n > 5 {
			t.Errorf("%d polls in five hours, want one an hour", n)
		}
		before = r.pages()
		w.Poke()
		pass(time.Second)
		if n := r.pages() - before; n != 1 {
			t.Errorf("%d polls after a poke, want one at once", n)
		}
		p.set(time.Second) // a pacer never shortens
		before = r.pages()
		pass(2 * time.Minute)
		if n := r.pages() - before; n < 11 || n > 25 {
			t.Errorf("%d polls in two minutes after the stretch ended, want one in 5 s within a minute", n)
		}
	})
}

func TestTheNextPollIsOnTheGridAfterNowAndWithinTheInterval(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		least := time.Duration(rapid.Int64Range(1e8, 24*3600e9).Draw(t, "least"))
		r := newRhythm(least, 4*least, rapid.Float64Range(0, 0.999).Draw(t, "phase"))
		last := time.Unix(0, rapid.Int64Range(-1e18, 4e18).Draw(t, "last"))
		now := last.Add(time.Duration(rapid.Int64Range(0, int64(4*least)).Draw(t, "took")))
		interval := least + time.Duration(rapid.Int64Range(0, int64(3*least)).Draw(t, "more"))
		next := r.next(last, now, interval)
		if !next.After(now) || next.Sub(now) > max(interval, least) {
			t.Fatalf("next poll %s after now, interval %s", next.Sub(now), interval)
		}
		if r.place(next) != next {
			t.Fatal("the next poll is not on the grid")
		}
		if now.Before(last.Add(interval-least)) && next.After(last.Add(interval)) {
			t.Fatal("the next poll is later than the interval allows")
		}
	})
}

func TestPagesOfLongReadsAreMarkedBulk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(20)
		var mu sync.Mutex
		marks := map[bool]int{}
		src := sourceFunc{r.crm, func(q Query) {
			mu.Lock()
			defer mu.Unlock()
			marks[q.Bulk]++
		}}
		start(t, newTestWorker(t, r.cfg, src, r.stream, Deps{}))
		pass(100 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if marks[true] != 4 || marks[false] != 1 {
			t.Errorf("pages by mark %v, want the load's 4 marked and the poll not", marks)
		}
	})
}

type sourceFunc struct {
	Source
	see func(Query)
}

func (s sourceFunc) Page(ctx context.Context, q Query, link string) (*Page, error) {
	s.see(q)
	return s.Source.Page(ctx, q, link)
}
