package mapping_test

import (
	"context"
	"fmt"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"cebridge/schema"
	"cebridge/schema/mapping"
)

// A mapping is compiled against metadata once and applied to every event.
func Example() {
	file, err := parser.ParseBytes([]byte(`
table: account
key: {accountnumber: data.number}
columns:
  name: data.name
  telephone1: data.?phone.orValue(omit())
lookups:
  parentaccountid: {account: {accountnumber: data.parent}}
`), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	spec, problems := mapping.Parse("bridge.yaml", "inbound.routes.erp", file.Docs[0].Body.(*ast.MappingNode))
	if len(problems) > 0 {
		fmt.Println(problems)
		return
	}
	catalog := schema.NewCatalog(&schema.Table{
		LogicalName: "account", EntitySet: "accounts", PrimaryID: "accountid",
		Columns: []schema.Column{
			{LogicalName: "accountnumber", Type: schema.TypeString, MaxLength: 20},
			{LogicalName: "name", Type: schema.TypeString, MaxLength: 160},
			{LogicalName: "telephone1", Type: schema.TypeString, MaxLength: 50},
			{LogicalName: "parentaccountid", Type: schema.TypeLookup, Targets: []string{"account"}},
		},
		Keys:        []schema.AlternateKey{{LogicalName: "new_numberkey", Columns: []string{"accountnumber"}, Status: schema.KeyActive}},
		Navigations: []schema.Navigation{{Column: "parentaccountid", Target: "account", Name: "parentaccountid"}},
	})
	program, problems := mapping.Compile(spec, catalog, mapping.Options{})
	if len(problems) > 0 {
		fmt.Println(problems)
		return
	}
	event := cloudevent.New()
	event.SetID("1")
	event.SetSource("/erp")
	event.SetType("com.contoso.erp.customer.changed.v1")
	if err := event.SetData("application/json", map[string]any{"number": "ABC123", "name": "Contoso", "parent": "HQ 1"}); err != nil {
		fmt.Println(err)
		return
	}
	writes, err := program.Map(context.Background(), &event)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range writes {
		fmt.Println(w.Operation, w.Path())
		fmt.Println(string(w.Body))
	}
	// Output:
	// upsert accounts(accountnumber='ABC123')
	// {"name":"Contoso","parentaccountid@odata.bind":"/accounts(accountnumber='HQ%201')"}
}
