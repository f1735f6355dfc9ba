package webapi

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

// definitions answers metadata queries from a map of path (below
// EntityDefinitions, without query) to body, and keeps what was asked.
type definitions struct {
	answers map[string]string
	mu      sync.Mutex
	asked   []string
}

func (d *definitions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/data/v9.2/EntityDefinitions")
	d.mu.Lock()
	d.asked = append(d.asked, path)
	d.mu.Unlock()
	body, ok := d.answers[path]
	if !ok {
		answering(404, apiError("0x80060888", "Could not find an entity with name"))(w, r)
		return
	}
	answering(200, body)(w, r)
}

func column(name, kind string, more ...string) string {
	return fmt.Sprintf(`{"LogicalName":%q,"SchemaName":%q,"AttributeType":%q,"AttributeOf":null,"IsValidForCreate":true,"IsValidForUpdate":true,"RequiredLevel":{"Value":"None"}%s}`,
		name, name, kind, strings.Join(more, ""))
}

func definitionOf(name, columns, keys, relations string) string {
	return fmt.Sprintf(`{"@odata.context":"x","LogicalName":%q,"SchemaName":"S","EntitySetName":%q,"PrimaryIdAttribute":%q,"PrimaryNameAttribute":"name","OwnershipType":"UserOwned",`+
		`"ChangeTrackingEnabled":true,"IsOptimisticConcurrencyEnabled":true,"MetadataId":%q,"Attributes":[%s],"Keys":[%s],"ManyToOneRelationships":[%s]}`,
		name, name+"s", name+"id", guid1, columns, keys, relations)
}

func relation(column, target, nav string) string {
	return fmt.Sprintf(`{"SchemaName":"r_%s","ReferencingAttribute":%q,"ReferencedEntity":%q,"ReferencingEntityNavigationPropertyName":%q}`, nav, column, target, nav)
}

const castPath = "(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM."

func accountDefinitions() *definitions {
	label := func(s string) string { return `{"UserLocalizedLabel":{"Label":"` + s + `"},"LocalizedLabels":[]}` }
	return &definitions{answers: map[string]string{
		"(LogicalName='account')": definitionOf("account", strings.Join([]string{
			column("accountid", "Uniqueidentifier", `,"IsValidForUpdate":false,"RequiredLevel":{"Value":"SystemRequired"}`),
			column("name", "String"), column("description", "Memo"), column("employees", "Integer"), column("revenue", "Money"),
			column("rate", "Decimal"), column("since", "DateTime"), column("kind", "Picklist"), column("donotmail", "Boolean"),
			column("statecode", "State", `,"IsValidForCreate":false`), column("statuscode", "Status"),
			column("versionnumber", "BigInt", `,"IsValidForCreate":false,"IsValidForUpdate":false`),
			column("tags", "Virtual", `,"AttributeTypeName":{"Value":"MultiSelectPicklistType"}`),
			column("photo", "Virtual", `,"AttributeTypeName":{"Value":"ImageType"}`),
			column("primarycontactid", "Lookup"), column("ownerid", "Owner"),
			column("primarycontactidname", "String", `,"AttributeOf":"primarycontactid"`),
		}, ","),
			`{"LogicalName":"new_key","SchemaName":"new_Key","KeyAttributes":["name","kind"],"EntityKeyIndexStatus":"Active"},`+
				`{"LogicalName":"new_slow","SchemaName":"new_Slow","KeyAttributes":["name"],"EntityKeyIndexStatus":"Pending"}`,
			relation("primarycontactid", "contact", "primarycontactid")+","+relation("ownerid", "owner", "ownerid")+","+relation("x", "y", "")),
		castPath + "StringAttributeMetadata":              `{"value":[{"LogicalName":"name","MaxLength":160},{"LogicalName":"primarycontactidname","MaxLength":100}]}`,
		castPath + "MemoAttributeMetadata":                `{"value":[{"LogicalName":"description","MaxLength":2000}]}`,
		castPath + "IntegerAttributeMetadata":             `{"value":[{"LogicalName":"employees","MinValue":0,"MaxValue":1000}]}`,
		castPath + "MoneyAttributeMetadata":               `{"value":[{"LogicalName":"revenue","MinValue":-1.5,"MaxValue":100000000000000,"Precision":2}]}`,
		castPath + "DecimalAttributeMetadata":             `{"value":[{"LogicalName":"rate","MinValue":0,"MaxValue":1,"Precision":4}]}`,
		castPath + "DateTimeAttributeMetadata":            `{"value":[{"LogicalName":"since","DateTimeBehavior":{"Value":"DateOnly"}}]}`,
		castPath + "LookupAttributeMetadata":              `{"value":[{"LogicalName":"primarycontactid","Targets":["contact"]},{"LogicalName":"ownerid","Targets":["systemuser","team"]}]}`,
		castPath + "BooleanAttributeMetadata":             `{"value":[{"LogicalName":"donotmail","OptionSet":{"TrueOption":{"Value":1,"Label":` + label("Yes") + `},"FalseOption":{"Value":0,"Label":` + label("No") + `}}}]}`,
		castPath + "PicklistAttributeMetadata":            `{"value":[{"LogicalName":"kind","OptionSet":null,"GlobalOptionSet":{"Options":[{"Value":1,"Label":` + label("Small") + `},{"Value":2,"Label":{"LocalizedLabels":[{"Label":"Groß"}]}}]}}]}`,
		castPath + "MultiSelectPicklistAttributeMetadata": `{"value":[{"LogicalName":"tags","OptionSet":{"Options":[{"Value":9,"Label":{}}]}}]}`,
		castPath + "StateAttributeMetadata":               `{"value":[{"LogicalName":"statecode","OptionSet":{"Options":[{"Value":0,"Label":` + label("Active") + `,"DefaultStatus":1}]}}]}`,
		castPath + "StatusAttributeMetadata":              `{"value":[{"LogicalName":"statuscode","OptionSet":{"Options":[{"Value":1,"Label":` + label("Active") + `,"State":0}]}}]}`,
		"(LogicalName='contact')":                         definitionOf("contact", column("contactid", "Uniqueidentifier")+","+column("email", "String"), `{"LogicalName":"k","KeyAttributes":["email"],"EntityKeyIndexStatus":"Active"}`, ""),
		"(LogicalName='team')":                            strings.Replace(definitionOf("team", column("teamid", "Uniqueidentifier"), "", ""), `"teams"`, `null`, 1),
	}}
}

func TestMetadataIsReadWhole(t *testing.T) {
	t.Parallel()
	d := accountDefinitions()
	c, _ := newTestClient(t, d)
	catalog, err := c.Metadata(t.Context(), []string{"account", "account"})
	if err != nil {
		t.Fatal(err)
	}
	number := func(f float64) *float64 { return &f }
	whole := func(n int64) *int64 { return &n }
	want := schema.Catalog{
		"account": {
			LogicalName: "account", SchemaName: "S", EntitySet: "accounts", PrimaryID: "accountid", PrimaryName: "name",
			Ownership: schema.UserOwned, ChangeTracking: true, OptimisticConcurrency: true,
			Columns: []schema.Column{
				{LogicalName: "accountid", SchemaName: "accountid", Type: schema.TypeUniqueID, CreateOnly: true, Required: true},
				{LogicalName: "name", SchemaName: "name", Type: schema.TypeString, MaxLength: 160},
				{LogicalName: "description", SchemaName: "description", Type: schema.TypeMemo, MaxLength: 2000},
				{LogicalName: "employees", SchemaName: "employees", Type: schema.TypeInteger, Min: number(0), Max: number(1000)},
				{LogicalName: "revenue", SchemaName: "revenue", Type: schema.TypeMoney, Min: number(-1.5), Max: number(1e14), Precision: 2},
				{LogicalName: "rate", SchemaName: "rate", Type: schema.TypeDecimal, Min: number(0), Max: number(1), Precision: 4},
				{LogicalName: "since", SchemaName: "since", Type: schema.TypeDateTime, Behavior: schema.BehaviorDateOnly},
				{LogicalName: "kind", SchemaName: "kind", Type: schema.TypePicklist, Options: []schema.Option{{Value: 1, Label: "Small"}, {Value: 2, Label: "Groß"}}},
				{LogicalName: "donotmail", SchemaName: "donotmail", Type: schema.TypeBoolean, Options: []schema.Option{{Value: 0, Label: "No"}, {Value: 1, Label: "Yes"}}},
				{LogicalName: "statecode", SchemaName: "statecode", Type: schema.TypeState, UpdateOnly: true, Options: []schema.Option{{Value: 0, Label: "Active", DefaultStatus: whole(1)}}},
				{LogicalName: "statuscode", SchemaName: "statuscode", Type: schema.TypeStatus, Options: []schema.Option{{Value: 1, Label: "Active", State: whole(0)}}},
				{LogicalName: "versionnumber", SchemaName: "versionnumber", Type: schema.TypeBigInt, ReadOnly: true},
				{LogicalName: "tags", SchemaName: "tags", Type: schema.TypeMultiSelect, Options: []schema.Option{{Value: 9}}},
				{LogicalName: "photo", SchemaName: "photo", Type: schema.TypeImage},
				{LogicalName: "primarycontactid", SchemaName: "primarycontactid", Type: schema.TypeLookup, Targets: []string{"contact"}},
				{LogicalName: "ownerid", SchemaName: "ownerid", Type: schema.TypeOwner, Targets: []string{"systemuser", "team"}},
			},
			Keys: []schema.AlternateKey{
				{LogicalName: "new_key", SchemaName: "new_Key", Columns: []string{"name", "kind"}, Status: schema.KeyActive},
				{LogicalName: "new_slow", SchemaName: "new_Slow", Columns: []string{"name"}, Status: schema.KeyPending},
			},
			Navigations: []schema.Navigation{
				{Column: "primarycontactid", Target: "contact", Name: "primarycontactid", Relationship: "r_primarycontactid"},
				{Column: "ownerid", Target: "systemuser", Name: "ownerid", Relationship: "r_ownerid"},
				{Column: "ownerid", Target: "team", Name: "ownerid", Relationship: "r_ownerid"},
			},
		},
		// team has no entity set and systemuser is unknown: both are left out.
		"contact": {
			LogicalName: "contact", SchemaName: "S", EntitySet: "contacts", PrimaryID: "contactid", PrimaryName: "name",
			Ownership: schema.UserOwned, ChangeTracking: true, OptimisticConcurrency: true,
			Columns: []schema.Column{
				{LogicalName: "contactid", SchemaName: "contactid", Type: schema.TypeUniqueID},
				{LogicalName: "email", SchemaName: "email", Type: schema.TypeString},
			},
			Keys: []schema.AlternateKey{{LogicalName: "k", Columns: []string{"email"}, Status: schema.KeyActive}},
		},
	}
	if diff := cmp.Diff(want, catalog); diff != "" {
		t.Errorf("catalog (-want +got):\n%s", diff)
	}
	// One for account, one a kind of column it has, one for each of three targets.
	if len(d.asked) != 1+12+3 {
		t.Errorf("%d requests: %q", len(d.asked), d.asked)
	}
}

func TestATableTheServerDoesNotKnowIsLeftOut(t *testing.T) {
	t.Parallel()
	client, _ := newTestClient(t, accountDefinitions())
	catalog, err := client.Metadata(t.Context(), []string{"account", "nothere"})
	if err != nil || catalog["account"] == nil || catalog["nothere"] != nil {
		t.Errorf("got %v, %v", catalog, err)
	}
}

func TestMetadataFailsWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tables []string
		change func(map[string]string)
		want   string
	}{
		"no name of a table":      {[]string{"a') or ('b"}, nil, "stop config"},
		"a cast that fails":       {[]string{"account"}, func(a map[string]string) { delete(a, castPath+"StringAttributeMetadata") }, "stop config"},
		"another table":           {[]string{"account"}, func(a map[string]string) { a["(LogicalName='account')"] = a["(LogicalName='contact')"] }, "retry bad_answer"},
		"no columns":              {[]string{"account"}, func(a map[string]string) { a["(LogicalName='account')"] = `{"LogicalName":"account"}` }, "retry bad_answer"},
		"not an object":           {[]string{"account"}, func(a map[string]string) { a["(LogicalName='account')"] = `[]` }, "retry bad_answer"},
		"members of other types":  {[]string{"account"}, func(a map[string]string) { a["(LogicalName='account')"] = `{"LogicalName":1}` }, "retry bad_answer"},
		"in pages":                {[]string{"account"}, func(a map[string]string) { a[castPath+"MemoAttributeMetadata"] = `{"value":[],"@odata.nextLink":"x"}` }, "retry bad_answer"},
		"no entity set":           {[]string{"team"}, nil, "stop config"},
		"a target that is broken": {[]string{"account"}, func(a map[string]string) { a["(LogicalName='contact')"] = `{}` }, "retry bad_answer"},
	} {
		d := accountDefinitions()
		if c.change != nil {
			c.change(d.answers)
		}
		client, _ := newTestClient(t, d)
		catalog, err := client.Metadata(t.Context(), c.tables)
		e := outcome.Of(err)
		if catalog != nil || e == nil {
			t.Errorf("%s: %v, %v", name, catalog, err)
			continue
		}
		wantVerdict(t, name, e, c.want)
	}
}
