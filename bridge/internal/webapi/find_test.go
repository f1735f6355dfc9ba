package webapi

import (
	"fmt"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/outbound"
	"cebridge/schema/outcome"
)

func TestRecordsAreFoundWithTheTablesTheirLookupsPointAt(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		for _, n := range []int{1, findChunk, findChunk + 1, 3*findChunk + 7} {
			o := newOrganization(t, sim.Options{Profile: profile})
			contact, err := o.sim.Insert("contact", map[string]any{"lastname": "Ng", "emailaddress1": "ng@contoso.com"})
			if err != nil {
				t.Fatal(err)
			}
			ids := []string{"00000000-0000-0000-0000-00000000dead"}
			for i := range n {
				id, err := o.sim.Insert("account", map[string]any{"name": fmt.Sprint("a", i), "primarycontactid@odata.bind": "/contacts(" + contact + ")"})
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			q := outbound.Query{Table: o.catalog["account"], Columns: []string{"name", "primarycontactid", "ownerid", "telephone1"}}
			before := o.sim.Stats().Requests.Total()
			found, err := o.client.Find(t.Context(), q, ids)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != n {
				t.Fatalf("%d of %d records are found", len(found), n)
			}
			if sent := o.sim.Stats().Requests.Total() - before; sent != 1 {
				t.Errorf("%d records cost %d requests", n, sent)
			}
			for i, id := range ids[1:] {
				f := found[id]
				if string(f.Columns["name"]) != fmt.Sprintf(`"a%d"`, i) || string(f.Columns["primarycontactid"]) != `"`+contact+`"` ||
					string(f.Columns["telephone1"]) != "null" {
					t.Fatalf("record %d: %s", i, f.Columns)
				}
				if f.Tables["primarycontactid"] != "contact" || f.Tables["ownerid"] != "systemuser" || len(f.Tables) != 2 {
					t.Fatalf("record %d points at %v", i, f.Tables)
				}
			}
		}
	})
}

func TestAFailedPartOfABatchOfReadsIsTheErrorOfAll(t *testing.T) {
	t.Parallel()
	faults := sim.NewFaults(1)
	o := newOrganization(t, sim.Options{Faults: faults})
	var ids []string
	for i := range 2 * findChunk {
		id, err := o.sim.Insert("account", map[string]any{"name": fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	q := outbound.Query{Table: o.catalog["account"], Columns: []string{"name"}}
	for name, c := range map[string]struct {
		rule sim.Rule
		want string
	}{
		"forbidden":  {sim.Rule{Kind: sim.FaultError, Status: 403, Code: "0x80040220", Message: "no"}, "stop forbidden"},
		"server":     {sim.Rule{Kind: sim.FaultServerError, Status: 500}, "retry server"},
		"login page": {sim.Rule{Kind: sim.FaultHTMLPage}, "retry bad_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule.Times = 1
			faults.Add(c.rule)
			found, err := o.client.Find(t.Context(), q, ids)
			e := outcome.Of(err)
			if e == nil || found != nil {
				t.Fatalf("%d found, error %v", len(found), err)
			}
			wantVerdict(t, name, e, c.want)
			if e.Ambiguous {
				t.Error("a read is called ambiguous")
			}
		})
	}
	if found, err := o.client.Find(t.Context(), q, ids); err != nil || len(found) != len(ids) {
		t.Errorf("afterwards %d are found: %v", len(found), err)
	}
	if _, err := o.client.Find(t.Context(), q, []string{"x' or 1"}); err == nil {
		t.Error("what is no GUID is asked for")
	}
	if _, err := o.client.Find(t.Context(), q, make([]string, outbound.MaxFind+1)); err == nil {
		t.Error("more than the limit is asked for")
	}
}

func TestAnswersThatAreNotWhatWasAskedForAreRefused(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	q := outbound.Query{Table: o.catalog["account"], Columns: []string{"name"}}
	asked := map[string]bool{"00000000-0000-0000-0000-000000000001": true}
	for name, raw := range map[string]string{
		"another record": `{"value":[{"accountid":"00000000-0000-0000-0000-000000000002","name":"x"}]}`,
		"no list":        `{"accountid":"00000000-0000-0000-0000-000000000001"}`,
		"an error":       `{"error":{"code":"0x1","message":"m"},"value":[]}`,
		"several pages":  `{"value":[],"@odata.nextLink":"accounts?x"}`,
		"cut":            `{"value":[`,
	} {
		if err := readFound([]byte(raw), q, asked, map[string]outbound.Found{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
