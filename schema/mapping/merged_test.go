package mapping_test

import (
	"strings"
	"testing"

	"cebridge/schema"
	"cebridge/schema/mapping"
)

// merges is the catalog with accounts that can be merged.
func merges(t *testing.T) schema.Catalog {
	t.Helper()
	c := catalog(t)
	a := c["account"]
	a.Columns = append(a.Columns, schema.Column{LogicalName: "merged", Type: schema.TypeBoolean, ReadOnly: true},
		schema.Column{LogicalName: "masterid", Type: schema.TypeLookup, Targets: []string{"account"}, ReadOnly: true})
	return c
}

func TestTheRuleForMergedRecordsGoesWithTheWrite(t *testing.T) {
	const several = "writes:\n  - {table: account, key: {accountnumber: data.number}, columns: {name: data.name}, merged: redirect}\n"
	for text, want := range map[string]schema.MergedRule{
		account("columns: {name: data.name}", "merged: reject"): schema.MergedReject,
		account("operation: delete", "merged: redirect"):        schema.MergedRedirect,
		several:                               schema.MergedRedirect,
		account("columns: {name: data.name}"): "",
	} {
		spec, ps := parse(t, text)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		p, ps := mapping.Compile(spec, merges(t), mapping.Options{})
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		w, err := mapEvent(t, p, `{"number":"1","name":"One"}`)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case want == "":
			if w.Merged != nil {
				t.Errorf("%+v", w.Merged)
			}
		case w.Merged == nil || w.Merged.Rule != want || w.Merged.PrimaryID != "accountid":
			t.Errorf("%s: %+v", text, w.Merged)
		}
	}
}

func TestARuleForMergedRecordsThatCannotWorkIsAProblemWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		account("columns: {name: data.name}", "merged: redirct"):                       `bridge.yaml:4:9: routes.r.merged: unknown rule "redirct": use reject or redirect; did you mean redirect?`,
		account("columns: {name: data.name}", "merged: 1"):                             "expected a name",
		account("columns: {name: data.name}", "operation: create", "merged: reject"):   "bridge.yaml:5:9: routes.r.merged: merged is for a record that may be there already",
		account("writes: [{table: contact, id: data.id}]", "merged: reject"):           "merged and writes exclude each other",
		"table: contact\nid: data.id\ncolumns: {lastname: data.n}\nmerged: redirect\n": "bridge.yaml:4:9: routes.r.merged: table contact has no columns merged and masterid",
	} {
		spec, ps := parse(t, text)
		if len(ps) == 0 {
			_, ps = mapping.Compile(spec, merges(t), mapping.Options{})
		}
		if got := ps.Error(); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}
