package outbound

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/echo"
	"cebridge/schema/event"
)

// plant stores a message that no worker committed.
func (m *streamModel) plant(subject string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[subject] = len(m.msgs)
	m.msgs = append(m.msgs, Stored{Subject: subject, Sequence: uint64(len(m.msgs) + 1), Data: data})
}

// noteOf is what the other direction leaves about a write of that name.
func noteOf(t testing.TB, version int64, name string) []byte {
	t.Helper()
	n := echo.NewNote(version)
	n.Cause, n.Source, n.Correlation = fmt.Sprintf("e-%d", version), "/erp", "order-1"
	err := n.Written(modelTable(), fmt.Appendf(nil, `{"name":%q}`, name), func(string) bool { return true }, "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := n.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// own writes a name as the bridge does, and leaves the note.
func (r *rig) own(t testing.TB, id, name string) int64 {
	t.Helper()
	version := r.crm.put(id, name)
	r.stream.plant(testNames().Echo("account", id), noteOf(t, version, name))
	return version
}

type causedEvent struct {
	Type            string
	CausationID     string
	CausationSource string
	CorrelationID   string
	PreviousVersion string
	ChangedColumns  string
	Data            struct{ Record map[string]any }
}

// events lists those of a record.
func (r *rig) events(t testing.TB, id string) (list []causedEvent) {
	t.Helper()
	for _, m := range r.stream.snapshot() {
		if m.Subject == testNames().Record("account", id) {
			var e causedEvent
			if err := json.Unmarshal(m.Data, &e); err != nil {
				t.Fatal(err)
			}
			list = append(list, e)
		}
	}
	return list
}

func (r *rig) marks(id string) (n int) {
	for _, m := range r.stream.snapshot() {
		if m.Subject == testNames().Dropped("account", id) {
			n++
		}
	}
	return n
}

func echoRig(mode Echo) *rig {
	r := newRig(3)
	r.cfg.Echo = mode
	r.cfg.PollInterval = time.Second
	return r
}

func TestAnEventOfAnOwnWriteNamesItsCauseAndAPersonsNone(t *testing.T) {
	for _, mode := range []Echo{EchoOff, EchoMark, EchoDrop} {
		t.Run("echo="+string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, id := echoRig(mode), recordID(1)
				start(t, r.worker(t))
				pass(time.Second)
				r.crm.put(id, "a person's")
				pass(3 * time.Second)
				r.own(t, id, "ours")
				pass(3 * time.Second)
				r.crm.put(id, "again a person's")
				pass(3 * time.Second)
				r.own(t, recordID(7), "new") // a record that we make
				pass(3 * time.Second)
				var got []string
				for _, e := range append(r.events(t, id), r.events(t, recordID(7))...) {
					got = append(got, strings.TrimPrefix(e.Type, "com.contoso.crm.account.")+" "+e.Data.Record["name"].(string)+
						" "+e.CausationID+e.CausationSource+e.CorrelationID)
				}
				v := r.crm.version
				want := []string{"loaded initial ", "updated a person's ", fmt.Sprintf("updated ours e-%d/erporder-1", v-2),
					"updated again a person's ", fmt.Sprintf("created new e-%d/erporder-1", v)}
				switch mode {
				case EchoOff:
					want[2], want[4] = "updated ours ", "created new "
				case EchoDrop:
					want = append(want[:2], want[3:]...)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				r.check(t)
			})
		})
	}
}

func TestADroppedChangeStaysDroppedAndTheNextEventTellsWhatChangedSinceTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, id := echoRig(EchoDrop), recordID(1)
		r.cfg.OverlapAge, r.cfg.OverlapEvery = 2*time.Second, 2*time.Second
		loaded := r.crm.records[id].version
		stop := start(t, r.worker(t))
		pass(time.Second)
		r.own(t, id, "ours")
		pass(20 * time.Second) // the overlap reads it again
		stop()
		w := r.worker(t)
		stop = start(t, w)
		pass(5 * time.Second)
		w.Resync(false)
		pass(5 * time.Second)
		if n := len(r.events(t, id)); n != 1 || r.marks(id) != 1 {
			t.Errorf("%d events and %d marks, want the loaded one and one", n, r.marks(id))
		}
		if st := w.Status(); st.Skipped[skipEcho] == 0 {
			t.Errorf("not counted: %v", st.Skipped)
		}
		r.check(t)
		r.crm.put(id, "a person's")
		pass(5 * time.Second)
		list := r.events(t, id)
		if len(list) != 2 || list[1].PreviousVersion != fmt.Sprint(loaded) || !strings.Contains(list[1].ChangedColumns, "name") {
			t.Errorf("events %+v, want one that follows version %d", list, loaded)
		}
		r.crm.remove(id)
		pass(5 * time.Second)
		if p := r.last(t, id); !p.Deleted() {
			t.Errorf("the last event is %+v", p)
		}
		r.check(t)
		stop()
	})
}

func TestAPollBeforeTheAnswerPublishesAndTheNoteThatComesLaterChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, id := echoRig(EchoDrop), recordID(1)
		start(t, r.worker(t))
		pass(time.Second)
		version := r.crm.put(id, "ours")
		pass(3 * time.Second)
		r.stream.plant(testNames().Echo("account", id), noteOf(t, version, "ours"))
		pass(30 * time.Second)
		if list := r.events(t, id); len(list) != 2 || list[1].CausationID != "" || r.marks(id) != 0 {
			t.Errorf("events %+v, %d marks", list, r.marks(id))
		}
		r.check(t)
	})
}

// The answer to a write is read after it: it may name the version of a person who was
// faster.
func TestAPersonsChangeUnderTheVersionOfTheAnswerIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, id := echoRig(EchoDrop), recordID(1)
		start(t, r.worker(t))
		pass(time.Second)
		r.crm.put(id, "ours")
		version := r.crm.put(id, "a person's")
		r.stream.plant(testNames().Echo("account", id), noteOf(t, version, "ours"))
		pass(3 * time.Second)
		if list := r.events(t, id); len(list) != 2 || list[1].Data.Record["name"] != "a person's" {
			t.Errorf("events %+v", list)
		}
		r.check(t)
	})
}

func TestWhatIsRememberedInAFormNobodyKnowsDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := echoRig(EchoDrop)
		start(t, r.worker(t))
		pass(time.Second)
		r.crm.put(recordID(1), "ours")
		r.stream.plant(testNames().Echo("account", recordID(1)), []byte(`{"format":9}`))
		r.stream.plant(testNames().Dropped("account", recordID(2)), []byte("garbage"))
		r.own(t, recordID(2), "ours")
		pass(3 * time.Second)
		for i := 1; i <= 2; i++ {
			if list := r.events(t, recordID(i)); len(list) != 2 {
				t.Errorf("record %d has %d events, want 2", i, len(list))
			}
		}
	})
}

func TestANewEpochPublishesWhatWasDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, id := echoRig(EchoDrop), recordID(1)
		stop := start(t, r.worker(t))
		pass(time.Second)
		r.own(t, id, "ours")
		pass(3 * time.Second)
		stop()
		r.cfg.Query.Columns = append(r.cfg.Query.Columns, "primarycontactid")
		start(t, r.worker(t))
		pass(5 * time.Second)
		if list := r.events(t, id); len(list) != 2 || list[1].Data.Record["name"] != "ours" {
			t.Errorf("events %+v", list)
		}
		r.check(t)
	})
}

// With only changes, too: the row is as its last event says, and consumers who know of
// the dropped write must learn that a person took it back.
func TestAReturnToTheLastEventAfterADropIsPublishedAlsoWhereOnlyChangesAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, id := echoRig(EchoDrop), recordID(1)
		r.cfg.Payload = Payload{OnlyChanges: true, Ignore: []string{"modifiedon"}}
		start(t, r.worker(t))
		pass(time.Second)
		r.own(t, id, "ours")
		pass(3 * time.Second)
		r.crm.put(id, "initial")
		pass(3 * time.Second)
		r.crm.put(id, "initial") // nothing changes any more
		pass(3 * time.Second)
		if list := r.events(t, id); len(list) != 2 || list[1].Data.Record["name"] != "initial" || r.marks(id) != 1 {
			t.Errorf("events %+v, %d marks", list, r.marks(id))
		}
	})
}

func TestARowIsHeldAgainstTheMarkLikeAgainstAnEvent(t *testing.T) {
	const held = 50
	last := func(version int64, epoch int, change event.Change) *known {
		return &known{Published: event.Published{Version: version, Epoch: epoch, Change: change}, Sequence: 10}
	}
	tests := []struct {
		name   string
		row    Row
		last   *known
		mark   echo.Mark
		at     uint64
		step   step
		reason string
	}{
		{"the dropped row again", Row{Version: 7, Hash: 1}, last(5, 1, event.Updated), echo.Mark{Version: 7, Epoch: 1, Hash: 1}, 20, stepSkip, skipEcho},
		{"the same version with other content", Row{Version: 7, Hash: 2}, last(5, 1, event.Updated), echo.Mark{Version: 7, Epoch: 1, Hash: 1}, 20, stepPublish, ""},
		{"an older row, long after the drop", Row{Version: 6}, last(5, 1, event.Updated), echo.Mark{Version: 7, Epoch: 1}, 20, stepRewound, ""},
		{"an older row that was under way", Row{Version: 6}, last(5, 1, event.Updated), echo.Mark{Version: 7, Epoch: 1}, 60, stepSkip, skipStale},
		{"a newer row", Row{Version: 8}, last(5, 1, event.Updated), echo.Mark{Version: 7, Epoch: 1}, 20, stepPublish, ""},
		{"a mark before the last event", Row{Version: 9, Hash: 1}, last(8, 1, event.Updated), echo.Mark{Version: 7, Epoch: 1, Hash: 1}, 5, stepPublish, ""},
		{"a mark of an earlier epoch", Row{Version: 7, Hash: 1}, last(5, 2, event.Updated), echo.Mark{Version: 7, Epoch: 1, Hash: 1}, 20, stepPublish, ""},
		{"a mark before the delete", Row{Version: 9, Hash: 1}, last(5, 1, event.Deleted), echo.Mark{Version: 9, Epoch: 1, Hash: 1}, 20, stepPublish, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newTestWorker(t, echoRig(EchoDrop).cfg, newCRM(5), newStream(), Deps{})
			tt.row.JSON = []byte(`{"name":"x"}`)
			sit := situation{phase: PhaseFollowing, start: StartLoad, epoch: tt.last.Epoch, held: held}
			v := &verdict{last: tt.last, echo: &echoes{mark: &tt.mark, at: tt.at}}
			v.row = decideRow(sit, &tt.row, func() time.Time { return time.Time{} }, v.last, false)
			if err := w.hear(sit, &entry{id: recordID(1), row: &tt.row}, v); err != nil {
				t.Fatal(err)
			}
			if v.row.step != tt.step || v.row.reason != tt.reason {
				t.Errorf("step %d %q, want %d %q", v.row.step, v.row.reason, tt.step, tt.reason)
			}
		})
	}
}

// echoStorm is one seed of persons, own writes whose answers take their time, and
// workers that are killed, on a stream that fails.
func echoStorm(t *testing.T, seed uint64, sometime map[string]int) {
	s := newStorm(seed, map[string]int{})
	s.rates["page link refused"] = 0
	const records = 6
	r := echoRig(EchoDrop)
	for i := range records {
		r.crm.put(recordID(i), "initial")
	}
	lag := func() time.Duration { return time.Duration(s.n(300)) * time.Millisecond }
	r.crm.set(s.source, lag)
	r.stream.set(s.stream, lag)
	r.cfg.PollInterval, r.cfg.MaxBatch = 500*time.Millisecond, 2+s.n(8)
	r.cfg.OverlapAge, r.cfg.OverlapEvery = 5*time.Second, 2*time.Second
	r.cfg.Backoff = Backoff{Min: 50 * time.Millisecond, Max: time.Second}
	var crowd sync.WaitGroup
	storming, calm := context.WithTimeout(t.Context(), spell(seed, 40*time.Second))
	defer calm()
	typed := map[string]string{} // the last name that a person gave, "" once we wrote
	for kind := range 2 {
		crowd.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(10+kind)))
			for n := 0; storming.Err() == nil; n++ {
				id := recordID(rnd.IntN(records))
				name := fmt.Sprintf("%d-%d", kind, n)
				if rnd.IntN(12) == 0 {
					r.crm.remove(id)
				}
				r.crm.mu.Lock()
				version := r.crm.write(id, name)
				typed[id] = map[bool]string{true: name}[kind == 0]
				if kind == 1 && rnd.IntN(6) == 0 { // a person is faster than the read for the answer
					typed[id] = "quick " + name
					version = r.crm.write(id, typed[id])
				}
				r.crm.mu.Unlock()
				if kind == 1 {
					_ = sleep(t.Context(), time.Duration(rnd.IntN(900))*time.Millisecond) // the answer's way
					r.stream.plant(testNames().Echo("account", id), noteOf(t, version, name))
				}
				_ = sleep(storming, time.Duration(rnd.IntN(700))*time.Millisecond)
			}
		})
	}
	for rival := range 2 {
		crowd.Go(func() {
			for life := 0; storming.Err() == nil; life++ {
				w := newTestWorker(t, r.cfg, r.crm, r.stream, Deps{Rand: rand.NewPCG(seed, uint64(rival*1000+life))})
				ctx, kill := context.WithTimeout(storming, time.Duration(100+s.n(12000))*time.Millisecond)
				if s.n(4) == 0 {
					w.Resync(false)
				}
				if err := w.Run(ctx); err != nil {
					t.Errorf("Run = %v", err)
				}
				kill()
				s.mu.Lock()
				sometime["dropped"] += int(w.Status().Skipped[skipEcho])
				s.mu.Unlock()
				if st := w.Status(); st.State == StateHalted {
					t.Errorf("a worker halted: %s", st.Detail)
				}
			}
		})
	}
	crowd.Wait()
	r.stream.late.Wait()
	r.crm.set(nil, nil)
	r.stream.set(nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.worker(t).Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
	r.check(t)
	for id, name := range typed {
		list := r.events(t, id)
		if rec := r.crm.records[id]; name == "" || !rec.live {
			continue
		}
		sometime["a person was last"]++
		if len(list) == 0 || list[len(list)-1].Data.Record["name"] != name {
			t.Errorf("record %s: a person called it %q, the stream does not show that", id, name)
		}
	}
	for _, m := range r.stream.snapshot() {
		if strings.Contains(string(m.Data), `"causationid"`) {
			sometime["caused"]++
		}
	}
}

func TestNoPersonsChangeIsDroppedUnderStormAndKills(t *testing.T) {
	t.Parallel()
	storms(t, 8, echoStorm, "dropped", "caused", "a person was last")
}
