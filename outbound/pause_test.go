package outbound

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAPauseOutlastsTheProcessAndReachesRivals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(6)
		first, rival := r.worker(t), r.worker(t)
		stop := start(t, first)
		pass(time.Minute)
		start(t, rival)
		pass(time.Minute)
		first.Pause()
		pass(time.Second)
		stored := len(r.stream.snapshot())
		r.crm.put(recordID(1), "changed while paused")
		pass(time.Hour)
		wantState(t, first, StatePaused)
		wantState(t, rival, StatePaused)
		if n := len(r.stream.snapshot()); n != stored {
			t.Errorf("%d messages were stored by a paused table", n-stored)
		}
		stop()
		again := r.worker(t)
		start(t, again)
		pass(time.Hour)
		wantState(t, again, StatePaused)
		again.Resume()
		pass(time.Minute)
		wantState(t, again, StateFollowing)
		wantState(t, rival, StateFollowing)
		r.check(t)
	})
}

func TestAPauseThatCannotBeStoredHoldsForTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(6)
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		r.stream.set(func(string) streamFault { return streamFault{err: ErrUnavailable} }, nil)
		w.Pause()
		pass(time.Hour)
		wantState(t, w, StatePaused)
		r.stream.set(nil, nil)
		r.crm.put(recordID(1), "changed")
		w.Resume()
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

func TestAResyncOfAPausedTableWaitsForItsResume(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(6)
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		w.Pause()
		pass(time.Minute)
		w.Resync(false)
		pass(time.Minute)
		wantState(t, w, StatePaused)
		if n := r.notices(t); len(n) != 0 {
			t.Errorf("a paused table was resynced: %v", n)
		}
		w.Resume()
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		if n := r.notices(t); len(n) != 2 {
			t.Errorf("notices %v", n)
		}
		r.check(t)
	})
}
