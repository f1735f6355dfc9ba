package schema_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cebridge/schema"
)

func float(f float64) *float64 { return &f }

func sampleTable() *schema.Table {
	return &schema.Table{LogicalName: "account", PrimaryID: "accountid", Columns: []schema.Column{
		{LogicalName: "accountid", Type: schema.TypeUniqueID},
		{LogicalName: "name", Type: schema.TypeString, MaxLength: 5},
		{LogicalName: "staff", Type: schema.TypeInteger, Min: float(0), Max: float(100)},
		{LogicalName: "revenue", Type: schema.TypeMoney},
		{LogicalName: "hold", Type: schema.TypeBoolean},
		{LogicalName: "kind", Type: schema.TypePicklist, Options: []schema.Option{{Value: 1, Label: "One"}, {Value: 7, Label: "Seven"}}},
		{LogicalName: "since", Type: schema.TypeDateTime, Behavior: schema.BehaviorDateOnly},
		{LogicalName: "ownerid", Type: schema.TypeOwner, Targets: []string{"systemuser", "team"}},
	}}
}

func compileSchema(t *testing.T, doc []byte) *jsonschema.Schema {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("mem:///schema.json", v); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:///schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSchemaTakesWhatTheTableHoldsAndRefusesOther(t *testing.T) {
	columns := []string{"accountid", "name", "staff", "revenue", "hold", "kind", "since", "ownerid"}
	doc, _, err := schema.JSONSchema(sampleTable(), columns, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := compileSchema(t, doc)
	for text, ok := range map[string]bool{
		`{"record":{"name":"abc","staff":3,"revenue":10.50,"hold":true,"kind":7,"since":"2026-01-31","_ownerid_value":"a1b2c3d4-0000-0000-0000-000000000001"}}`: true,
		`{"record":{"name":null,"staff":null,"revenue":null,"hold":null,"kind":null,"since":null,"_ownerid_value":null}}`:                                       true,
		`{"previous":{"name":"abc"}}`:  true,
		`{"record":{"name":"abcdef"}}`: false, `{"record":{"staff":101}}`: false, `{"record":{"staff":1.5}}`: false,
		`{"record":{"kind":2}}`: false, `{"record":{"hold":"yes"}}`: false, `{"record":{"since":"yesterday"}}`: false,
		`{"record":{"_ownerid_value":"nobody"}}`: false, `{"record":[]}`: false,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != ok {
			t.Errorf("%s: valid %v, want %v (%v)", text, err == nil, ok, err)
		}
	}
}

func TestTheVersionChangesExactlyWithTheShape(t *testing.T) {
	version := func(change func(*schema.Table), columns ...string) string {
		t.Helper()
		tbl := sampleTable()
		if change != nil {
			change(tbl)
		}
		_, v, err := schema.JSONSchema(tbl, columns, func(v string) string { return "https://schemas.contoso.example/" + v }, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	base := version(nil, "name", "kind")
	if again := version(nil, "kind", "name"); again != base {
		t.Error("the order of the columns changed the version")
	}
	if same := version(func(t *schema.Table) { t.Columns[2].Max = float(5) }, "name", "kind"); same != base {
		t.Error("a column that is not published changed the version")
	}
	for what, other := range map[string]string{
		"another column": version(nil, "name", "kind", "hold"),
		"a length":       version(func(t *schema.Table) { t.Columns[1].MaxLength = 6 }, "name", "kind"),
		"an option":      version(func(t *schema.Table) { t.Columns[5].Options = t.Columns[5].Options[:1] }, "name", "kind"),
	} {
		if other == base {
			t.Errorf("%s did not change the version", what)
		}
	}
}

func TestTheIDStandsInTheDocument(t *testing.T) {
	doc, version, err := schema.JSONSchema(sampleTable(), []string{"name"}, func(v string) string { return "urn:x:" + v }, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ID string `json:"$id"`
	}
	if err := json.Unmarshal(doc, &got); err != nil || got.ID != "urn:x:"+version {
		t.Errorf("$id %q (%v), want urn:x:%s", got.ID, err, version)
	}
	if _, _, err := schema.JSONSchema(sampleTable(), []string{"nope"}, nil, nil); err == nil {
		t.Error("a column that does not exist was accepted")
	}
}
