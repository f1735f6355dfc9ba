package webapi

import (
	"fmt"
	"slices"

	"cebridge/schema"
)

// columnTypes are those that a schema file may name.
var columnTypes = []schema.ColumnType{
	schema.TypeBigInt, schema.TypeBoolean, schema.TypeCustomer, schema.TypeDateTime, schema.TypeDecimal, schema.TypeDouble,
	schema.TypeEntityName, schema.TypeFile, schema.TypeImage, schema.TypeInteger, schema.TypeLookup, schema.TypeMemo,
	schema.TypeMoney, schema.TypeMultiSelect, schema.TypeOwner, schema.TypePartyList, schema.TypePicklist, schema.TypeState,
	schema.TypeStatus, schema.TypeString, schema.TypeUniqueID, schema.TypeVirtual,
}

// keyTypes are the types that a key may consist of. Source: developer guide,
// "Define alternate keys for a table".
var keyTypes = []schema.ColumnType{
	schema.TypeCustomer, schema.TypeDateTime, schema.TypeDecimal, schema.TypeInteger, schema.TypeLookup, schema.TypeOwner,
	schema.TypePicklist, schema.TypeString,
}

// selfContained removes from a set of tables what only makes sense with more than
// the set has, and what a schema file cannot say, and tells so.
func selfContained(tables []*schema.Table) (notes []string) {
	known := schema.NewCatalog(tables...)
	for _, t := range tables {
		f := &fitting{table: t, known: known}
		f.lookups()
		t.Columns = slices.DeleteFunc(t.Columns, func(col schema.Column) bool {
			why := f.unfit(&col)
			if why != "" {
				f.note("column %s is left out: %s", col.LogicalName, why)
			}
			return why != ""
		})
		if t.PrimaryName != "" && t.Column(t.PrimaryName) == nil {
			t.PrimaryName = ""
		}
		t.Navigations = slices.DeleteFunc(t.Navigations, func(n schema.Navigation) bool {
			col := t.Column(n.Column)
			return col == nil || !slices.Contains(col.Targets, n.Target)
		})
		f.keys()
		notes = append(notes, f.notes...)
	}
	return notes
}

// fitting is the work on one table.
type fitting struct {
	table *schema.Table
	known schema.Catalog
	notes []string
}

func (f *fitting) note(format string, args ...any) {
	f.notes = append(f.notes, "table "+f.table.LogicalName+": "+fmt.Sprintf(format, args...))
}

// lookups keeps the targets that are in the set and can be bound, and of several
// navigations to one target the first.
func (f *fitting) lookups() {
	t := f.table
	owner := map[string]string{}
	type binding struct{ column, target string }
	seen := map[binding]bool{}
	t.Navigations = slices.DeleteFunc(t.Navigations, func(n schema.Navigation) bool {
		col := t.Column(n.Column)
		taken := owner[n.Name] != "" && owner[n.Name] != n.Column
		if col == nil || !col.IsLookup() || n.Name == "" || taken || seen[binding{n.Column, n.Target}] {
			return true
		}
		owner[n.Name], seen[binding{n.Column, n.Target}] = n.Column, true
		return false
	})
	for i := range t.Columns {
		col := &t.Columns[i]
		if !col.IsLookup() {
			continue
		}
		col.Targets = slices.DeleteFunc(slices.Compact(col.Targets), func(target string) bool {
			return f.known[target] == nil || t.Navigation(col.LogicalName, target) == nil
		})
	}
}

// unfit tells why a column cannot be in the file, "" when it can, and repairs
// what can be repaired.
func (f *fitting) unfit(col *schema.Column) string {
	switch {
	case !slices.Contains(columnTypes, col.Type):
		return "a schema file does not know the type " + string(col.Type)
	case (col.Type == schema.TypeString || col.Type == schema.TypeMemo) && col.MaxLength <= 0:
		return "it has no length"
	case col.IsLookup() && len(col.Targets) == 0:
		return "no table it points at is in the file"
	case col.Min != nil && col.Max != nil && *col.Min > *col.Max:
		return "its smallest value is above its largest"
	}
	switch col.Type {
	case schema.TypePicklist, schema.TypeMultiSelect, schema.TypeState, schema.TypeStatus:
		seen := map[int64]bool{}
		for _, o := range col.Options {
			if seen[o.Value] || col.Type == schema.TypeStatus && !f.hasState(o.State) {
				return "its options contradict each other"
			}
			seen[o.Value] = true
		}
		if len(col.Options) == 0 {
			return "it has no options"
		}
	}
	return ""
}

func (f *fitting) hasState(state *int64) bool {
	return state != nil && slices.ContainsFunc(f.table.Columns, func(col schema.Column) bool {
		return col.Type == schema.TypeState && slices.ContainsFunc(col.Options, func(o schema.Option) bool { return o.Value == *state })
	})
}

// keys keeps the keys whose columns are all there.
func (f *fitting) keys() {
	t := f.table
	t.Keys = slices.DeleteFunc(t.Keys, func(k schema.AlternateKey) bool {
		unfit := k.LogicalName == "" || len(k.Columns) == 0 || slices.ContainsFunc(k.Columns, func(name string) bool {
			col := t.Column(name)
			return col == nil || !slices.Contains(keyTypes, col.Type)
		})
		if unfit {
			f.note("key %s is left out: the file lacks a column of it, or it has one of another kind", k.LogicalName)
		}
		return unfit
	})
}
