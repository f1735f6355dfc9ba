package outbound

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// securing hides a column: rows show it as null.
type securing struct {
	*crmModel
	hidden    atomic.Bool
	inspected atomic.Int32
	fault     atomic.Pointer[outcome.Error]
}

func (s *securing) Page(ctx context.Context, q Query, link string) (*Page, error) {
	hidden := s.hidden.Load()
	p, err := s.crmModel.Page(ctx, q, link)
	if err == nil && hidden {
		for i := range p.Rows {
			list, err := members(p.Rows[i].JSON)
			if err != nil {
				continue // a delete
			}
			for m := range list {
				if string(list[m].name) == "name" {
					list[m].value = []byte("null")
				}
			}
			p.Rows[i].JSON = object(list)
			p.Rows[i].selectColumns(q.Columns) // and its hash
		}
	}
	return p, err
}

func (s *securing) Unreadable(context.Context, Query) ([]string, error) {
	s.inspected.Add(1)
	if e := s.fault.Load(); e != nil {
		return nil, e
	}
	if s.hidden.Load() {
		return []string{"name"}, nil
	}
	return nil, nil
}

func TestAHiddenColumnHaltsTheTableAndPublishesNoNull(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(r *rig){
		"an update":        func(r *rig) { r.crm.put(recordID(3), "changed") },
		"a resync":         func(r *rig) { r.crm.put(recordID(3), "changed"); r.crm.expire(false) },
		"a delta dump":     func(r *rig) { r.crm.put(recordID(3), "changed"); r.crm.expire(true) },
		"a record changed": func(r *rig) { r.crm.remove(recordID(3)); r.crm.put(recordID(3), "recreated") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(12)
				src := &securing{crmModel: r.crm}
				w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
				start(t, w)
				pass(time.Minute)
				src.hidden.Store(true)
				act(r)
				pass(time.Minute)
				if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, "hides name of table account") {
					t.Errorf("detail %q", s.Detail)
				}
				w.Resume() // too early
				pass(time.Minute)
				wantState(t, w, StateHalted)
				src.hidden.Store(false)
				w.Resume()
				pass(time.Minute)
				wantState(t, w, StateFollowing)
				for _, m := range r.stream.snapshot() {
					if strings.Contains(string(m.Data), `"name":null`) {
						t.Errorf("a null was published: %s", m.Data)
					}
				}
				r.check(t)
			})
		})
	}
}

func TestATableWithAHiddenColumnDoesNotStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		src := &securing{crmModel: r.crm}
		src.hidden.Store(true)
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateHalted); s.Published[event.Loaded] != 0 {
			t.Errorf("published %v", s.Published)
		}
	})
}

// Who cannot be asked for the moment is asked again; nothing is published meanwhile.
func TestAnInspectionThatFailsHoldsThePageBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		src := &securing{crmModel: r.crm}
		src.fault.Store(&outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server, Status: 503})
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(10 * time.Minute)
		if s := w.Status(); s.Published[event.Loaded] != 0 || s.Failures == 0 {
			t.Errorf("published %v, %d failures", s.Published, s.Failures)
		}
		src.fault.Store(nil)
		pass(2 * time.Minute)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

func TestAQuietTableIsNotInspectedAndABusyOneOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		src := &securing{crmModel: r.crm}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		before := src.inspected.Load()
		pass(time.Hour)
		if n := src.inspected.Load() - before; n != 0 {
			t.Errorf("%d inspections while nothing changed", n)
		}
		for i := range 60 {
			r.crm.put(recordID(i%3), strings.Repeat("x", i+1))
			pass(10 * time.Second)
		}
		if n := src.inspected.Load() - before; n < 5 || n > 15 {
			t.Errorf("%d inspections in ten busy minutes", n)
		}
	})
}
