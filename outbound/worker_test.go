package outbound

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// rig is a worker on a model source and a model stream.
type rig struct {
	crm    *crmModel
	stream *streamModel
	cfg    TableConfig
}

func newRig(records int) *rig {
	r := &rig{crm: newCRM(5), stream: newStream(), cfg: testConfig()}
	for i := range records {
		r.crm.put(recordID(i), "initial")
	}
	return r
}

func (r *rig) worker(t testing.TB) *Worker { return newTestWorker(t, r.cfg, r.crm, r.stream, Deps{}) }

func (r *rig) pages() int {
	r.crm.mu.Lock()
	defer r.crm.mu.Unlock()
	return r.crm.pages
}

// check holds the stream against the source, quiet and complete.
func (r *rig) check(t testing.TB) {
	t.Helper()
	for _, f := range checkHistory(r.crm, r.stream.snapshot(), r.stream.batchEnds(), StartLoad, true) {
		t.Error(f)
	}
}

// last returns the last event of a record.
func (r *rig) last(t testing.TB, id string) event.Published {
	t.Helper()
	history := r.stream.snapshot()
	for i := len(history) - 1; i >= 0; i-- {
		if history[i].Subject == testNames().Record("account", id) {
			p, err := event.ReadHeader(history[i].Header)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	return event.Published{}
}

func wantState(t testing.TB, w *Worker, want State) Status {
	t.Helper()
	s := w.Status()
	if s.State != want {
		t.Fatalf("state %s, want %s; detail: %s", s.State, want, s.Detail)
	}
	return s
}

func TestLoadThenFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(23)
		w := r.worker(t)
		start(t, w)
		pass(time.Second)
		s := wantState(t, w, StateFollowing)
		if s.Published[event.Loaded] != 23 || s.Rows != 23 {
			t.Errorf("loaded %d, rows %d, want 23", s.Published[event.Loaded], s.Rows)
		}
		r.check(t)
		r.crm.put(recordID(1), "changed")
		r.crm.put(recordID(30), "new")
		r.crm.remove(recordID(2))
		r.crm.put(recordID(31), "short-lived")
		r.crm.remove(recordID(31))
		pass(20 * time.Second)
		s = wantState(t, w, StateFollowing)
		want := map[event.Change]uint64{event.Loaded: 23, event.Updated: 1, event.Created: 1, event.Deleted: 1}
		if fmt.Sprint(s.Published) != fmt.Sprint(want) || s.Skipped[skipUnknown] != 1 {
			t.Errorf("published %v skipped %v, want %v and one unknown delete", s.Published, s.Skipped, want)
		}
		if s.Lag <= 0 || s.Lag > 6*time.Second || s.SinceSuccess > 6*time.Second {
			t.Errorf("lag %s, since success %s with a poll every 5 s", s.Lag, s.SinceSuccess)
		}
		r.check(t)
	})
}

func TestFreshLoadNeedsNoCompareRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(200)
		stop := start(t, r.worker(t))
		pass(time.Second)
		stop()
		if r.stream.reads != 0 {
			t.Errorf("%d compare reads in a fresh load", r.stream.reads)
		}
		r.check(t)
	})
}

func TestResumedLoadComparesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(60)
		r.cfg.MaxBatch = 3
		r.stream.set(nil, func() time.Duration { return 100 * time.Millisecond })
		stop := start(t, r.worker(t))
		pass(1250 * time.Millisecond) // in the middle of a page
		stop()
		stored := len(r.stream.snapshot())
		if stored == 0 || stored > 80 {
			t.Fatalf("%d messages stored: the load was not interrupted half-way", stored)
		}
		r.crm.put(recordID(0), "changed in between")
		r.stream.set(nil, nil)
		start(t, r.worker(t))
		pass(10 * time.Second)
		r.check(t)
	})
}

func TestStartNowPublishesOnlyWhatChangesLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		r.cfg.Start = StartNow
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		r.crm.put(recordID(3), "changed")
		r.crm.put(recordID(40), "new")
		r.crm.remove(recordID(5))
		pass(time.Minute)
		if p := r.last(t, recordID(3)); p.Change != event.Updated {
			t.Errorf("a record that existed is %q, want updated", p.Change)
		}
		if p := r.last(t, recordID(40)); p.Change != event.Created {
			t.Errorf("a new record is %q, want created", p.Change)
		}
		s := w.Status()
		if s.Skipped[skipPriming] != 12 || s.Skipped[skipUnknown] != 1 || len(s.Published) != 2 {
			t.Errorf("skipped %v, published %v", s.Skipped, s.Published)
		}
	})
}

func TestRecordShownAndDeletedInOnePage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		live bool
		want []event.Change
	}{
		{"live: the delete is dropped", true, []event.Change{event.Loaded, event.Updated}},
		{"gone: both are published, the delete last", false, []event.Change{event.Loaded, event.Updated, event.Deleted}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(1)
				id := recordID(0)
				stop := start(t, r.worker(t))
				pass(time.Second)
				stop()
				// Deleted and recreated between two polls, perhaps deleted again
				// while the page travels.
				r.crm.remove(id)
				r.crm.put(id, "again")
				r.crm.set(func(op string) error {
					if op == "exists" && !c.live {
						go r.crm.remove(id)
					}
					return nil
				}, func() time.Duration { return 10 * time.Millisecond })
				page, err := r.crm.page(modelQuery(), "token=101")
				if err != nil || len(page.Rows) != 2 {
					t.Fatalf("the page has %d rows, %v", len(page.Rows), err)
				}
				if !c.live {
					r.crm.remove(id)
				}
				src := &scripted{crmModel: r.crm, page: page}
				w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
				start(t, w)
				pass(2 * time.Second)
				var got []event.Change
				for _, m := range r.stream.snapshot() {
					if m.Subject == testNames().Record("account", id) {
						p, _ := event.ReadHeader(m.Header)
						got = append(got, p.Change)
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("changes %v, want %v", got, c.want)
				}
			})
		})
	}
}

// scripted answers the first call with a page of its own.
type scripted struct {
	*crmModel
	once sync.Once
	page *Page
}

func (s *scripted) Page(ctx context.Context, q Query, link string) (p *Page, err error) {
	s.once.Do(func() { p = s.page })
	if p != nil {
		return p, nil
	}
	return s.crmModel.Page(ctx, q, link)
}

func TestPollsKeepTheirInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		start(t, r.worker(t))
		pass(10 * time.Second)
		before := r.pages()
		pass(100 * time.Second)
		if n := r.pages() - before; n < 18 || n > 23 {
			t.Errorf("%d polls in 100 s with an interval of 5 s", n)
		}
	})
}

func TestPokePollsAtOnceAndPokesCoalesce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		r.cfg.PollInterval = time.Hour
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		before := r.pages()
		r.crm.put(recordID(0), "rung")
		w.Poke()
		synctest.Wait()
		if n := r.pages() - before; n != 1 {
			t.Errorf("%d polls after a poke, want 1 at once", n)
		}
		if p := r.last(t, recordID(0)); p.Change != event.Updated {
			t.Errorf("the poke published %q", p.Change)
		}
		before = r.pages()
		for range 100 {
			w.Poke()
		}
		pass(time.Second)
		if n := r.pages() - before; n < 1 || n > 2 {
			t.Errorf("%d polls after 100 pokes at once, want 1 or 2", n)
		}
	})
}

func TestPokesCannotFloodTheSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		w := r.worker(t)
		start(t, w)
		pass(time.Second)
		before := r.pages()
		for range 1000 {
			w.Poke()
			pass(time.Millisecond)
		}
		if n := r.pages() - before; n < 10 || n > 21 {
			t.Errorf("%d polls in a second of pokes, want about one in %s", n, pokeGap)
		}
	})
}

func TestPokeDoesNotShortenADemandedWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		calls := 0
		r.crm.set(func(string) error {
			calls++
			return &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, Status: 429, RetryAfter: 5 * time.Minute}
		}, nil)
		w.Poke()
		pass(time.Second)
		w.Poke()
		pass(4 * time.Minute)
		if calls != 1 {
			t.Errorf("%d calls within the 5 minutes that the server asked for, want 1", calls)
		}
		if s := wantState(t, w, StateFollowing); s.Detail == "" || s.LastError == "" {
			t.Errorf("the wait is not shown: %+v", s)
		}
		r.crm.set(nil, nil)
		pass(2 * time.Minute)
		if s := w.Status(); s.Detail != "" {
			t.Errorf("the wait is over and still shown: %s", s.Detail)
		}
	})
}

func TestPauseHoldsUntilResume(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		w.Pause()
		synctest.Wait()
		wantState(t, w, StatePaused)
		before := r.pages()
		r.crm.put(recordID(0), "while paused")
		w.Poke()
		pass(time.Hour)
		if n := r.pages() - before; n != 0 {
			t.Errorf("%d polls while paused", n)
		}
		w.Resume()
		pass(time.Second)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

func TestPauseBeforeRunHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		w := r.worker(t)
		w.Pause()
		stop := start(t, w)
		pass(time.Minute)
		wantState(t, w, StatePaused)
		if r.pages() != 0 {
			t.Error("it polled while paused")
		}
		stop()
	})
}

func TestIdleTableCommitsRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		start(t, r.worker(t))
		pass(time.Minute)
		before := r.stream.stores()
		// Other tables move the version counter, so the delta link changes.
		for range 60 {
			r.crm.mu.Lock()
			r.crm.version++
			r.crm.mu.Unlock()
			pass(time.Minute)
		}
		if n := r.stream.stores() - before; n < 4 || n > 6 {
			t.Errorf("%d commits in an idle hour with a changing link, want one in 10 minutes", n)
		}
		before = r.stream.stores()
		pass(time.Hour)
		if n := r.stream.stores() - before; n > 1 {
			t.Errorf("%d commits in an hour without any change", n)
		}
	})
}

func TestRunTwiceIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1)
		w := r.worker(t)
		stop := start(t, w)
		pass(time.Second)
		if err := w.Run(t.Context()); err == nil {
			t.Error("a second Run was accepted")
		}
		stop()
		start(t, w)
		pass(time.Minute)
		wantState(t, w, StateFollowing)
	})
}
