package sim

import (
	"testing"

	"cebridge/schema"
)

func TestFormattedValues(t *testing.T) {
	t.Parallel()
	options := []schema.Option{{Value: 0, Label: "Allow"}, {Value: 1, Label: "Do Not Allow"}, {Value: 9, Label: "Nine"}}
	for _, c := range []struct {
		column schema.Column
		lit    string
		want   string
		ok     bool
	}{
		{schema.Column{Type: schema.TypePicklist, Options: options}, "9", "Nine", true},
		{schema.Column{Type: schema.TypePicklist, Options: options}, "5", "", false},
		{schema.Column{Type: schema.TypeBoolean, Options: options}, "true", "Do Not Allow", true},
		{schema.Column{Type: schema.TypeBoolean}, "false", "No", true},
		{schema.Column{Type: schema.TypeMultiSelect, Options: options}, `"1,9"`, "Do Not Allow; Nine", true},
		{schema.Column{Type: schema.TypeInteger}, "-1234567", "-1,234,567", true},
		{schema.Column{Type: schema.TypeDecimal, Precision: 2}, "1234.5000000000", "1,234.50", true},
		{schema.Column{Type: schema.TypeMoney, Precision: 2}, "31000.0000", "$31,000.00", true},
		{schema.Column{Type: schema.TypeMoney, Precision: 2}, "-5.0000", "-$5.00", true},
		{schema.Column{Type: schema.TypeDateTime}, `"2025-01-05T13:04:05Z"`, "1/5/2025 1:04 PM", true},
		{schema.Column{Type: schema.TypeDateTime, Behavior: schema.BehaviorDateOnly}, `"2025-01-05"`, "1/5/2025", true},
		{schema.Column{Type: schema.TypeString}, `"x"`, "", false},
	} {
		if got, ok := formatValue(&c.column, c.lit); got != c.want || ok != c.ok {
			t.Errorf("%s %s: %q %t, want %q %t", c.column.Type, c.lit, got, ok, c.want, c.ok)
		}
	}
}

func TestOnlyTheAnnotationsAskedForAreSent(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	firm := mustInsert(t, s, "account", map[string]any{"name": "Firm"})
	id := mustInsert(t, s, "contact", map[string]any{"parentcustomerid_account@odata.bind": "/accounts(" + firm + ")"})
	const table, formatted, navigation = "_parentcustomerid_value@" + noteTable, "_parentcustomerid_value@" + noteFormatted, "_parentcustomerid_value@" + noteNavigation
	for prefer, want := range map[string]map[string]any{
		"":                           {},
		`"` + noteTable + `"`:        {table: "account"},
		`"*"`:                        {table: "account", formatted: "Firm", navigation: "parentcustomerid_account"},
		`"Microsoft.Dynamics.CRM.*"`: {table: "account", navigation: "parentcustomerid_account"},
		`"` + noteFormatted + `,x"`:  {formatted: "Firm"},
	} {
		var row map[string]any
		send(t, s, "GET", "contacts("+id+")?$select=_parentcustomerid_value", "", "Prefer: return=minimal, odata.include-annotations="+prefer).want(t, 200, "").decode(t, &row)
		for _, name := range []string{table, formatted, navigation} {
			if row[name] != want[name] {
				t.Errorf("%s: %s = %v, want %v", prefer, name, row[name], want[name])
			}
		}
	}
}
