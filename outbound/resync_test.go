package outbound

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// notices lists the kinds of all notices on the stream, with their reasons.
func (r *rig) notices(t testing.TB) (list []string) {
	t.Helper()
	for _, m := range r.stream.snapshot() {
		if m.Subject != testNames().Notice("account") {
			continue
		}
		var n struct {
			Type string
			Data struct{ Reason string }
		}
		if err := json.Unmarshal(m.Data, &n); err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.TrimPrefix(n.Type, testSettings().TypePrefix+".account.resync.")+" "+n.Data.Reason)
	}
	return list
}

// tail lists the events after the first n messages as change, version and epoch.
func (r *rig) tail(t testing.TB, n int) (list []string) {
	t.Helper()
	for _, m := range r.stream.snapshot()[n:] {
		id, ok := testNames().RecordID("account", m.Subject)
		if !ok {
			continue
		}
		p, err := event.ReadHeader(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		var e struct{ ReadBy, Reason string }
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s@%d %s %s", p.Change, id[len(id)-2:], p.Epoch, e.ReadBy, e.Reason)))
	}
	return list
}

// An expired token, as a refusal and as a quiet dump, is the same to consumers: only
// what differs arrives, and what is gone is deleted.
func TestExpiryPublishesOnlyTrueDifferencesAndDeletes(t *testing.T) {
	t.Parallel()
	for _, dump := range []bool{false, true} {
		t.Run(fmt.Sprintf("dump=%v", dump), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(23)
				stop := start(t, r.worker(t))
				pass(time.Minute)
				stop()
				r.crm.put(recordID(4), "changed while away")
				r.crm.put(recordID(40), "new while away")
				r.crm.remove(recordID(7))
				r.crm.remove(recordID(8))
				r.crm.put(recordID(8), "recreated while away")
				r.crm.put(recordID(50), "never seen")
				r.crm.remove(recordID(50))
				r.crm.expire(dump)
				stored := len(r.stream.snapshot())
				w := r.worker(t)
				start(t, w)
				pass(time.Minute)
				wantState(t, w, StateFollowing)
				r.check(t)
				reason := ResyncTokenExpired
				by := "resync"
				if dump {
					reason = ResyncFullDump
				}
				if diff := cmp.Diff([]string{"started " + reason, "finished " + reason}, r.notices(t)); diff != "" {
					t.Errorf("notices (-want +got):\n%s", diff)
				}
				want := []string{"updated 04@1 " + by, "updated 08@1 " + by, "created 40@1 " + by, "deleted 07@1 resync reconciled"}
				if diff := cmp.Diff(want, r.tail(t, stored)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				r.crm.put(recordID(1), "life goes on")
				pass(time.Minute)
				r.check(t)
			})
		})
	}
}

func TestAQuietDeltaIsNoDump(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(30)
		start(t, r.worker(t))
		pass(time.Second)
		for i := range 200 {
			r.crm.put(recordID(i%30), fmt.Sprint("change ", i))
			pass(3 * time.Second)
		}
		pass(time.Minute)
		if n := r.notices(t); len(n) != 0 {
			t.Errorf("a table without any trouble was resynced: %v", n)
		}
		r.check(t)
	})
}

func TestRestoredDatabaseBeginsANewEpoch(t *testing.T) {
	t.Parallel()
	for _, active := range []bool{false, true} {
		t.Run(fmt.Sprintf("changes after=%v", active), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(9)
				w := r.worker(t)
				start(t, w)
				pass(time.Minute)
				saved := r.crm.backup()
				for range 5 {
					r.crm.put(recordID(1), "to be forgotten")
				}
				r.crm.put(recordID(20), "made after the backup")
				r.crm.remove(recordID(2))
				pass(time.Minute)
				stored := len(r.stream.snapshot())
				r.crm.restore(saved)
				if active {
					r.crm.put(recordID(1), "another history")
				}
				pass(time.Minute)
				s := wantState(t, w, StateFollowing)
				if s.Epoch != 2 {
					t.Errorf("epoch %d, want 2", s.Epoch)
				}
				r.check(t)
				want := []string{"updated 01@2 resync", "created 02@2 resync", "deleted 20@2 resync reconciled"}
				if diff := cmp.Diff(want, r.tail(t, stored)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				// The record comes back under versions below the forgotten ones.
				r.crm.put(recordID(20), "made again")
				r.crm.put(recordID(3), "goes on")
				pass(time.Minute)
				r.check(t)
				if s := w.Status(); s.Epoch != 2 {
					t.Errorf("a second alarm: epoch %d", s.Epoch)
				}
			})
		})
	}
}

func TestChangedColumnsAreFilledInUnderANewEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8)
		full := r.cfg.Query.Columns
		r.cfg.Query.Columns = []string{"accountid", "accountnumber", "createdon"}
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		stored := len(r.stream.snapshot())
		r.cfg.Query.Columns = full
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Epoch != 2 || s.Published[event.Updated] != 8 {
			t.Errorf("epoch %d, %v published", s.Epoch, s.Published)
		}
		for _, m := range r.stream.snapshot()[stored:] {
			if !strings.HasPrefix(m.Subject, "crm.") {
				continue
			}
			var e storedEvent
			if err := json.Unmarshal(m.Data, &e); err != nil || e.Changed != "name" || !strings.Contains(string(e.Data), `"name"`) {
				t.Errorf("changed %q, data %s", e.Changed, e.Data)
			}
		}
		r.check(t)
	})
}

// Two bridges with different columns must not resync in turns.
func TestARivalWithOtherColumnsHaltsTheOlderOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8)
		former := r.worker(t)
		start(t, former)
		pass(time.Minute)
		r.cfg.Query.Columns = []string{"accountid", "accountnumber", "createdon"}
		latter := r.worker(t)
		start(t, latter)
		pass(time.Minute)
		r.crm.put(recordID(1), "changed")
		pass(10 * time.Minute)
		if s := wantState(t, former, StateHalted); !strings.Contains(s.Detail, "another bridge") {
			t.Errorf("detail %q", s.Detail)
		}
		if s := wantState(t, latter, StateFollowing); s.Epoch != 2 {
			t.Errorf("epoch %d", s.Epoch)
		}
	})
}

// retention is a fixed life of delta links.
type retention time.Duration

func (r retention) TokenRetention(context.Context) (time.Duration, error) {
	return time.Duration(r), nil
}

func TestATokenNearItsEndIsReplacedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		r.crm.remove(recordID(3))
		pass(7 * 24 * time.Hour * 79 / 100)
		deps := Deps{Retention: retention(7 * 24 * time.Hour)}
		stop = start(t, newTestWorker(t, r.cfg, r.crm, r.stream, deps))
		pass(time.Second)
		stop()
		if n := r.notices(t); len(n) != 0 {
			t.Errorf("at 79 %%: %v", n)
		}
		pass(7 * 24 * time.Hour * 81 / 100)
		w := newTestWorker(t, r.cfg, r.crm, r.stream, deps)
		start(t, w)
		pass(time.Minute)
		if diff := cmp.Diff([]string{"started token_age", "finished token_age"}, r.notices(t)); diff != "" {
			t.Errorf("at 81 %% (-want +got):\n%s", diff)
		}
		if s := wantState(t, w, StateFollowing); s.TokenLife != 7*24*time.Hour || s.TokenAge > 2*time.Minute {
			t.Errorf("token age %s of %s", s.TokenAge, s.TokenLife)
		}
		r.check(t)
	})
}

// asked calls a function when the life of delta links is asked for.
type asked func()

func (f asked) TokenRetention(context.Context) (time.Duration, error) {
	f()
	return 7 * 24 * time.Hour, nil
}

func TestAResyncThatIsAskedForWhileATurnBeginsDoesNotWaitForTheNextPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		r.cfg.PollInterval, r.cfg.PollMax = time.Hour, time.Hour
		stop := start(t, r.worker(t))
		pass(2 * time.Second)
		stop()
		var w *Worker
		w = newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Retention: asked(func() { w.Resync(false) })})
		start(t, w)
		pass(2 * time.Second)
		if diff := cmp.Diff([]string{"started requested", "finished requested"}, r.notices(t)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

func TestMoreDeletesThanAllowedNeedAPerson(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(20)
		r.cfg.MaxDeletes = 5
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		for i := range 6 {
			r.crm.remove(recordID(i))
		}
		r.crm.expire(false)
		w := r.worker(t)
		start(t, w)
		pass(time.Hour)
		if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, "max_deletes") || s.Published[event.Deleted] != 0 {
			t.Errorf("detail %q, published %v", s.Detail, s.Published)
		}
		w.Resume() // reads again, and halts again
		pass(time.Hour)
		wantState(t, w, StateHalted)
		w.Resync(true)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Published[event.Deleted] != 6 {
			t.Errorf("published %v", s.Published)
		}
		r.check(t)
		want := []string{"started token_expired", "halted token_expired", "halted token_expired", "started requested", "finished requested"}
		if diff := cmp.Diff(want, r.notices(t)); diff != "" {
			t.Errorf("notices (-want +got):\n%s", diff)
		}
	})
}

// hiding leaves one record out of every full read, as if it had moved while paging.
type hiding struct {
	*crmModel
	id string
}

func (s *hiding) Page(ctx context.Context, q Query, link string) (*Page, error) {
	p, err := s.crmModel.Page(ctx, q, link)
	if err == nil {
		for i := range p.Rows {
			if p.Rows[i].ID == s.id {
				p.Rows = append(p.Rows[:i:i], p.Rows[i+1:]...)
				break
			}
		}
	}
	return p, err
}

func TestALiveRecordThatAResyncMissedIsNotDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		r.crm.remove(recordID(2))
		r.crm.expire(false)
		start(t, newTestWorker(t, r.cfg, &hiding{r.crm, recordID(5)}, r.stream, Deps{}))
		pass(time.Minute)
		r.check(t)
	})
}

func TestTheRestartsOfAResyncAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(30)
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		r.crm.expire(false)
		r.crm.set(nil, func() time.Duration { return time.Second })
		for range 3 { // each life sees some pages of seven
			stop := start(t, r.worker(t))
			pass(4 * time.Second)
			stop()
		}
		start(t, r.worker(t))
		pass(5 * time.Minute)
		r.check(t)
		restarts := -1
		for _, m := range r.stream.snapshot() {
			var n struct {
				Type string
				Data struct{ Restarts *int }
			}
			if m.Subject != testNames().Notice("account") {
				continue
			}
			if err := json.Unmarshal(m.Data, &n); err != nil {
				t.Fatal(err)
			}
			if n.Data.Restarts != nil {
				restarts = *n.Data.Restarts
			}
		}
		if restarts != 3 {
			t.Errorf("the notice of the end counts %d restarts, want 3", restarts)
		}
	})
}

// A scan that began at a replica that lagged shows an older event of a record before the
// last one. It counts as one delete, and is one.
func TestARecordThatAScanShowsTwiceIsDeletedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(6)
		r.cfg.MaxDeletes = 3
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		for range 2 {
			for i := range 6 {
				r.crm.put(recordID(i), "changed "+time.Now().String())
			}
			pass(time.Minute)
		}
		for i := range 3 {
			r.crm.remove(recordID(i))
		}
		r.crm.expire(false)
		stored := len(r.stream.snapshot())
		r.stream.set(func(op string) (f streamFault) {
			if op == "scan" {
				f = streamFault{behind: 100, follows: true}
			}
			return f
		}, nil)
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		want := []string{"deleted 00@1 resync reconciled", "deleted 01@1 resync reconciled", "deleted 02@1 resync reconciled"}
		if diff := cmp.Diff(want, r.tail(t, stored)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		r.check(t)
	})
}

func TestLostRightsDuringAResyncDeleteNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		r.crm.remove(recordID(2))
		r.crm.expire(false)
		r.crm.set(func(op string) error {
			if op == "exists" {
				return &outcome.Error{Verdict: outcome.Stop, Reason: outcome.Forbidden, Status: 403}
			}
			return nil
		}, nil)
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateHalted); s.Published[event.Deleted] != 0 {
			t.Errorf("published %v without the right to look", s.Published)
		}
		r.crm.set(nil, nil)
		w.Resume()
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

func TestAnIntermittentlyRefusedLoadIsCompletedByAResync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(17)
		src := &refusedOnce{crmModel: r.crm}
		w := newTestWorker(t, r.cfg, src, r.stream, Deps{})
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Published[event.Loaded] != 17 {
			t.Errorf("published %v, want all 17 as loaded", s.Published)
		}
		r.check(t)
	})
}

// refusedOnce refuses the second later page of a load, once.
type refusedOnce struct {
	*crmModel
	n atomic.Int32
}

func (s *refusedOnce) Page(ctx context.Context, q Query, link string) (*Page, error) {
	if strings.HasPrefix(link, "load=") && s.n.Add(1) == 2 {
		s.crmModel.remove(recordID(0)) // published already, and gone before the next read
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Status: 400}
	}
	return s.crmModel.Page(ctx, q, link)
}

func TestAPersonsResyncMendsALostCheckpoint(t *testing.T) {
	t.Parallel()
	checkpoint := testNames().Checkpoint("account")
	for name, tamper := range map[string]func(m *streamModel){
		"removed": func(m *streamModel) { delete(m.last, checkpoint) },
		"corrupt": func(m *streamModel) {
			m.last[checkpoint] = len(m.msgs)
			m.msgs = append(m.msgs, Stored{checkpoint, uint64(len(m.msgs) + 1), nil, []byte("{")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(8)
				stop := start(t, r.worker(t))
				pass(time.Minute)
				stop()
				r.stream.mu.Lock()
				tamper(r.stream)
				r.stream.mu.Unlock()
				r.crm.remove(recordID(1))
				stored := len(r.stream.snapshot())
				w := r.worker(t)
				start(t, w)
				pass(time.Minute)
				wantState(t, w, StateHalted)
				w.Resync(false)
				pass(time.Minute)
				wantState(t, w, StateFollowing)
				if diff := cmp.Diff([]string{"deleted 01@1 resync reconciled"}, r.tail(t, stored)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestStartNowStaysQuietThroughAResync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(12)
		r.cfg.Start = StartNow
		pass(time.Hour)
		stop := start(t, r.worker(t))
		pass(time.Minute)
		r.crm.put(recordID(3), "published")
		pass(time.Minute)
		stop()
		r.crm.put(recordID(4), "changed while away")
		r.crm.remove(recordID(3))
		r.crm.expire(true)
		stored := len(r.stream.snapshot())
		start(t, r.worker(t))
		pass(time.Minute)
		if diff := cmp.Diff([]string{"updated 04@1 resync", "deleted 03@1 resync reconciled"}, r.tail(t, stored)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestSmallerServerBatchesAreSurvived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(60)
		r.crm.pageSize = 50
		w := newTestWorker(t, r.cfg, r.crm, &shortBatches{r.stream, 7}, Deps{})
		w.maxBatch = 40
		start(t, w)
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

// shortBatches is a server whose operator lowered the limit.
type shortBatches struct {
	*streamModel
	limit int
}

func (s *shortBatches) Commit(ctx context.Context, b Batch) (uint64, error) {
	if len(b.Messages)+1 > s.limit {
		return 0, ErrBatchTooLong
	}
	return s.streamModel.Commit(ctx, b)
}

func TestSequenceSetHoldsExactlyWhatWasAdded(t *testing.T) {
	t.Parallel()
	var s sequenceSet
	for n := range uint64(20_000) {
		s.add(n * 3)
		s.add(n * 3)
		s.add(1<<40 + n*n)
	}
	if s.size != 40_000 {
		t.Errorf("size %d", s.size)
	}
	for n := range uint64(60_000) {
		if s.has(n) != (n%3 == 0) {
			t.Fatalf("has(%d) = %v", n, s.has(n))
		}
	}
	if !s.has(1<<40+199*199) || s.has(1<<40+199*199+1) {
		t.Error("squares are wrong")
	}
}

func TestTokenVersionReadsOnlyTheDocumentedForm(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]int64{
		"accounts?$select=name&$deltatoken=919042%2108%2f22%2f2025%2008%3a10%3a44": 919042,
		"accounts?$deltatoken=7!x":     7,
		"accounts?%24deltatoken=7%21x": 7,
		"accounts?$deltatoken=abc":     0,
		"accounts?$deltatoken=12":      0,
		"accounts?$deltatoken=%zz!":    0,
		"accounts?$skiptoken=5!x":      0,
		"":                             0,
	} {
		if got := tokenVersion(link); got != want {
			t.Errorf("%s: %d, want %d", link, got, want)
		}
	}
}

func TestALateCommitIsFoundByTheOverlap(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(10)
			r.cfg.OverlapEvery = every
			w := r.worker(t)
			start(t, w)
			pass(30 * time.Minute)
			if !r.crm.beginLate(recordID(3), "late") {
				t.Fatal("nothing to change")
			}
			r.crm.put(recordID(4), "in between")
			pass(4 * time.Minute)
			r.crm.endLate()
			pass(15 * time.Minute)
			found := r.last(t, recordID(3)).Change == event.Updated
			if found != (every == 0) {
				t.Errorf("overlap every %s: found %v", every, found)
			}
			if s := w.Status(); every == 0 && s.Late != 1 {
				t.Errorf("late commits %d, want 1", s.Late)
			}
			if every == 0 {
				r.check(t)
			}
		})
	}
}

func TestARefusedOlderLinkDisturbsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(10)
		w := r.worker(t)
		start(t, w)
		for range 5 {
			r.crm.put(recordID(1), "again")
			pass(5 * time.Minute)
		}
		r.crm.mu.Lock()
		r.crm.minToken = r.crm.version // the present link is good, older ones are not
		r.crm.mu.Unlock()
		pass(30 * time.Minute)
		wantState(t, w, StateFollowing)
		if r.crm.expired == 0 {
			t.Error("no older link was used")
		}
		if n := r.notices(t); len(n) != 0 {
			t.Errorf("resynced: %v", n)
		}
		r.check(t)
	})
}

// A first page that is read again has a later token: what was deleted in between is
// in neither, and only a sweep can find it.
func TestARecordDeletedBetweenTwoReadsOfAResyncsFirstPageIsDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(4)
		stop := start(t, r.worker(t))
		pass(time.Minute)
		stop()
		r.crm.expire(false)
		failed := false
		r.stream.set(func(op string) streamFault {
			if op == "scan" && !failed {
				failed = true
				r.crm.remove(recordID(0))
				return streamFault{err: ErrUnavailable}
			}
			return streamFault{}
		}, nil)
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		if !failed {
			t.Error("no scan failed")
		}
		r.check(t)
	})
}

func TestARecordDeletedBetweenTwoReadsOfALoadsFirstPageIsDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(4)
		r.cfg.MaxBatch = 2
		r.stream.set(nil, func() time.Duration { return 100 * time.Millisecond })
		stop := start(t, r.worker(t))
		pass(350 * time.Millisecond) // the first record is stored, the page is not
		stop()
		if n := len(r.tail(t, 0)); n == 0 || n > 3 {
			t.Fatalf("%d events: the load was not interrupted within its first page", n)
		}
		r.stream.set(nil, nil)
		r.crm.remove(recordID(0))
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		if s := wantState(t, w, StateFollowing); s.Published[event.Created] != 0 {
			t.Errorf("the rest of a load is not new: %v", s.Published)
		}
		r.check(t)
	})
}

// forever refuses every delta link and answers full reads.
type forever struct{ *crmModel }

func (s *forever) Page(ctx context.Context, q Query, link string) (*Page, error) {
	if strings.Contains(link, "deltatoken") {
		return nil, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.TokenExpired, Status: 400}
	}
	return s.crmModel.Page(ctx, q, link)
}

func TestATokenThatAlwaysExpiresHaltsInsteadOfReadingForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8)
		w := newTestWorker(t, r.cfg, &forever{r.crm}, r.stream, Deps{})
		start(t, w)
		pass(time.Hour)
		if s := wantState(t, w, StateHalted); !strings.Contains(s.Detail, "no poll succeeded") {
			t.Errorf("detail %q", s.Detail)
		}
		if n := r.pages(); n > 20 {
			t.Errorf("%d pages were read for nothing", n)
		}
	})
}

// A repair in a new epoch publishes what differs from the source although its version is
// on the stream, and nothing of the rest; without one it is a resync by another name.
func TestARepairReplacesWhatStandsUnderASpentVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		for i := range 5 {
			r.crm.put(recordID(i), fmt.Sprint("name ", i))
		}
		w := r.worker(t)
		start(t, w)
		pass(time.Minute)
		n := len(r.stream.snapshot())
		w.Repair(false)
		pass(time.Minute)
		if got := r.tail(t, n); len(got) != 0 {
			t.Errorf("a repair of what is whole published %v", got)
		}
		// The source's row changes without a new version.
		r.crm.mu.Lock()
		id := recordID(2)
		version := r.crm.records[id].version
		row := strings.Replace(r.crm.records[id].row, "name 2", "true name", 1)
		r.crm.records[id].row = row
		r.crm.remember(id, version, row)
		r.crm.mu.Unlock()
		n = len(r.stream.snapshot())
		w.Repair(false)
		pass(time.Minute)
		if got := r.tail(t, n); len(got) != 0 {
			t.Errorf("without a new epoch: %v", got)
		}
		w.Repair(true)
		pass(time.Minute)
		if diff := cmp.Diff([]string{"updated 02@2 repair"}, r.tail(t, n)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"started repair", "finished repair", "started repair", "finished repair", "started repair", "finished repair"}, r.notices(t)); diff != "" {
			t.Error(diff)
		}
		r.check(t)
	})
}
