package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/mapping"
)

func TestEveryKeyThatAMappingReliesOnIsListedOnceWithItsPlace(t *testing.T) {
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
	needs := mapping.KeyNeeds(spec, catalog(t))
	var uses []mapping.KeyUse
	for _, n := range needs {
		uses = append(uses, n.KeyUse)
		if n.At.Line == 0 || n.At.Field == "" || n.At.Text != "" {
			t.Errorf("%v: place %+v", n.Columns, n.At)
		}
	}
	want := []mapping.KeyUse{
		{Table: "account", Columns: []string{"telephone1", "name"}},
		{Table: "contact", Columns: []string{"firstname"}},
		{Table: "contact", Columns: []string{"emailaddress1"}},
	}
	if diff := cmp.Diff(want, uses); diff != "" {
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
