package webapi

import (
	"encoding/json"
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// branches is an organization in which an account is known by the account above it and
// a number.
func branches(t *testing.T, profile sim.Profile) *organization {
	t.Helper()
	shared, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	var tables []*schema.Table
	for _, s := range shared {
		table := *s
		if table.LogicalName == "account" {
			table.Keys = append(table.Keys[:1:1], schema.AlternateKey{LogicalName: "new_branchkey", SchemaName: "new_BranchKey",
				Columns: []string{"parentaccountid", "new_erpnumber"}, Status: schema.KeyActive})
		}
		tables = append(tables, &table)
	}
	return newOrganization(t, sim.Options{Profile: profile, Tables: tables})
}

// branch is a write of the account with that number below the one with that name or key.
func (o *organization) branch(t *testing.T, op schema.Operation, by, parent string, cached bool, number, body string) *schema.Write {
	t.Helper()
	table := o.catalog["account"]
	key := []schema.KeyPart{keyPart(by, parent)}
	s, err := schema.NewSearch(table, key)
	if err != nil {
		t.Fatal(err)
	}
	w := &schema.Write{Operation: op, Table: "account", EntitySet: table.EntitySet, Key: []schema.KeyPart{
		{Column: "parentaccountid", Parent: &schema.KeyParent{Key: key,
			Reference: schema.Reference{Search: *s, Property: "parentaccountid@odata.bind", Cached: cached}}},
		keyPart("new_erpnumber", number),
	}}
	if w.Predicate, err = schema.KeyPredicate(table, w.Key); err != nil {
		if w.Search, err = schema.NewSearch(table, w.Key); err != nil {
			t.Fatal(err)
		}
		if w.KeyMembers, err = schema.KeyMembers(o.catalog, table, w.Key); err != nil {
			t.Fatal(err)
		}
	}
	if body != "" {
		w.Body = json.RawMessage(body)
	}
	return w
}

func (o *organization) insert(t *testing.T, table string, row map[string]any) string {
	t.Helper()
	id, err := o.sim.Insert(table, row)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// below tells what is below an account, by number.
func (o *organization) below(parent, number string) map[string]any {
	id, ok := o.sim.FindByKey("account", map[string]any{"_parentaccountid_value": parent, "new_erpnumber": number})
	if !ok {
		return nil
	}
	row, _ := o.sim.Row("account", id)
	return row
}

func TestARecordBelowANamedOneIsWrittenByTheGUIDOfThatOne(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := branches(t, profile)
		parent := o.insert(t, "account", map[string]any{"accountnumber": "A1"})
		other := o.insert(t, "account", map[string]any{"accountnumber": "A/2"})
		for _, c := range []struct{ name, id, number, made, again string }{
			{"A1", parent, "1", "written", "written"},
			{"A/2", other, "1", "written", "written"},
			{"A1", parent, "{x}/'1'", "created", "updated"},
		} {
			write := func(op schema.Operation, body string) *schema.Write {
				return o.branch(t, op, "accountnumber", c.name, false, c.number, body)
			}
			requests := 2
			if c.made == "created" {
				requests = 3 // its own number needs a search too
			}
			o.want(t, write(schema.OpUpsert, `{"name":"one"}`), c.made, requests)
			o.want(t, write(schema.OpUpsert, `{"name":"two"}`), c.again, requests)
			if got := o.below(c.id, c.number); got["name"] != "two" || got["_parentaccountid_value"] != c.id {
				t.Errorf("%s below %s is %v", c.number, c.name, got)
			}
			o.want(t, write(schema.OpUpdate, `{"name":"three"}`), "updated", requests)
			o.want(t, write(schema.OpDelete, ""), "deleted", requests)
			o.want(t, write(schema.OpDelete, ""), "absent", requests-btoi(requests == 3))
			o.want(t, write(schema.OpUpdate, `{"name":"four"}`), "reject not_found", requests-btoi(requests == 3))
			if got := o.below(c.id, c.number); got != nil {
				t.Errorf("%s below %s is still %v", c.number, c.name, got)
			}
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestARecordBelowOneThatIsMissingWaitsForIt(t *testing.T) {
	t.Parallel()
	o := branches(t, sim.Online)
	for _, op := range []schema.Operation{schema.OpUpsert, schema.OpCreate, schema.OpUpdate} {
		w := o.branch(t, op, "accountnumber", "A1", false, "1", `{"name":"one"}`)
		o.want(t, w, "park missing_reference", 1)
		if e := outcome.Of(applyError(o.client, t.Context(), w)); e.Message != "no record of account has this accountnumber" || strings.Contains(e.Error(), "A1") {
			t.Errorf("%s: the refusal is %v", op, e)
		}
	}
	o.want(t, o.branch(t, schema.OpDelete, "accountnumber", "A1", false, "1", ""), "absent", 1)
}

func TestASearchedParentIsRememberedUntilTheRecordIsNotThere(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := branches(t, profile)
		write := func(op schema.Operation, number, body string) *schema.Write {
			return o.branch(t, op, "name", "Contoso", true, number, body)
		}
		first := o.insert(t, "account", map[string]any{"name": "Contoso"})
		o.want(t, write(schema.OpUpsert, "1", `{"description":"one"}`), "written", 2)
		o.want(t, write(schema.OpUpsert, "1", `{"description":"two"}`), "written", 1)
		// The name goes to another record, under which there is a second one.
		if err := o.sim.Update("account", first, map[string]any{"name": "Contoso Ltd"}); err != nil {
			t.Fatal(err)
		}
		second := o.insert(t, "account", map[string]any{"name": "Contoso"})
		o.insert(t, "account", map[string]any{"new_erpnumber": "2", "parentaccountid@odata.bind": "/accounts(" + second + ")"})
		o.want(t, write(schema.OpUpdate, "2", `{"description":"three"}`), "updated", 3) // in vain, the search, the write
		o.want(t, write(schema.OpDelete, "2", ""), "deleted", 1)
		// The remembered record itself is gone.
		if err := o.sim.Delete("account", second); err != nil {
			t.Fatal(err)
		}
		o.want(t, write(schema.OpUpsert, "3", `{"description":"four"}`), "park missing_reference", 2)
		third := o.insert(t, "account", map[string]any{"name": "Contoso"})
		o.want(t, write(schema.OpUpsert, "3", `{"description":"four"}`), "written", 2)
		if got := o.below(third, "3"); got["description"] != "four" {
			t.Errorf("the record is %v", got)
		}
		// A delete in vain is no success before the name was looked up again.
		if err := o.sim.Update("account", third, map[string]any{"name": "Contoso Ltd"}); err != nil {
			t.Fatal(err)
		}
		fourth := o.insert(t, "account", map[string]any{"name": "Contoso"})
		o.insert(t, "account", map[string]any{"new_erpnumber": "4", "parentaccountid@odata.bind": "/accounts(" + fourth + ")"})
		o.want(t, write(schema.OpDelete, "4", ""), "deleted", 3)
		o.want(t, write(schema.OpDelete, "4", ""), "absent", 3) // twice the write: nothing else tells that it is gone
	})
}

func TestARehearsalFindsTheRecordInAKey(t *testing.T) {
	t.Parallel()
	o := branches(t, sim.Online)
	const find = `GET accounts?$select=accountid&$filter=accountnumber%20eq%20%27A1%27&$top=2 `
	for number, want := range map[string][]string{
		"1": {find, `PATCH accounts(_parentaccountid_value={accountid},new_erpnumber='1') {"name":"one"}`},
		"/": {find, `GET accounts?$select=accountid&$filter=_parentaccountid_value%20eq%20{accountid}%20and%20new_erpnumber%20eq%20%27%2F%27&$top=2 `,
			`PATCH accounts({accountid 2}) If-Match:* {"name":"one"}`},
	} {
		w := o.branch(t, schema.OpUpsert, "accountnumber", "A1", false, number, `{"name":"one"}`)
		sent, err := Rehearse(t.Context(), "https://contoso.example", "v9.2", w, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(sent); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", number, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	w := o.branch(t, schema.OpUpsert, "accountnumber", "A1", false, "/", `{"name":"one"}`)
	sent, err := Rehearse(t.Context(), "https://contoso.example", "v9.2", w, false)
	if err != nil || len(sent) != 3 || string(sent[2].Body) != `{"parentaccountid@odata.bind":"/accounts({accountid})","new_erpnumber":"/","name":"one"}` {
		t.Errorf("%v %v", lines(sent), err)
	}
}
