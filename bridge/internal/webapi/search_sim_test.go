package webapi

import (
	"encoding/json"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// searched is write for a key that may have any character.
func (o *organization) searched(t *testing.T, op schema.Operation, number, body string) *schema.Write {
	t.Helper()
	w := &schema.Write{Operation: op, Table: "account", EntitySet: "accounts", Key: []schema.KeyPart{keyPart("accountnumber", number)}}
	var err error
	if w.Search, err = schema.NewSearch(o.catalog["account"], w.Key); err != nil {
		t.Fatal(err)
	}
	if w.KeyMembers, err = schema.KeyMembers(o.catalog, o.catalog["account"], w.Key); err != nil {
		t.Fatal(err)
	}
	if body != "" {
		w.Body = json.RawMessage(body)
	}
	return w
}

func keyPart(column, text string) schema.KeyPart {
	value, _ := json.Marshal(text)
	return schema.KeyPart{Column: column, Value: value}
}

// refer adds a reference to a write's bodies.
func (o *organization) refer(t *testing.T, w *schema.Write, property, table string, cached bool, parts ...schema.KeyPart) *schema.Write {
	t.Helper()
	s, err := schema.NewSearch(o.catalog[table], parts)
	if err != nil {
		t.Fatal(err)
	}
	ref := schema.Reference{Search: *s, Property: property + "@odata.bind", Cached: cached}
	w.References = append(w.References, ref)
	w.Body = joined(w.Body, json.RawMessage("{"+string(ref.Member())+"}"))
	if w.OnCreate != nil {
		w.OnCreate = joined(w.OnCreate, json.RawMessage("{"+string(ref.Member())+"}"))
	}
	return w
}

// apply returns the effect or the verdict, and the number of requests.
func (o *organization) apply(t *testing.T, w *schema.Write) (schema.Result, string) {
	t.Helper()
	r, err := o.client.Apply(t.Context(), w)
	if e := outcome.Of(err); e != nil {
		return r, string(e.Verdict) + " " + string(e.Reason)
	}
	if err != nil {
		return r, err.Error()
	}
	return r, string(r.Effect)
}

func (o *organization) want(t *testing.T, w *schema.Write, effect string, requests int) schema.Result {
	t.Helper()
	r, got := o.apply(t, w)
	if got != effect || r.Requests != requests {
		t.Errorf("%s %s %s: %s in %d requests, want %s in %d", w.Operation, w.Path(), w.Body, got, r.Requests, effect, requests)
	}
	return r
}

// Every character that breaks a keyed URL is refused there and found by a search.
func TestKeysThatNoURLTakesAreSearchedFor(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		for _, c := range schema.ForbiddenKeyCharacters + "'" {
			number := "A" + string(c) + "1's"
			if _, err := schema.KeyPredicate(o.catalog["account"], []schema.KeyPart{keyPart("accountnumber", number)}); (err == nil) != (c == '\'') {
				t.Errorf("%q in a URL: %v", c, err)
			}
			made := o.want(t, o.searched(t, schema.OpUpsert, number, `{"name":"one"}`), "created", 2)
			again := o.searched(t, schema.OpUpsert, number, `{"name":"two"}`)
			again.WantResult = true
			if r := o.want(t, again, "updated", 2); r.ID == "" || r.ID != made.ID || r.Version <= made.Version {
				t.Errorf("%q: made %+v, then %+v", c, made, r)
			}
			if row, ok := o.sim.Row("account", made.ID); !ok || row["accountnumber"] != number || row["name"] != "two" {
				t.Errorf("%q: the record is %v", c, row)
			}
		}
	})
}

func TestEveryOperationWorksOnASearchedRecord(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	const number = "N/1"
	o.want(t, o.searched(t, schema.OpUpdate, number, `{"name":"x"}`), "reject not_found", 1)
	o.want(t, o.searched(t, schema.OpDelete, number, ""), "absent", 1)
	o.want(t, o.searched(t, schema.OpCreate, number, `{"name":"x"}`), "created", 1)
	o.want(t, o.searched(t, schema.OpCreate, number, `{"name":"x"}`), "reject duplicate", 1)
	o.want(t, o.searched(t, schema.OpUpdate, number, `{"name":"y"}`), "updated", 2)
	o.want(t, o.searched(t, schema.OpDelete, number, ""), "deleted", 2)
	onCreate := o.searched(t, schema.OpUpsert, number, `{"name":"z"}`)
	onCreate.OnCreate = json.RawMessage(`{"name":"z","description":"new"}`)
	r := o.want(t, onCreate, "created", 2)
	if row, _ := o.sim.Row("account", r.ID); row["description"] != "new" || row["accountnumber"] != number {
		t.Errorf("the record is %v", row)
	}
	o.want(t, onCreate, "updated", 2)
	o.want(t, o.searched(t, schema.OpUpsert, "E/1", "{}"), "created", 2) // nothing but the key
}

func TestASearchThatMeansSeveralRecordsIsRejected(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	for range 2 {
		if _, err := o.sim.Insert("contact", map[string]any{"lastname": "Twin"}); err != nil {
			t.Fatal(err)
		}
	}
	w := o.refer(t, o.write(t, schema.OpUpsert, "T1", `{"name":"x"}`), "primarycontactid", "contact", true, keyPart("lastname", "Twin"))
	o.want(t, w, "reject config", 1)
	if err := applyError(o.client, t.Context(), w); outcome.Of(err).Message != "several records of contact have this lastname: name more columns" {
		t.Errorf("got %v", err)
	}
}

func TestAReferenceIsFoundOnceAndRemembered(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	resolve := func(number string, cached bool) *schema.Write {
		return o.refer(t, o.write(t, schema.OpUpsert, number, `{"name":"x"}`), "primarycontactid", "contact", cached, keyPart("lastname", "Öz & Söhne"))
	}
	o.want(t, resolve("R1", true), "park missing_reference", 1)
	o.want(t, resolve("R1", true), "park missing_reference", 1) // what is missing is not remembered
	id, err := o.sim.Insert("contact", map[string]any{"lastname": "Öz & Söhne"})
	if err != nil {
		t.Fatal(err)
	}
	o.want(t, resolve("R1", true), "written", 2)
	o.want(t, resolve("R2", true), "written", 1)
	o.want(t, resolve("R3", false), "written", 2)
	for _, number := range []string{"R1", "R2", "R3"} {
		account, _ := o.sim.FindByKey("account", map[string]any{"accountnumber": number})
		if row, _ := o.sim.Row("account", account); row["primarycontactid"] != id && row["_primarycontactid_value"] != id {
			t.Errorf("%s refers to %v, want %s", number, row["_primarycontactid_value"], id)
		}
	}
}

func TestARememberedReferenceThatIsGoneIsFoundAnew(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		resolve := func(op schema.Operation, number string) *schema.Write {
			return o.refer(t, o.write(t, op, number, `{"name":"x"}`), "primarycontactid", "contact", true, keyPart("lastname", "Moved"))
		}
		first, err := o.sim.Insert("contact", map[string]any{"lastname": "Moved"})
		if err != nil {
			t.Fatal(err)
		}
		o.want(t, resolve(schema.OpUpsert, "M1"), "written", 2)
		if err := o.sim.Delete("contact", first); err != nil {
			t.Fatal(err)
		}
		o.want(t, resolve(schema.OpUpsert, "M2"), "park missing_reference", 2) // the write, and the search
		second, err := o.sim.Insert("contact", map[string]any{"lastname": "Moved"})
		if err != nil {
			t.Fatal(err)
		}
		o.want(t, resolve(schema.OpUpdate, "M1"), "updated", 2)
		if err := o.sim.Delete("contact", second); err != nil {
			t.Fatal(err)
		}
		if _, err := o.sim.Insert("contact", map[string]any{"lastname": "Moved"}); err != nil {
			t.Fatal(err)
		}
		o.want(t, resolve(schema.OpUpdate, "M1"), "updated", 3) // the write, the search, the write
	})
}

// A record that is missing by its key says nothing against what was remembered.
func TestAMissingKeyIsNoReasonToSearchAgain(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	if _, err := o.sim.Insert("contact", map[string]any{"lastname": "Kept"}); err != nil {
		t.Fatal(err)
	}
	orphan := func() *schema.Write {
		w := o.write(t, schema.OpUpsert, "K1", `{"parentaccountid@odata.bind":"/accounts(accountnumber='nobody')"}`)
		return o.refer(t, w, "primarycontactid", "contact", true, keyPart("lastname", "Kept"))
	}
	o.want(t, orphan(), "park missing_reference", 2)
	o.want(t, orphan(), "park missing_reference", 1)
}

func TestOnlyANewRecordSearchesForWhatOnlyItRefersTo(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	if _, err := o.sim.Insert("contact", map[string]any{"lastname": "Owner"}); err != nil {
		t.Fatal(err)
	}
	w := o.write(t, schema.OpUpsert, "O1", `{"name":"x"}`)
	plain := w.Body
	o.refer(t, w, "primarycontactid", "contact", false, keyPart("lastname", "Owner"))
	w.OnCreate, w.Body = w.Body, plain
	o.want(t, w, "created", 3)
	o.want(t, w, "updated", 1)
}

func TestSearchedWritesAndReferencesWorkBesideBatches(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	c, err := New(Config{URL: o.client.root.origin(), Batch: BatchConfig{Max: 50}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	o.client = c
	if _, err := o.sim.Insert("contact", map[string]any{"lastname": "All"}); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	const n = 60
	for i := range n {
		number := "B" + string(rune('A'+i))
		w := o.write(t, schema.OpUpsert, "B"+string(rune('a'+i%26))+"x"+string(rune('0'+i/26)), `{"name":"x"}`)
		if i%2 == 0 {
			w = o.searched(t, schema.OpUpsert, number+"/", `{"name":"x"}`)
		}
		o.refer(t, w, "primarycontactid", "contact", true, keyPart("lastname", "All"))
		go func() { errs <- applyError(c, t.Context(), w) }()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
