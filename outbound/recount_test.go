package outbound

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// skipping leaves the last row out of pages that another follows, as if it had moved
// between the two, and can list the table.
type skipping struct {
	*crmModel
	skips   func(link string) bool
	skipped atomic.Int32
	lists   atomic.Int32
	fault   func(call int32) error
	// before runs ahead of every page.
	before func(link string)
}

func (s *skipping) Page(ctx context.Context, q Query, link string) (*Page, error) {
	if s.before != nil {
		s.before(link)
	}
	p, err := s.crmModel.Page(ctx, q, link)
	if err == nil && p.Next != "" && len(p.Rows) > 1 && !p.Rows[len(p.Rows)-1].Deleted && s.skips(link) {
		s.skipped.Add(1)
		p.Rows = p.Rows[:len(p.Rows)-1]
	}
	return p, err
}

func (s *skipping) List(_ context.Context, q Query, link string) (*Page, error) {
	if n := s.lists.Add(1); s.fault != nil {
		if err := s.fault(n); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	after, _ := strings.CutPrefix(link, "after=")
	p := s.loadPage(1, after)
	p.Delta = ""
	if p.Next != "" {
		p.Next = "after=" + p.Rows[len(p.Rows)-1].ID
	}
	for i := range p.Rows {
		p.Rows[i].JSON = nil
	}
	return p, nil
}

func (s *skipping) Record(_ context.Context, q Query, id string) (*Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[id]; r == nil || !r.live {
		return nil, nil
	}
	row := s.row(id)
	row.selectColumns(q.Columns)
	return &row, nil
}

func always(string) bool { return true }
func never(string) bool  { return false }

func TestRowsThatALoadSkippedBetweenItsPagesArePublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(43)
		src := &skipping{crmModel: r.crm, skips: always}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		s := wantState(t, w, StateFollowing)
		if n := uint64(src.skipped.Load()); n == 0 || s.Missed != n || s.Published[event.Loaded] != 43 {
			t.Errorf("%d rows skipped, %d found, published %v", n, s.Missed, s.Published)
		}
		if n := len(r.notices(t)); n != 0 {
			t.Errorf("%d notices: a resync was begun", n)
		}
		r.check(t)
	})
}

// A process that saw only the end of a load asks the stream what the others published.
func TestALoadThatWasTakenUpFindsWhatItsPredecessorSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(43)
		ctx, stopAt := context.WithCancel(context.Background())
		var pages atomic.Int32
		src := &skipping{crmModel: r.crm, skips: always, before: func(string) {
			if pages.Add(1) == 5 {
				stopAt()
			}
		}}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
		src.skips = never
		w = newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Missed == 0 {
			t.Errorf("nothing was found of %d skipped rows", src.skipped.Load())
		}
		r.check(t)
	})
}

func TestAResyncFindsChangesThatItsPagesSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(43)
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		for i := range 43 {
			r.crm.put(recordID(i), "changed while away")
		}
		r.crm.remove(recordID(7))
		r.crm.expire(false)
		src := &skipping{crmModel: r.crm, skips: always}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Missed != uint64(src.skipped.Load()) {
			t.Errorf("%d rows skipped, %d found", src.skipped.Load(), s.Missed)
		}
		r.check(t)
	})
}

func TestRowsThatARoundOfChangesSkippedAreFoundByReadingItAgain(t *testing.T) {
	t.Parallel()
	for name, overlap := range map[string]time.Duration{"with the overlap": 0, "without": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(23)
				r.cfg.OverlapEvery = overlap
				rounds := map[string]int{}
				src := &skipping{crmModel: r.crm, skips: func(link string) bool {
					rounds[link]++
					return !strings.HasPrefix(link, "load") && link != "" && rounds[link] == 1
				}}
				w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
				start(t, w)
				pass(time.Minute)
				for i := range 23 {
					r.crm.put(recordID(i), "changed")
				}
				r.crm.remove(recordID(2))
				pass(30 * time.Second)
				if s := wantState(t, w, StateFollowing); s.Missed == 0 || s.Missed != uint64(src.skipped.Load()) {
					t.Errorf("%d rows skipped, %d found", src.skipped.Load(), s.Missed)
				}
				r.check(t)
				before := r.pages()
				pass(time.Minute)
				if n := r.pages() - before; n > 15 {
					t.Errorf("%d pages in a quiet minute: the round is read again and again", n)
				}
			})
		})
	}
}

// A list that fails decides nothing: the read ends without it.
func TestAListThatFailsHaltsNothingAndDeletesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(int32) error
		lists int32
	}{
		"once":   {firstCall(&outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server}), 10},
		"always": {func(int32) error { return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.BadAnswer} }, recountTries},
		"forbidden": {func(int32) error {
			return &outcome.Error{Verdict: outcome.Stop, Reason: outcome.Forbidden, Status: 403}
		}, 1},
		"refused": {func(int32) error {
			return &outcome.Error{Verdict: outcome.Reject, Reason: outcome.TokenExpired, Status: 400}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(43)
				src := &skipping{crmModel: r.crm, skips: never, fault: c.fault}
				w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
				start(t, w)
				pass(10 * time.Minute)
				if s := wantState(t, w, StateFollowing); s.Published[event.Loaded] != 43 || s.Published[event.Deleted] != 0 {
					t.Errorf("published %v", s.Published)
				}
				if n := src.lists.Load(); n > c.lists {
					t.Errorf("%d lists were asked for", n)
				}
				if n := len(r.notices(t)); n != 0 {
					t.Errorf("%d notices: a list began a resync", n)
				}
				r.check(t)
			})
		})
	}
}

// A row that is created or changed while a table is listed is the next round's.
func TestWhatChangesDuringTheListIsNoMismatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(43)
		src := &skipping{crmModel: r.crm, skips: never}
		src.fault = func(n int32) error {
			r.crm.put(recordID(int(n)), "changed during the list")
			r.crm.put(recordID(100+int(n)), "new during the list")
			return nil
		}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Missed != 0 {
			t.Errorf("%d rows were called missed", s.Missed)
		}
		r.check(t)
	})
}

// newestToken hands out the token of a load with its last page, so that changes made
// behind the reader's back are in no later round.
type newestToken struct{ *skipping }

func (s *newestToken) Page(ctx context.Context, q Query, link string) (*Page, error) {
	p, err := s.skipping.Page(ctx, q, link)
	if err == nil && p.Delta != "" && (link == "" || strings.HasPrefix(link, "load")) {
		s.mu.Lock()
		p.Delta = s.loadPage(s.version, "zzz").Delta
		s.mu.Unlock()
	}
	return p, err
}

func TestAChangeBehindTheReadersBackIsFoundWhereTheTokenIsTheLastPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(43)
		var pages atomic.Int32
		src := &newestToken{&skipping{crmModel: r.crm, skips: never}}
		src.before = func(string) {
			if pages.Add(1) == 5 {
				r.crm.put(recordID(1), "changed behind the reader")
			}
		}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Missed != 1 {
			t.Errorf("%d rows found, want the one", s.Missed)
		}
		r.check(t)
	})
}

// What was skipped is filtered and protected like what was not.
func TestASkippedRowIsPublishedByTheTablesPayloadRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(0)
		p := filtered()
		p.Protect = map[string]schema.Protection{"accountnumber": schema.ProtectMask}
		r.choose(p)
		for i := range 43 {
			name := "in"
			if i%3 == 0 {
				name = "out 1"
			}
			r.crm.put(recordID(i), name)
		}
		src := &skipping{crmModel: r.crm, skips: always}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Missed == 0 || s.Published[event.Loaded] != 28 {
			t.Errorf("%d found, published %v", s.Missed, s.Published)
		}
		for _, m := range r.stream.snapshot() {
			if strings.Contains(string(m.Data), `"accountnumber":"A-`) {
				t.Errorf("a protected value is on the stream: %s", m.Data)
			}
		}
		r.check(t)
	})
}

// A resync that cannot have the list still looks up the live records that it did not
// meet: one of them left the filter, another changed, and no later round shows either.
func TestLiveRecordsThatAResyncDidNotMeetAreRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		r.choose(filtered())
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		n := len(r.stream.snapshot())
		r.crm.put(recordID(4), "out 2")
		r.crm.put(recordID(9), "in it still")
		r.crm.expire(false)
		src := &skipping{crmModel: r.crm, skips: always, fault: func(int32) error {
			return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server}
		}}
		start(t, newTestWorker(t, r.cfg, src, r.stream, Deps{}))
		pass(10 * time.Minute)
		if diff := cmp.Diff([]string{"deleted 04@1 resync filtered", "updated 09@1 resync"}, r.tail(t, n)); diff != "" || src.skipped.Load() == 0 {
			t.Errorf("%d rows skipped\n%s", src.skipped.Load(), diff)
		}
		r.check(t)
	})
}
