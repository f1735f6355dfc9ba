package outbound

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/event"
)

func shapeOne(t testing.TB, p Payload, row string) Row {
	t.Helper()
	rows := []Row{{ID: recordID(1), Version: 1, JSON: []byte(row), Hash: 1}}
	if err := NewShaper(modelTable(), &p).Shape(rows); err != nil {
		t.Fatal(err)
	}
	return rows[0]
}

func TestAProtectedValueIsNotInTheRowAndEqualValuesStayEqual(t *testing.T) {
	t.Parallel()
	p := Payload{HashKey: []byte("0123456789abcdef"), Protect: map[string]schema.Protection{
		"name": schema.ProtectHash, "accountnumber": schema.ProtectMask, "primarycontactid": schema.ProtectHash}}
	row := func(name, number, contact string) Row {
		return shapeOne(t, p, `{"accountid":"x","versionnumber":7,"name":`+name+`,"accountnumber":`+number+`,"_primarycontactid_value":`+contact+`}`)
	}
	a, b := row(`"Fabrikam"`, `"A-1"`, `null`), row(`"Fabrik\u0061m"`, `"A-2"`, `null`)
	if !bytes.Equal(a.JSON, b.JSON) || a.Hash != b.Hash {
		t.Errorf("equal names and masked numbers differ:\n%s\n%s", a.JSON, b.JSON)
	}
	// printf Fabrikam | openssl dgst -sha256 -hmac 0123456789abcdef -binary | base64 | tr +/ -_ | tr -d =
	want := `{"accountid":"x","versionnumber":7,"name":"hmac-sha256:` + fabrikam + `","accountnumber":"***","_primarycontactid_value":null}`
	if string(a.JSON) != want {
		t.Errorf("row %s, want %s", a.JSON, want)
	}
	if c := row(`"Contoso"`, `"A-1"`, `null`); c.Hash == a.Hash || bytes.Contains(c.JSON, []byte("Contoso")) {
		t.Errorf("another name: %s", c.JSON)
	}
	if c := row(`12.50`, `true`, `"5531d753-95af-e711-a94e-000d3a11e605"`); bytes.Contains(c.JSON, []byte("5531d753")) || bytes.Contains(c.JSON, []byte("12.50")) {
		t.Errorf("numbers and lookups are protected too: %s", c.JSON)
	}
	other := p
	other.HashKey = []byte("fedcba9876543210")
	if c := shapeOne(t, other, `{"name":"Fabrikam"}`); bytes.Contains(c.JSON, []byte(fabrikam)) {
		t.Error("the key has no part in the hash")
	}
}

const fabrikam = "ZR_mVBd5UK1xwtOSdg1QLb-27j3NlSUQoQqi30-qARQ"

func TestAnUnusedPayloadTouchesNothingAndKeepsCheckpointsValid(t *testing.T) {
	text := []byte(`{"name":"x"}`)
	rows := []Row{{ID: recordID(1), Version: 1, JSON: text, Hash: 5}}
	s := NewShaper(modelTable(), &Payload{})
	if n := testing.AllocsPerRun(100, func() { _ = s.Shape(rows) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if &rows[0].JSON[0] != &text[0] || rows[0].Hash != 5 || rows[0].Out {
		t.Errorf("row %+v", rows[0])
	}
	// What a bridge without these settings has stored.
	if got := fingerprint(modelQuery(), testSettings(), &Payload{HashKey: []byte("unused"), Ignore: []string{"unused"}}); got != "622247d00ee8c6903aef735e735ec350" {
		t.Errorf("fingerprint %s", got)
	}
}

func TestEachPayloadChoiceIsAnotherConfigurationAndOnlyContentAnotherIdentity(t *testing.T) {
	t.Parallel()
	keep := func([]byte) (bool, error) { return true, nil }
	base := Payload{}
	seen := map[string]string{}
	for name, c := range map[string]struct {
		p    Payload
		same bool
	}{
		"filter":         {Payload{Keep: keep, KeepName: "a"}, false},
		"other filter":   {Payload{Keep: keep, KeepName: "b"}, false},
		"mask":           {Payload{Protect: map[string]schema.Protection{"name": schema.ProtectMask}}, false},
		"hash":           {Payload{Protect: map[string]schema.Protection{"name": schema.ProtectHash}, HashKey: []byte("k")}, false},
		"other key":      {Payload{Protect: map[string]schema.Protection{"name": schema.ProtectHash}, HashKey: []byte("l")}, false},
		"only changes":   {Payload{OnlyChanges: true}, true},
		"another ignore": {Payload{OnlyChanges: true, Ignore: []string{"name"}}, true},
	} {
		plain, got := fingerprint(modelQuery(), testSettings(), &base), fingerprint(modelQuery(), testSettings(), &c.p)
		if before, twice := seen[got]; twice || got == plain {
			t.Errorf("%s has the fingerprint of %q", name, before)
		}
		if seen[got] = name; sameIdentity(plain, got) != c.same {
			t.Errorf("%s: same identity %v", name, !c.same)
		}
	}
}

func TestPayloadsThatCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Payload{
		"not among the columns":     {Protect: map[string]schema.Protection{"nope": schema.ProtectMask}},
		"own attributes":            {Protect: map[string]schema.Protection{"accountid": schema.ProtectMask}},
		"a key of at least":         {Protect: map[string]schema.Protection{"name": schema.ProtectHash}, HashKey: []byte("short")},
		`protection "scramble"`:     {Protect: map[string]schema.Protection{"name": "scramble"}},
		"lookup primarycontactid":   {Protect: map[string]schema.Protection{"primarycontactid": schema.ProtectMask}},
		"its name belong together":  {KeepName: "x"},
		"and its name belong toget": {Keep: keepByName},
	} {
		cfg := testConfig()
		cfg.Payload = p
		if strings.HasPrefix(want, "lookup") {
			cfg.Query.Columns = append(cfg.Query.Columns, "primarycontactid")
			cfg.References = []Reference{{Column: "primarycontactid"}}
		}
		if _, err := NewWorker(cfg, newCRM(5), newStream(), Deps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// choose tells the rig's workers and its checker what to publish.
func (r *rig) choose(p Payload) { r.cfg.Payload, r.crm.payload = p, p }

func filtered() Payload { return Payload{Keep: keepByName, KeepName: "keepByName"} }

func TestARecordThatLeavesTheFilterIsDeletedAndComesBackAsCreated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(0)
		r.choose(filtered())
		r.crm.put(recordID(1), "in")
		r.crm.put(recordID(2), "out 1")
		w := r.worker(t)
		start(t, w)
		step := func(change func(), want ...string) {
			t.Helper()
			stored := len(r.stream.snapshot())
			change()
			pass(20 * time.Second)
			if diff := cmp.Diff(want, r.tail(t, stored)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			r.check(t)
		}
		step(func() {}, "loaded 01@1 load")
		var left int64
		step(func() { left = r.crm.put(recordID(1), "leaves 1") }, "deleted 01@1 delta filtered")
		if p := r.last(t, recordID(1)); p.Version != left {
			t.Errorf("the delete bears version %d, the row that left had %d", p.Version, left)
		}
		step(func() { r.crm.put(recordID(1), "still out 2") })
		step(func() { r.crm.put(recordID(2), "comes") }, "created 02@1 delta")
		step(func() { r.crm.put(recordID(1), "back") }, "created 01@1 delta")
		step(func() { r.crm.put(recordID(1), "out again 1"); r.crm.remove(recordID(1)) }, "deleted 01@1 delta deleted")
		step(func() { r.crm.put(recordID(2), "leaves 1") }, "deleted 02@1 delta filtered")
		step(func() { r.crm.remove(recordID(2)) })
		if n := w.Status().Skipped[skipFiltered]; n < 2 {
			t.Errorf("%d rows were counted as filtered", n)
		}
		if n := r.notices(t); len(n) != 0 {
			t.Errorf("notices %v: a filter is no alarm", n)
		}
	})
}

func TestAFilterThatFailsHaltsTheTableByNameWithoutAValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		broken := true
		r.choose(Payload{KeepName: "fails", Keep: func(row []byte) (bool, error) {
			if broken && bytes.Contains(row, []byte("secret text")) {
				return false, errors.New("name is no number")
			}
			return true, nil
		}})
		w := r.worker(t)
		start(t, w)
		pass(10 * time.Second)
		stored := len(r.stream.snapshot())
		r.crm.put(recordID(1), "secret text")
		pass(10 * time.Second)
		st := wantState(t, w, StateHalted)
		if !strings.Contains(st.Detail, recordID(1)) || !strings.Contains(st.Detail, "table account") ||
			!strings.Contains(st.Detail, "name is no number") || strings.Contains(st.Detail, "secret") {
			t.Errorf("detail %s", st.Detail)
		}
		if got := r.tail(t, stored); len(got) != 0 {
			t.Errorf("events %v", got)
		}
		broken = false
		w.Resume()
		pass(10 * time.Second)
		wantState(t, w, StateFollowing)
		r.check(t)
	})
}

func TestAChangedFilterPublishesOnlyTheDifferenceInANewEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(0)
		r.crm.put(recordID(1), "stays")
		r.crm.put(recordID(2), "leaves 1")
		stop := start(t, r.worker(t))
		pass(10 * time.Second)
		stop()
		r.choose(filtered())
		stored := len(r.stream.snapshot())
		stop = start(t, r.worker(t))
		pass(10 * time.Second)
		if diff := cmp.Diff([]string{"deleted 02@2 resync filtered"}, r.tail(t, stored)); diff != "" {
			t.Errorf("with a filter (-want +got):\n%s", diff)
		}
		stop()
		// Without it the same version comes back: only a new epoch lets it.
		r.choose(Payload{})
		stored = len(r.stream.snapshot())
		start(t, r.worker(t))
		pass(10 * time.Second)
		if diff := cmp.Diff([]string{"created 02@3 resync"}, r.tail(t, stored)); diff != "" {
			t.Errorf("without it (-want +got):\n%s", diff)
		}
	})
}

func TestAFilterThatWouldDeleteTooManyRecordsNeedsAPerson(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(0)
		for i := range 20 {
			r.crm.put(recordID(i), "name 1")
		}
		stop := start(t, r.worker(t))
		pass(10 * time.Second)
		stop()
		r.choose(filtered())
		r.cfg.MaxDeletes = 7
		stored := len(r.stream.snapshot())
		w := r.worker(t)
		start(t, w)
		pass(10 * time.Second)
		if st := wantState(t, w, StateHalted); !strings.Contains(st.Detail, "max_deletes") || !strings.Contains(st.Detail, "filter") {
			t.Errorf("detail %s", st.Detail)
		}
		if got := r.tail(t, stored); len(got) > 7 {
			t.Errorf("%d deletes, 7 are allowed", len(got))
		}
		w.Resync(true)
		pass(10 * time.Second)
		wantState(t, w, StateFollowing)
		if got := r.tail(t, stored); len(got) != 20 {
			t.Errorf("%d deletes, want 20", len(got))
		}
	})
}

// A column that is computed on reading may change the outcome without a version.
func TestARecordThatComesBackInTheVersionOfItsDeleteIsNoRestore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		var out atomic.Bool
		out.Store(true)
		r.cfg.Payload = Payload{KeepName: "moody", Keep: func(row []byte) (bool, error) {
			return !out.Load() || !bytes.Contains(row, []byte("moody")), nil
		}}
		w := r.worker(t)
		start(t, w)
		pass(10 * time.Second)
		r.crm.put(recordID(1), "moody")
		pass(10 * time.Second)
		out.Store(false)
		pass(10 * time.Minute) // the overlap shows the row again
		w.Resync(false)        // and a full read does
		pass(10 * time.Second)
		if st := wantState(t, w, StateFollowing); st.Epoch != 1 {
			t.Errorf("epoch %d: a restore was seen where there was none", st.Epoch)
		}
	})
}

func onlyChanges() Payload { return Payload{OnlyChanges: true, Ignore: []string{"modifiedon"}} }

func TestAnUpdateOfIgnoredColumnsAloneIsCountedNotPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(30)
		r.choose(onlyChanges())
		r.cfg.OverlapEvery, r.cfg.OverlapAge = 10*time.Second, 10*time.Second
		w := r.worker(t)
		start(t, w)
		pass(10 * time.Second)
		first := r.last(t, recordID(1))
		stored := len(r.stream.snapshot())
		for range 5 {
			pass(time.Minute)
			r.crm.put(recordID(1), "initial")
			r.crm.put(recordID(2), "initial")
		}
		pass(5 * time.Minute)
		if got := r.tail(t, stored); len(got) != 0 {
			t.Errorf("events %v", got)
		}
		st := wantState(t, w, StateFollowing)
		if st.Skipped[skipNoise] < 10 || st.Late != 0 || st.Epoch != 1 {
			t.Errorf("skipped %v, late %d, epoch %d", st.Skipped, st.Late, st.Epoch)
		}
		r.check(t)
		r.crm.put(recordID(1), "changed")
		r.crm.remove(recordID(2))
		pass(time.Minute)
		r.check(t) // previousversion is that of the event before, the delete has its version
		if p := r.last(t, recordID(1)); p.Change != event.Updated || p.Version == first.Version {
			t.Errorf("last event %+v", p)
		}
		r.crm.expire(false)
		pass(time.Minute)
		r.check(t)
		if n := r.notices(t); len(n) != 2 {
			t.Errorf("notices %v, want those of the expired token", n)
		}
	})
}

func TestOnlyChangesIsSwitchedWithoutANewEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(5)
		r.choose(onlyChanges())
		stop := start(t, r.worker(t))
		pass(10 * time.Second)
		r.crm.put(recordID(1), "initial")
		pass(10 * time.Second)
		stop()
		stored := len(r.stream.snapshot())
		r.choose(Payload{})
		w := r.worker(t)
		start(t, w)
		pass(10 * time.Second)
		if diff := cmp.Diff([]string{"updated 01@1 resync"}, r.tail(t, stored)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		r.check(t)
	})
}

// The events of before hold raw values. None of them is to be said again.
func TestAColumnProtectedLaterIsNotRevealedByFormerValues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		r.cfg.Previous = true
		stop := start(t, r.worker(t))
		pass(10 * time.Second)
		stop()
		stored := len(r.stream.snapshot())
		r.crm.remove(recordID(1))
		r.crm.put(recordID(2), "changed")
		r.cfg.Payload = Payload{HashKey: []byte("a key of some length"), Protect: map[string]schema.Protection{
			"accountnumber": schema.ProtectHash, "name": schema.ProtectMask}}
		w := r.worker(t)
		start(t, w)
		pass(10 * time.Second)
		r.crm.put(recordID(0), "changed too")
		pass(10 * time.Second)
		r.crm.remove(recordID(0))
		pass(10 * time.Second)
		wantState(t, w, StateFollowing)
		events := 0
		for _, m := range r.stream.snapshot()[stored:] {
			if _, ok := testNames().RecordID("account", m.Subject); !ok {
				continue
			}
			events++
			for _, raw := range []string{"A-00", "initial", "changed "} {
				if bytes.Contains(m.Data, []byte(`"`+raw)) {
					t.Errorf("%s reveals %q: %s", m.Subject, raw, m.Data)
				}
			}
			if !bytes.Contains(m.Data, []byte(schema.HashPrefix)) {
				t.Errorf("%s has no hash: %s", m.Subject, m.Data)
			}
		}
		if events < 5 {
			t.Errorf("%d events", events)
		}
	})
}
