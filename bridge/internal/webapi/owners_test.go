package webapi

import (
	"testing"

	"cebridge/schema"
)

func TestTheKeysOfSomeTablesCanBeForgotten(t *testing.T) {
	t.Parallel()
	keyed := func(table, value string) *schema.Write {
		return &schema.Write{Table: table, Key: []schema.KeyPart{{Column: "number", Value: []byte(`"` + value + `"`)}}}
	}
	o := newOwners()
	for _, table := range []string{"account", "contact"} {
		o.replace(keyed(table, "1"), guid1)
		o.replace(keyed(table, "2"), guid2)
	}
	if n := o.forgetOf(func(table string) bool { return table == "account" }); n != 2 {
		t.Errorf("%d keys were forgotten, want 2", n)
	}
	if o.of(keyed("account", "1")) != "" || o.of(keyed("contact", "1")) != guid1 || o.of(keyed("contact", "2")) != guid2 {
		t.Error("the keys of the wrong table were forgotten")
	}
	if len(o.known) != 2 || o.order.Len() != 2 {
		t.Errorf("%d keys and %d in order, want 2 of each", len(o.known), o.order.Len())
	}
}
