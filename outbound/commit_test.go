package outbound

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/event"
)

// once answers the n-th call of op (from 1) with f, all others with success.
func once(op string, n int, f streamFault) func(string) streamFault {
	seen := 0
	return func(got string) streamFault {
		if got == op {
			if seen++; seen == n {
				return f
			}
		}
		return streamFault{}
	}
}

func TestUnknownOutcomeIsSettledFromTheCheckpoint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault streamFault
	}{
		{"nothing was stored", streamFault{err: ErrUnknown}},
		{"all was stored", streamFault{err: ErrUnknown, stored: true}},
		{"it is stored while the same batch is sent again", streamFault{err: ErrUnknown, after: 300 * time.Millisecond}},
		{"it arrives after the same batch was stored", streamFault{err: ErrUnknown, after: time.Minute}},
		{"an error that says nothing", streamFault{err: errors.New("connection reset"), stored: true}},
	} {
		for commit := range 4 {
			t.Run(fmt.Sprintf("%s/commit %d", c.name, commit+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(14)
					r.stream.set(once("commit", commit+1, c.fault), nil)
					w := r.worker(t)
					start(t, w)
					pass(time.Second)
					r.crm.put(recordID(0), "changed")
					pass(2 * time.Minute)
					r.stream.late.Wait()
					if s := wantState(t, w, StateFollowing); s.Fenced != 0 {
						t.Errorf("fenced %d times by itself", s.Fenced)
					}
					r.check(t)
				})
			})
		}
	}
}

func TestFencedWorkerStartsOverFromTheOthersCheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8)
		a, b := r.worker(t), r.worker(t)
		start(t, a)
		pass(time.Second)
		start(t, b)
		pass(time.Second)
		for i := range 20 {
			r.crm.put(recordID(i%8), fmt.Sprint("change ", i))
			a.Poke()
			b.Poke()
			pass(time.Second)
		}
		pass(time.Minute)
		r.check(t)
		sa, sb := wantState(t, a, StateFollowing), wantState(t, b, StateFollowing)
		if sa.Fenced+sb.Fenced == 0 {
			t.Error("two rivals that poll together never met")
		}
		if sa.LastError != "" || sb.LastError != "" {
			t.Errorf("being fenced counts as an error: %q %q", sa.LastError, sb.LastError)
		}
	})
}

func TestFullStreamKeepsThePageAndRecovers(t *testing.T) {
	t.Parallel()
	for _, sentinel := range []error{ErrFull, ErrUnavailable} {
		t.Run(sentinel.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(3)
				w := r.worker(t)
				start(t, w)
				pass(time.Second)
				r.crm.put(recordID(0), "changed")
				before := r.pages()
				r.stream.set(func(op string) streamFault {
					if op == "commit" {
						return streamFault{err: fmt.Errorf("stream: %w", sentinel)}
					}
					return streamFault{}
				}, nil)
				w.Poke()
				pass(time.Hour)
				if n := r.pages() - before; n != 1 {
					t.Errorf("%d pages fetched while the stream took nothing, want 1 that is kept", n)
				}
				if s := wantState(t, w, StateFollowing); !strings.Contains(s.Detail, sentinel.Error()) || s.Failures < 10 {
					t.Errorf("the wait is not shown: %q, %d failures", s.Detail, s.Failures)
				}
				r.stream.set(nil, nil)
				pass(2 * time.Minute)
				if s := w.Status(); s.Detail != "" {
					t.Errorf("it is over and still shown: %s", s.Detail)
				}
				r.check(t)
			})
		})
	}
}

func TestRefusalsOfTheStreamHaltAndResume(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{ErrTooLarge, recordID(0)},
		{ErrMisconfigured, "cebridge plan"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(3)
				r.cfg.MaxBatch = 2 // every record is a batch
				w := r.worker(t)
				start(t, w)
				pass(time.Second)
				r.crm.put(recordID(0), strings.Repeat("large ", 100))
				r.stream.set(once("commit", 1, streamFault{err: c.err}), nil)
				pass(time.Minute)
				if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, c.want) {
					t.Errorf("detail %q does not name %s", s.Detail, c.want)
				}
				w.Poke()
				before := r.stream.stores()
				pass(time.Hour)
				if r.stream.stores() != before {
					t.Error("a halted table went on by itself")
				}
				w.Resume()
				pass(time.Second)
				wantState(t, w, StateFollowing)
				r.check(t)
			})
		})
	}
}

func TestShutdownLetsTheCommitInFlightFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		r.stream.set(nil, func() time.Duration { return 4 * time.Second })
		w := r.worker(t)
		stop := start(t, w)
		pass(9 * time.Second) // two checkpoint reads, then into the commit
		began := time.Now()
		stop()
		if d := time.Since(began); d < time.Second || d > shutdownGrace {
			t.Errorf("stopping took %s", d)
		}
		if s := w.Status(); s.Published[event.Loaded] != 3 {
			t.Errorf("published %v, want the commit in flight counted", s.Published)
		}
		if s := w.Status(); s.LastError != "" || s.State == StateHalted {
			t.Errorf("shutdown was taken for a verdict: %+v", s)
		}
		r.check(t)
	})
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		w := r.worker(t)
		stop := start(t, w)
		pass(time.Second)
		r.crm.put(recordID(0), "changed")
		r.stream.set(nil, func() time.Duration { return time.Hour })
		w.Poke()
		pass(90 * time.Minute) // the compare read is over, the commit hangs
		began := time.Now()
		stop()
		if d := time.Since(began); d != shutdownGrace {
			t.Errorf("stopping took %s, want %s", d, shutdownGrace)
		}
		r.stream.set(nil, nil)
		start(t, r.worker(t))
		pass(time.Minute)
		r.check(t)
	})
}

func TestStaleReplicaIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8)
		w := r.worker(t)
		start(t, w)
		pass(time.Second)
		r.crm.put(recordID(0), "one")
		pass(10 * time.Second)
		r.crm.put(recordID(0), "two")
		r.stream.set(once("last", 1, streamFault{behind: 1}), nil)
		pass(time.Minute)
		s := wantState(t, w, StateFollowing)
		if s.Failures != 1 || !strings.Contains(s.LastError, ErrStale.Error()) {
			t.Errorf("%d failures, last %q; want the stale answer refused once", s.Failures, s.LastError)
		}
		r.check(t)
	})
}

func TestLargePageIsSplitByCountAndBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(0)
		r.crm.pageSize = 100
		for i := range 50 {
			r.crm.put(recordID(i), strings.Repeat("x", 10*i))
		}
		r.cfg.MaxBatch, r.cfg.MaxBatchBytes = 8, 4000
		start(t, r.worker(t))
		pass(time.Second)
		ends, from := r.stream.batchEnds(), 0
		history := r.stream.snapshot()
		for _, end := range ends {
			bytes := 0
			for _, m := range history[from : end-1] {
				bytes += len(m.Data)
			}
			if n := end - from; n > 8 || (bytes > 4000 && n > 2) {
				t.Errorf("a batch of %d messages and %d bytes", n, bytes)
			}
			from = end
		}
		if len(ends) < 8 {
			t.Errorf("only %d batches", len(ends))
		}
		r.check(t)
	})
}
