package bridge

import (
	"fmt"
	"maps"
	"slices"

	"cebridge/bridge/internal/yamltree"
	"cebridge/outbound"
	"cebridge/schema"
)

// ReferenceConfig is one lookup that the events of a table tell about.
type ReferenceConfig struct {
	// Column is the lookup's logical name.
	Column string
	// Keys are the columns to state of the record it points at, by table; the table ""
	// stands for the only one of the lookup.
	Keys map[string][]string
}

// references reads a list of lookups, or a mapping from each lookup to its target's
// columns, or from each of its targets to those.
// places says where each stands.
func (r *reader) references(t *yamltree.Map) (list []ReferenceConfig, places []schema.Problem) {
	if !t.Has("references") {
		return nil, nil
	}
	if t.IsList("references") {
		for _, column := range t.Strings("references") {
			if slices.ContainsFunc(list, func(o ReferenceConfig) bool { return o.Column == column }) {
				t.Note("references", "lookup %s stands twice", column)
			}
			list = append(list, ReferenceConfig{Column: column})
		}
		return list, t.Places("references")
	}
	m := t.Map("references")
	for _, column := range m.Names() {
		c := ReferenceConfig{Column: column, Keys: map[string][]string{}}
		if m.IsList(column) || m.IsText(column) {
			if columns := m.Strings(column); len(columns) > 0 {
				c.Keys[""] = columns
			}
		} else {
			each := m.Map(column)
			for _, table := range each.Names() {
				if c.Keys[table] = each.Strings(table); len(c.Keys[table]) == 0 {
					each.Note(table, "list the columns to state of a record of table %s", table)
				}
			}
			each.Done()
		}
		list, places = append(list, c), append(places, m.Place(column))
	}
	m.Done()
	return list, places
}

// checkReferences holds the references of a table against the metadata.
func checkReferences(c TableConfig, t *schema.Table, cat schema.Catalog) (ps schema.Problems) {
	for i, r := range c.References {
		note := func(format string, args ...any) {
			p := c.at.problem("references", "")
			if i < len(c.referenceAt) {
				p = c.referenceAt[i]
			}
			p.Text = fmt.Sprintf(format, args...)
			ps = append(ps, p)
		}
		column := t.Column(r.Column)
		switch {
		case column == nil:
			note("table %s has no column %s%s", c.Table, r.Column, near(r.Column, t))
			continue
		case !column.IsLookup():
			note("column %s of table %s is no lookup", r.Column, c.Table)
			continue
		case !slices.Contains(publishedColumns(c, t), r.Column):
			note("lookup %s is not published: add it to columns", r.Column)
			continue
		}
		for _, name := range r.tables() {
			target := r.target(name, column)
			if target == "" {
				note("lookup %s can point at %v: write the columns under the name of each table", r.Column, column.Targets)
				continue
			}
			if !slices.Contains(column.Targets, target) {
				note("lookup %s does not point at table %s%s", r.Column, target, schema.Suggest(target, column.Targets))
				continue
			}
			of := cat[target]
			if of == nil {
				note("the organization has no table %s", target)
				continue
			}
			for _, k := range r.Keys[name] {
				if of.Column(k) == nil {
					note("table %s has no column %s%s", target, k, near(k, of))
				}
			}
		}
	}
	return ps
}

// tables are those of Keys, in order.
func (r ReferenceConfig) tables() []string { return slices.Sorted(maps.Keys(r.Keys)) }

// target is the table that a name stands for; "" when that is not clear.
func (r ReferenceConfig) target(name string, column *schema.Column) string {
	if name == "" && len(column.Targets) == 1 {
		return column.Targets[0]
	}
	return name
}

// references turns checked references into what the worker is told.
func references(c TableConfig, cat schema.Catalog) (list []outbound.Reference) {
	t := cat[c.Table]
	for _, r := range c.References {
		ref := outbound.Reference{Column: r.Column}
		for _, name := range r.tables() {
			ref.Keys = append(ref.Keys, outbound.ReferenceKey{
				Table: cat[r.target(name, t.Column(r.Column))], Columns: r.Keys[name],
			})
		}
		list = append(list, ref)
	}
	return list
}
