package outbound

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/event"
)

func TestObserverSeesEveryEventOnceItIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(11)
		r.cfg.MaxBatch = 4
		var seen []Published
		w := newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Observe: func(p Published) {
			if stored := r.last(t, p.RecordID); stored.Version != p.Version || stored.Change != p.Change {
				t.Errorf("%+v is observed, the stream has %+v", p, stored)
			}
			seen = append(seen, p)
		}})
		stop := start(t, w)
		pass(time.Second)
		r.crm.remove(recordID(4))
		pass(time.Minute)
		stop()
		var want []Published
		for _, m := range r.stream.snapshot() {
			if id, ok := testNames().RecordID("account", m.Subject); ok {
				p, err := event.ReadHeader(m.Header)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, Published{"account", id, p.Change, p.Version, p.Epoch})
			}
		}
		if diff := cmp.Diff(want, seen); diff != "" || len(seen) != 12 {
			t.Errorf("%d observed (-stored +observed):\n%s", len(seen), diff)
		}
	})
}

func TestPreviousValuesAreAnOption(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(1)
			r.cfg.Previous = on
			start(t, r.worker(t))
			pass(time.Second)
			r.crm.put(recordID(0), "second")
			pass(time.Minute)
			history := r.stream.snapshot()
			var got string
			for _, m := range history {
				if p, err := event.ReadHeader(m.Header); err == nil && p.Change == event.Updated {
					d, err := event.ReadData(m.Header, m.Data)
					if err != nil {
						t.Fatal(err)
					}
					got = string(d.Previous)
				}
			}
			want := ""
			if on {
				want = `{"name":"initial","modifiedon":"2000-01-01T00:00:00Z"}`
			}
			if got != want {
				t.Errorf("previous %v: %s, want %s", on, got, want)
			}
		})
	}
}

func TestChangedColumnsAreLogicalNames(t *testing.T) {
	t.Parallel()
	w := newTestWorker(t, testConfig(), newCRM(1), newStream(), Deps{})
	if diff := cmp.Diff([]string{"name", "primarycontactid"}, w.changedColumns([]string{"name", "_primarycontactid_value"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	many := make([]string, event.MaxAttribute/10)
	for i := range many {
		many[i] = "a_long_column_name"
	}
	for name, list := range map[string][]string{"comma": {"a", "b,c"}, "control": {"a\nb"}, "empty": {""}, "too many": many} {
		if got := w.changedColumns(list); got != nil {
			t.Errorf("%s: a list of %d names was made", name, len(got))
		}
	}
}

// The race detector judges this one.
func TestControlsMayBeUsedFromAnywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(20)
		lag := func() time.Duration { return 7 * time.Millisecond }
		r.crm.set(nil, lag)
		r.stream.set(nil, lag)
		w := r.worker(t)
		start(t, w)
		var crowd sync.WaitGroup
		for i := range uint64(6) {
			crowd.Go(func() {
				rnd := rand.New(rand.NewPCG(i, i))
				for range 200 {
					switch rnd.IntN(8) {
					case 0:
						w.Pause()
					case 1, 2:
						w.Resume()
					case 3:
						r.crm.mutate(rnd, 20)
					case 4:
						w.Poke()
					default:
						_ = w.Status()
					}
					time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond) // virtual time
				}
			})
		}
		crowd.Wait()
		w.Resume()
		pass(time.Minute)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}
