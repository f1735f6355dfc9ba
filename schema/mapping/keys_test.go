package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/mapping"
)

func TestEveryKeyThatAMappingReliesOnIsListedOnce(t *testing.T) {
	t.Parallel()
	spec, ps := parse(t, `
table: account
key: {telephone1: data.phone, name: data.name}
lookups:
  primarycontactid: {contact: {firstname: data.first}}
  new_payer: 'data.a ? ref("contact", {"firstname": data.b}) : ref("contact", {"emailaddress1": data.mail})'
  parentaccountid: {account: {accountid: data.id}}
on_create:
  lookups: {ownerid: {systemuser: data.owner}}
`)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	want := []mapping.KeyUse{
		{Table: "account", Columns: []string{"telephone1", "name"}},
		{Table: "contact", Columns: []string{"firstname"}},
		{Table: "contact", Columns: []string{"emailaddress1"}},
	}
	if diff := cmp.Diff(want, mapping.KeyNeeds(spec, catalog(t))); diff != "" {
		t.Error(diff)
	}
}

func TestAKeyOfUnknownTablesAndColumnsIsNoNeed(t *testing.T) {
	t.Parallel()
	spec, ps := parse(t, "table: nothing\nkey: {name: data.x}\n")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if needs := mapping.KeyNeeds(spec, catalog(t)); len(needs) != 0 {
		t.Errorf("needs %v", needs)
	}
	spec, ps = parse(t, "table: account\nkey: {nmae: data.x}\n")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if needs := mapping.KeyNeeds(spec, catalog(t)); len(needs) != 0 {
		t.Errorf("needs %v", needs)
	}
}

func TestTheKeysOfEveryWriteAreNeeded(t *testing.T) {
	t.Parallel()
	spec, ps := parse(t, `
writes:
  - table: account
    key: {accountnumber: data.no}
    columns: {name: data.name}
  - table: contact
    for_each: data.people
    key: {firstname: item.first}
    lookups: {parentcustomerid: {account: {telephone1: data.phone}}}
`)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	var got []string
	for _, n := range mapping.KeyNeeds(spec, catalog(t)) {
		got = append(got, n.Table+" "+n.Columns[0])
	}
	if diff := cmp.Diff([]string{"account accountnumber", "contact firstname", "account telephone1"}, got); diff != "" {
		t.Error(diff)
	}
}
