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

// confirming looks many records up in one call, and may fail.
type confirming struct {
	*crmModel
	calls atomic.Int32
	fault func(call int32) error
}

func (s *confirming) Missing(ctx context.Context, q Query, ids []string) (missing []string, err error) {
	n := s.calls.Add(1)
	if s.fault != nil {
		if err := s.fault(n); err != nil {
			return ids, err // what comes with an error must not be believed
		}
	}
	for _, id := range ids {
		live, err := s.Exists(ctx, q, id)
		if err != nil {
			return nil, err
		}
		if !live {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

func TestASweepConfirmsManyRecordsInOneCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  func(int32) error
		halted bool
	}{
		"well":      {},
		"throttled": {fault: firstCall(&outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, RetryAfter: 37 * time.Second})},
		"cut":       {fault: firstCall(&outcome.Error{Verdict: outcome.Retry, Reason: outcome.BadAnswer})},
		"no right":  {fault: firstCall(&outcome.Error{Verdict: outcome.Stop, Reason: outcome.Forbidden, Status: 403}), halted: true},
		"not found": {fault: firstCall(&outcome.Error{Verdict: outcome.Reject, Reason: outcome.NotFound, Status: 400}), halted: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(900)
				stop := start(t, r.worker(t))
				pass(time.Minute)
				stop()
				for i := range 700 {
					r.crm.remove(recordID(i))
				}
				r.crm.expire(false)
				src := &confirming{crmModel: r.crm, fault: c.fault}
				w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
				start(t, w)
				pass(time.Minute)
				if c.halted {
					if s := wantState(t, w, StateHalted); s.Published[event.Deleted] != 0 {
						t.Errorf("published %v on the word of a failed look-up", s.Published)
					}
					w.Resume()
					pass(time.Minute)
				}
				wantState(t, w, StateFollowing)
				if n := src.calls.Load(); n > 4 {
					t.Errorf("%d calls for 700 records", n)
				}
				r.check(t)
			})
		})
	}
}

// firstCall fails the first call.
func firstCall(err error) func(int32) error {
	return func(call int32) error {
		if call == 1 {
			return err
		}
		return nil
	}
}

// The bound on deletes holds for a whole resync, whatever restarts it has.
func TestARestartedResyncDoesNotForgetItsDeletes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(30)
		r.cfg.MaxDeletes, r.cfg.MaxBatch = 10, 4
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		for i := range 9 {
			r.crm.remove(recordID(i))
		}
		r.crm.expire(false)
		var deletes atomic.Int32
		w := newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Observe: func(p Published) {
			if p.Change == event.Deleted {
				deletes.Add(1)
				r.stream.set(func(op string) (f streamFault) {
					if op == "commit" {
						f.err = ErrUnavailable
					}
					return f
				}, nil)
			}
		}})
		stop = start(t, w)
		pass(time.Minute)
		stop()
		first := int(deletes.Load())
		if first < 3 || first > 8 {
			t.Fatalf("%d deletes before the crash; the test wants some of the nine", first)
		}
		r.stream.set(nil, nil)
		for i := range 4 {
			r.crm.remove(recordID(20 + i))
		}
		w = r.worker(t)
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, "max_deletes") || s.Published[event.Deleted] != 0 {
			t.Errorf("detail %q, published %v after %d before the crash", s.Detail, s.Published, first)
		}
		w.Resync(true)
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}
