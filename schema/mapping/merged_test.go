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

func TestALookupAsksWhetherItsRecordWasMergedOnlyWhereTheRuleSaysSo(t *testing.T) {
	const guid = "0000000A-0000-0000-0000-00000000000B"
	const byKey = `"parentaccountid@odata.bind":"/accounts?$select=accountid,merged,_masterid_value&$filter=accountnumber%20eq%20%27A1%27&$top=2"`
	const byID = `"parentaccountid@odata.bind":"/accounts?$select=accountid,merged,_masterid_value&$filter=accountid%20eq%200000000a-0000-0000-0000-00000000000b&$top=2"`
	for lookup, want := range map[string]struct{ plain, asking, address string }{
		`parentaccountid: {account: {accountnumber: data.p}}`:               {`"parentaccountid@odata.bind":"/accounts(accountnumber='A1')"`, byKey, "accounts(accountnumber='A1')"},
		`parentaccountid: 'ref("account", {"accountnumber": data.p})'`:      {`"parentaccountid@odata.bind":"/accounts(accountnumber='A1')"`, byKey, "accounts(accountnumber='A1')"},
		`parentaccountid: {account: data.id}`:                               {`"parentaccountid@odata.bind":"/accounts(0000000a-0000-0000-0000-00000000000b)"`, byID, "accounts(0000000a-0000-0000-0000-00000000000b)"},
		`parentaccountid: {account: {resolve: {accountnumber: data.p}}}`:    {`"parentaccountid@odata.bind":"/accounts?$select=accountid&$filter=accountnumber%20eq%20%27A1%27&$top=2"`, byKey, ""},
		`parentaccountid: data.?none.orValue(null)`:                         {`"parentaccountid@odata.bind":null`, `"parentaccountid@odata.bind":null`, ""},
		`primarycontactid: {contact: {emailaddress1: '"ann@contoso.com"'}}`: {`"primarycontactid@odata.bind":"/contacts(emailaddress1='ann%40contoso.com')"`, `"primarycontactid@odata.bind":"/contacts(emailaddress1='ann%40contoso.com')"`, ""},
	} {
		for _, rule := range []string{"", "reject", "redirect"} {
			lines := []string{"lookups: {" + lookup + "}"}
			body := want.plain
			if rule != "" {
				lines, body = append(lines, "merged: "+rule), want.asking
			}
			spec, ps := parse(t, account(lines...))
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			p, ps := mapping.Compile(spec, merges(t), mapping.Options{})
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			w, err := mapEvent(t, p, `{"number":"1","p":"A1","id":"`+guid+`"}`)
			if err != nil {
				t.Fatal(err)
			}
			if string(w.Body) != "{"+body+"}" {
				t.Errorf("%s, %q: %s", lookup, rule, w.Body)
			}
			if strings.Contains(body, ",merged,") {
				r := w.References[0]
				if string(r.Merged) != rule || r.Cached || r.Address != want.address || string(r.Bind(w.Body, "x")) != `{"parentaccountid@odata.bind":"/accounts(x)"}` {
					t.Errorf("%s, %q: %+v", lookup, rule, r)
				}
			}
		}
	}
}

func TestTheRuleForMergedRecordsCanBeForLookupsAlone(t *testing.T) {
	for text, want := range map[string]int{
		"table: task\nid: data.id\nlookups: {regardingobjectid: {account: {accountnumber: data.p}}}\nmerged: redirect\n": 1,
		account("operation: create", "lookups: {parentaccountid: {account: {accountnumber: data.p}}}", "merged: reject"): 1,
	} {
		spec, ps := parse(t, text)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		p, ps := mapping.Compile(spec, merges(t), mapping.Options{})
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		w, err := mapEvent(t, p, `{"number":"1","p":"A1","id":"0000000a-0000-0000-0000-00000000000b"}`)
		if err != nil {
			t.Fatal(err)
		}
		if w.Merged != nil || len(w.References) != want {
			t.Errorf("%s: %+v", text, w)
		}
	}
}

// A number below one record says nothing below another, so that a key is never redirected.
func TestAMergedRecordInAKeyIsRejectedWhateverTheRule(t *testing.T) {
	const guid = `"0000000a-0000-0000-0000-00000000000b"`
	for _, key := range []string{`{account: {accountnumber: data.p}}`, `{account: data.id}`} {
		lanes := map[string]bool{}
		for _, rule := range []string{"", "reject", "redirect"} {
			text := "table: account\nkey: {parentaccountid: " + key + ", description: data.site}\ncolumns: {name: data.p}\n"
			if rule != "" {
				text += "merged: " + rule + "\n"
			}
			spec, ps := parse(t, text)
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			p, ps := mapping.Compile(spec, merges(t), mapping.Options{})
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			w, err := mapEvent(t, p, `{"p":"A1","site":"s","id":`+guid+`}`)
			if err != nil {
				t.Fatal(err)
			}
			lanes[w.Lane()] = true
			parents := w.Parents()
			if rule == "" {
				if len(parents) > 0 && parents[0].Merged != "" {
					t.Errorf("%s: asks without a rule", key)
				}
				continue
			}
			if len(parents) != 1 || parents[0].Merged != schema.MergedReject {
				t.Errorf("%s, %s: %+v", key, rule, parents)
			}
		}
		if len(lanes) != 1 {
			t.Errorf("%s: the lane depends on the rule: %v", key, lanes)
		}
	}
}
