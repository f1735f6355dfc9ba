package schema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
)

var small = &schema.Table{
	LogicalName: "account",
	Columns:     []schema.Column{{LogicalName: "a", Type: schema.TypeString}, {LogicalName: "b", Type: schema.TypeCustomer}, {LogicalName: "c", Type: schema.TypeOwner}},
	Keys: []schema.AlternateKey{
		{LogicalName: "k1", Columns: []string{"a"}},
		{LogicalName: "k2", Columns: []string{"b", "a"}},
	},
	Navigations: []schema.Navigation{{Column: "b", Target: "account", Name: "b_account"}, {Column: "b", Target: "contact", Name: "b_contact"}},
}

func TestAKeyIsFoundByItsColumnsInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		columns []string
		want    string
	}{
		{[]string{"a"}, "k1"},
		{[]string{"a", "b"}, "k2"},
		{[]string{"b", "a"}, "k2"},
		{[]string{"b"}, ""},
		{[]string{"a", "a"}, ""},
		{[]string{"a", "b", "c"}, ""},
		{nil, ""},
	} {
		got := ""
		given := append([]string(nil), c.columns...)
		if k := small.Key(c.columns); k != nil {
			got = k.LogicalName
		}
		if got != c.want {
			t.Errorf("columns %v give %q, want %q", c.columns, got, c.want)
		}
		if diff := cmp.Diff(given, c.columns); diff != "" {
			t.Errorf("the caller's columns were changed: %s", diff)
		}
	}
}

func TestColumnsAndNavigationsAreFoundByExactName(t *testing.T) {
	t.Parallel()
	if small.Column("A") != nil || small.Column("a") != &small.Columns[0] {
		t.Error("column a is not found by its logical name alone")
	}
	if n := small.Navigation("b", "contact"); n == nil || n.Name != "b_contact" {
		t.Errorf("navigation %v", n)
	}
	if n := small.Navigation("b", "lead"); n != nil {
		t.Errorf("navigation to lead is %v", n)
	}
	if diff := cmp.Diff([]string{"a", "b"}, small.KeyColumns()); diff != "" {
		t.Error(diff)
	}
	if c := schema.NewCatalog(small); c["account"] != small || len(c) != 1 {
		t.Errorf("catalog %v", c)
	}
}

func TestLookupsAreReadUnderAnotherName(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"a", "_b_value", "_c_value"} {
		if got := small.Columns[i].ReadName(); got != want {
			t.Errorf("column %d reads as %s, want %s", i, got, want)
		}
	}
}

func TestProblemsPrintWhatIsKnown(t *testing.T) {
	t.Parallel()
	ps := schema.Problems{
		{File: "f.yaml", Line: 3, Column: 7, Field: "a.b", Text: "wrong"},
		{File: "f.yaml", Field: "a.b", Text: "wrong"},
		{Line: 3, Column: 7, Text: "wrong"},
		{Field: "a.b", Text: "wrong"},
		{Text: "wrong"},
	}
	want := "f.yaml:3:7: a.b: wrong\nf.yaml: a.b: wrong\n3:7: wrong\na.b: wrong\nwrong"
	if diff := cmp.Diff(want, ps.Error()); diff != "" {
		t.Error(diff)
	}
}
