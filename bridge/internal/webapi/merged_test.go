package webapi

import (
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

const mergedLine = `GET accounts(accountnumber='A%201')?$select=accountid,merged,_masterid_value `

func merging(rule schema.MergedRule) func(*schema.Write) {
	return func(w *schema.Write) {
		w.Merged = &schema.Merged{Rule: rule, PrimaryID: "accountid", Versioned: true}
	}
}

// readAs answers the question before the write; master 0 stands for a record that was not merged.
func readAs(n, master int) scripted {
	into := "null"
	if master != 0 {
		into = `"` + mergedID(master) + `"`
	}
	return scripted{status: 200, body: fmt.Sprintf(`{"@odata.etag":"W/\"%d\"","accountid":"%s","merged":%t,"_masterid_value":%s}`, n*10, mergedID(n), master != 0, into)}
}

func mergedID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func TestAMergedRecordIsNoticedBeforeItIsWritten(t *testing.T) {
	t.Parallel()
	read := func(n int) string {
		return "GET accounts(" + mergedID(n) + ")?$select=accountid,merged,_masterid_value "
	}
	update := func(n int) string {
		return fmt.Sprintf(`PATCH accounts(%s) If-Match:W/"%d" {"name":"Fabrikam"}`, mergedID(n), n*10)
	}
	remove := func(n int) string {
		return fmt.Sprintf(`DELETE accounts(%s) If-Match:W/"%d" `, mergedID(n), n*10)
	}
	changed := scripted{status: 412, body: apiError("0x80060882", "The version of the existing record doesn't match")}
	gone := scripted{status: 404, body: apiError("0x80040217", "account With Id = "+mergedID(1)+" Does Not Exist")}
	proxy := scripted{status: 404, body: ""}
	const reject, redirect = schema.MergedReject, schema.MergedRedirect
	for name, c := range map[string]struct {
		rule    schema.MergedRule
		op      schema.Operation
		answers []scripted
		seen    []string
		want    string // effect or verdict
		text    string
	}{
		"not merged":          {reject, "", []scripted{readAs(1, 0), noContent}, []string{mergedLine, update(1)}, "updated", ""},
		"not there":           {reject, "", []scripted{missingSelf, noContent}, []string{mergedLine, createLine}, "created", ""},
		"not there, update":   {reject, schema.OpUpdate, []scripted{missingSelf}, []string{mergedLine}, "reject not_found", ""},
		"not there, delete":   {reject, schema.OpDelete, []scripted{missingSelf}, []string{mergedLine}, "absent", ""},
		"a proxy's not there": {reject, schema.OpDelete, []scripted{proxy}, []string{mergedLine}, "retry bad_answer", ""},
		"deleted":             {redirect, schema.OpDelete, []scripted{readAs(1, 0), noContent}, []string{mergedLine, remove(1)}, "deleted", ""},
		"merged":              {reject, "", []scripted{readAs(1, 2)}, []string{mergedLine}, "reject merged", mergedID(2)},
		"redirected":          {redirect, "", []scripted{readAs(1, 2), readAs(2, 0), noContent}, []string{mergedLine, read(2), update(2)}, "updated", ""},
		"redirected twice":    {redirect, schema.OpUpdate, []scripted{readAs(1, 2), readAs(2, 3), readAs(3, 0), noContent}, []string{mergedLine, read(2), read(3), update(3)}, "updated", ""},
		"in a circle":         {redirect, "", []scripted{readAs(1, 2), readAs(2, 1)}, []string{mergedLine, read(2)}, "reject merged", "in a circle"},
		"a long chain": {redirect, "", []scripted{readAs(1, 2), readAs(2, 3), readAs(3, 4), readAs(4, 5), readAs(5, 6), readAs(6, 7)},
			[]string{mergedLine, read(2), read(3), read(4), read(5), read(6)}, "reject merged", mergedID(7)},
		"five hops": {redirect, "", []scripted{readAs(1, 2), readAs(2, 3), readAs(3, 4), readAs(4, 5), readAs(5, 6), readAs(6, 0), noContent},
			[]string{mergedLine, read(2), read(3), read(4), read(5), read(6), update(6)}, "updated", ""},
		"the master is gone":       {redirect, "", []scripted{readAs(1, 2), gone}, []string{mergedLine, read(2)}, "reject merged", "not there"},
		"a delete spares a master": {redirect, schema.OpDelete, []scripted{readAs(1, 2)}, []string{mergedLine}, "reject merged", "must not delete"},
		"merged meanwhile": {redirect, "", []scripted{readAs(1, 0), changed, readAs(1, 2), readAs(2, 0), noContent},
			[]string{mergedLine, update(1), mergedLine, read(2), update(2)}, "updated", ""},
		"deleted meanwhile": {reject, "", []scripted{readAs(1, 0), gone, missingSelf, noContent}, []string{mergedLine, update(1), mergedLine, createLine}, "created", ""},
		"made meanwhile":    {reject, "", []scripted{missingSelf, exists412, readAs(1, 0), noContent}, []string{mergedLine, createLine, mergedLine, update(1)}, "updated", ""},
		"changed all the time": {reject, "", []scripted{readAs(1, 0), changed, readAs(1, 0), changed, readAs(1, 0), changed},
			[]string{mergedLine, update(1), mergedLine, update(1), mergedLine, update(1)}, "retry-race precondition", ""},
		"a deleted one is as good": {reject, schema.OpDelete, []scripted{readAs(1, 0), gone}, []string{mergedLine, remove(1)}, "absent", ""},
		"an answer without a record": {reject, "", []scripted{{status: 200, body: `{"@odata.etag":"W/\"1\"","merged":false}`}},
			[]string{mergedLine}, "retry bad_answer", ""},
		"one record out of reach": {reject, "", []scripted{{status: 403, body: apiError("0x80048306", "Principal user is missing prvReadAccount privilege for record with id x")}},
			[]string{mergedLine}, "reject forbidden", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{t: t, answers: c.answers}
			client, _ := newTestClient(t, s)
			w := upsertAccount()
			merging(c.rule)(w)
			if c.op != "" {
				w.Operation = c.op
			}
			r, err := client.Apply(t.Context(), w)
			got := string(r.Effect)
			if e := outcome.Of(err); e != nil {
				got = string(e.Verdict) + " " + string(e.Reason)
				if !strings.Contains(e.Message, c.text) {
					t.Errorf("the text lacks %q: %s", c.text, e.Message)
				}
			}
			if diff := cmp.Diff(c.seen, s.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if got != c.want || r.Requests != len(c.seen) {
				t.Errorf("%s in %d requests, want %s", got, r.Requests, c.want)
			}
		})
	}
}

func TestWithoutOptimisticConcurrencyAnyVersionIsWritten(t *testing.T) {
	t.Parallel()
	s := &script{t: t, answers: []scripted{readAs(1, 0), noContent}}
	client, _ := newTestClient(t, s)
	w := upsertAccount()
	merging(schema.MergedReject)(w)
	w.Merged.Versioned = false
	if _, err := client.Apply(t.Context(), w); err != nil || !strings.Contains(s.seen[1], "If-Match:* ") {
		t.Errorf("%v: %v", err, s.seen)
	}
}

func TestAKeyThatMeansAnotherRecordIsNoticed(t *testing.T) {
	t.Parallel()
	for rule, want := range map[schema.MergedRule]string{schema.MergedReject: "reject key_reused", schema.MergedRedirect: "updated"} {
		o := newOrganization(t, sim.Options{})
		w := o.write(t, schema.OpUpsert, "K1", `{"name":"One"}`)
		merging(rule)(w)
		w.WantResult = true
		first := o.want(t, w, "created", 2)
		o.want(t, w, "updated", 2)
		// Somebody gives the number to another account.
		if err := o.sim.Update("account", first.ID, map[string]any{"accountnumber": "old"}); err != nil {
			t.Fatal(err)
		}
		other, err := o.sim.Insert("account", map[string]any{"accountnumber": "K1", "name": "Another"})
		if err != nil {
			t.Fatal(err)
		}
		r, got := o.apply(t, w)
		if got != want || rule == schema.MergedRedirect && r.ID != other {
			t.Errorf("%s: %s, %+v", rule, got, r)
		}
		row, _ := o.sim.Row("account", other)
		if written := row["name"] == "One"; written != (rule == schema.MergedRedirect) {
			t.Errorf("%s: %v", rule, row["name"])
		}
		_, err = o.client.Apply(t.Context(), w)
		if e := outcome.Of(err); rule == schema.MergedReject && (e == nil || !strings.Contains(e.Message, first.ID) || !strings.Contains(e.Op, other)) {
			t.Errorf("once more: %v", err)
		} else if rule == schema.MergedRedirect && err != nil {
			t.Error(err)
		}
	}
}

func TestARecordThatThisClientDeletedLeavesItsKeyToAnother(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	upsert := o.write(t, schema.OpUpsert, "K1", `{"name":"One"}`)
	merging(schema.MergedReject)(upsert)
	upsert.WantResult = true
	remove := o.write(t, schema.OpDelete, "K1", "")
	merging(schema.MergedReject)(remove)
	o.want(t, upsert, "created", 2)
	o.want(t, remove, "deleted", 2)
	o.want(t, remove, "absent", 1)
	o.want(t, upsert, "created", 2)
	o.want(t, upsert, "updated", 2)
}

func TestOnTheSimulatorARedirectedWriteGoesToTheMaster(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		o.client.batches = newBatcher(o.client, BatchConfig{Max: 10})
		ids := map[string]string{}
		for _, n := range []string{"M1", "M2", "M/3"} {
			id, err := o.sim.Insert("account", map[string]any{"accountnumber": n, "name": n})
			if err != nil {
				t.Fatal(err)
			}
			ids[n] = id
		}
		for _, n := range []string{"M2", "M/3"} {
			if err := o.sim.Merge("account", ids["M1"], ids[n]); err != nil {
				t.Fatal(err)
			}
		}
		keyed := o.write(t, schema.OpUpsert, "M2", `{"name":"keyed"}`)
		merging(schema.MergedRedirect)(keyed)
		if r := o.want(t, keyed, "updated", 3); r.ID != ids["M1"] {
			t.Errorf("written to %s, want the master", r.ID)
		}
		searched := o.searched(t, schema.OpUpsert, "M/3", `{"name":"searched"}`)
		merging(schema.MergedRedirect)(searched)
		o.want(t, searched, "updated", 4)
		if row, _ := o.sim.Row("account", ids["M1"]); row["name"] != "searched" || row["accountnumber"] != "M1" {
			t.Errorf("the master is %v", row)
		}
		for _, n := range []string{"M2", "M/3"} {
			if row, _ := o.sim.Row("account", ids[n]); row["name"] != n {
				t.Errorf("%s was written: %v", n, row)
			}
		}
		merging(schema.MergedReject)(keyed)
		o.want(t, keyed, "reject merged", 1)
	})
}

func TestOnlySoManyKeysAreRemembered(t *testing.T) {
	t.Parallel()
	o := newOwners()
	write := func(n int) *schema.Write {
		return &schema.Write{Table: "account", Key: []schema.KeyPart{keyPart("accountnumber", fmt.Sprint(n))}}
	}
	for i := range maxOwners + 10 {
		o.replace(write(i), mergedID(i))
		if o.of(write(0)) == "" { // used all the time, so it stays
			t.Fatal("the key used last is forgotten")
		}
	}
	if len(o.known) != maxOwners || o.order.Len() != maxOwners || o.of(write(1)) != "" || o.of(write(maxOwners)) != mergedID(maxOwners) {
		t.Errorf("%d keys", len(o.known))
	}
	o.replace(write(0), "")
	o.replace(&schema.Write{Table: "account", ID: mergedID(1)}, mergedID(1))
	if o.of(write(0)) != "" || len(o.known) != maxOwners-1 {
		t.Error("not forgotten")
	}
}
