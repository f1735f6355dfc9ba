package outbound

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

func TestRefusalsOfTheSourceHaltUntilResume(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason outcome.Reason
		want   string
	}{
		{outcome.Forbidden, "organization-level read"},
		{outcome.Config, "change tracking is on"},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(4)
				w := r.worker(t)
				start(t, w)
				pass(time.Minute)
				stored := len(r.stream.snapshot())
				r.crm.set(func(string) error { return &outcome.Error{Verdict: outcome.Stop, Reason: c.reason} }, nil)
				r.crm.remove(recordID(0))
				pass(time.Hour)
				if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, c.want) {
					t.Errorf("detail %q lacks %q", s.Detail, c.want)
				}
				if n := len(r.stream.snapshot()); n != stored {
					t.Errorf("%d messages were stored by a table without rights", n-stored)
				}
				r.crm.set(nil, nil)
				pass(time.Hour)
				wantState(t, w, StateHalted)
				w.Resume()
				pass(time.Second)
				wantState(t, w, StateFollowing)
				r.check(t)
			})
		})
	}
}

// badSource hands out pages that are none, a few times.
type badSource struct {
	*crmModel
	left atomic.Int32
	page *Page
}

func (s *badSource) Page(ctx context.Context, q Query, link string) (*Page, error) {
	if s.left.Add(-1) >= 0 {
		return s.page, nil
	}
	return s.crmModel.Page(ctx, q, link)
}

func TestBadPagesNeverMoveThePosition(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]*Page{
		"none":      nil,
		"no link":   {Rows: []Row{row(1, 5)}},
		"two links": {Next: "a", Delta: "b"},
		"bad row":   {Rows: []Row{{ID: "x"}}, Delta: "token=999999"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(12)
				src := &badSource{crmModel: r.crm, page: page}
				src.left.Store(3)
				w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
				start(t, w)
				pass(time.Minute)
				if s := wantState(t, w, StateFollowing); s.Failures != 3 {
					t.Errorf("%d failures, want 3", s.Failures)
				}
				r.check(t)
			})
		})
	}
}

func TestStreamThatIsNotOursHalts(t *testing.T) {
	t.Parallel()
	checkpoint := testNames().Checkpoint("account")
	put := func(m *streamModel, subject string, header map[string][]string, data []byte) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.last[subject] = len(m.msgs)
		m.msgs = append(m.msgs, Stored{subject, uint64(len(m.msgs) + 1), header, data})
	}
	edit := func(m *streamModel, old, new string) {
		data, _, _ := m.Checkpoint(context.Background(), checkpoint)
		put(m, checkpoint, nil, bytes.Replace(data, []byte(old), []byte(new), 1))
	}
	for _, c := range []struct {
		name   string
		tamper func(r *rig)
		want   string
	}{
		{"corrupt checkpoint", func(r *rig) { put(r.stream, checkpoint, nil, []byte("{")) }, "cannot be used"},
		{"checkpoint of another organization", func(r *rig) { edit(r.stream, testOrg, "99999999-2222-4333-8444-555555555555") }, "belongs to organization"},
		{"checkpoint of another table", func(r *rig) { edit(r.stream, `"account"`, `"contact"`) }, "belongs to table contact"},
		{"checkpoint of a newer bridge", func(r *rig) { edit(r.stream, `{`, `{"shards":4,`) }, `"shards"`},
		{"checkpoint removed", func(r *rig) {
			r.stream.mu.Lock()
			delete(r.stream.last, checkpoint)
			r.stream.mu.Unlock()
		}, "no checkpoint"},
		{"foreign message", func(r *rig) {
			put(r.stream, testNames().Record("account", recordID(0)), map[string][]string{"X": {"y"}}, []byte("hello"))
		}, "not published by the bridge"},
		{"our header on a foreign body", func(r *rig) {
			history := r.stream.snapshot()
			put(r.stream, history[0].Subject, maps.Clone(history[0].Header), []byte("[1]"))
		}, "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(3)
				stop := start(t, r.worker(t))
				pass(time.Second)
				stop()
				c.tamper(r)
				for i := range 3 {
					r.crm.put(recordID(i), "changed")
				}
				stored := len(r.stream.snapshot())
				w := r.worker(t)
				start(t, w)
				pass(time.Minute)
				if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, c.want) {
					t.Errorf("detail %q lacks %q", s.Detail, c.want)
				}
				if n := len(r.stream.snapshot()); n != stored {
					t.Error("it published all the same")
				}
			})
		})
	}
}

func TestVanishedStreamHaltsARunningWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		w := r.worker(t)
		start(t, w)
		pass(time.Second)
		r.stream.mu.Lock()
		r.stream.msgs, r.stream.batches, r.stream.last = nil, nil, map[string]int{}
		r.stream.mu.Unlock()
		r.crm.put(recordID(0), "changed")
		pass(time.Minute)
		if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, "vanished") {
			t.Errorf("detail %q", s.Detail)
		}
		if len(r.stream.snapshot()) != 0 {
			t.Error("the stream was begun anew in silence")
		}
	})
}

func refuseOnce(op string) func(string) error {
	refused := false
	return func(got string) error {
		if got != op || refused {
			return nil
		}
		refused = true
		return &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Status: 400}
	}
}

func TestRefusedPageLinkSendsTheRoundBackToItsBase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(17)
		w := r.worker(t)
		start(t, w)
		pass(time.Second)
		for i := range 17 {
			r.crm.put(recordID(i), "changed")
		}
		r.crm.remove(recordID(3))
		r.crm.set(refuseOnce("later page"), nil)
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

func TestPageLinkRefusedAgainAndAgainHaltsALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(17)
		src := &refusingLoad{r.crm}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, "status 400") {
			t.Errorf("detail %q", s.Detail)
		}
	})
}

// refusingLoad refuses every later page of a load.
type refusingLoad struct{ *crmModel }

func (s *refusingLoad) Page(ctx context.Context, q Query, link string) (*Page, error) {
	if strings.HasPrefix(link, "load=") {
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Status: 400}
	}
	return s.crmModel.Page(ctx, q, link)
}

func TestLinksThatTurnInACircleAreNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		src := &circling{crmModel: r.crm}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := w.Status(); s.Failures == 0 || !strings.Contains(s.LastError, "earlier page") {
			t.Errorf("%d failures, last %q", s.Failures, s.LastError)
		}
		if n := src.calls.Load(); n > 2000 {
			t.Errorf("%d pages fetched in a minute of circling", n)
		}
	})
}

type circling struct {
	*crmModel
	calls atomic.Int64
}

func (s *circling) Page(_ context.Context, _ Query, link string) (*Page, error) {
	s.calls.Add(1)
	if link == "b" {
		return &Page{Next: "a"}, nil
	}
	return &Page{Next: "b"}, nil
}
