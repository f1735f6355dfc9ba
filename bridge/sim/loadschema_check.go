package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
)

// schemaCheck collects what is wrong with the tables of one file.
type schemaCheck struct {
	file     *ast.File
	tables   map[string]*schema.Table
	problems schema.Problems
}

// report notes a fault at a path such as tables[3].columns[2].
func (c *schemaCheck) report(path, format string, args ...any) {
	line, column := placeOf(c.file, "$."+path)
	c.problems = append(c.problems, schema.Problem{
		Line: line, Column: column, Field: path, Text: fmt.Sprintf(format, args...),
	})
}

func (c *schemaCheck) all(tables []*schema.Table) {
	if len(tables) == 0 {
		c.report("tables", "no table: list at least one")
	}
	sets := map[string]string{}
	for i, t := range tables {
		path := fmt.Sprintf("tables[%d]", i)
		switch {
		case t == nil:
			c.report(path, "the table is null")
			continue
		case t.LogicalName == "" || t.LogicalName != strings.ToLower(t.LogicalName):
			c.report(path, "logicalName %q: give a lower-case name", t.LogicalName)
		case c.tables[t.LogicalName] != nil:
			c.report(path, "table %s is listed twice", t.LogicalName)
		}
		if t.EntitySet == "" {
			c.report(path, "table %s has no entitySet", t.LogicalName)
		} else if other, taken := sets[t.EntitySet]; taken {
			c.report(path, "entity set %s belongs to %s already", t.EntitySet, other)
		}
		c.tables[t.LogicalName], sets[t.EntitySet] = t, t.LogicalName
	}
	for i, t := range tables {
		if t != nil {
			c.table(fmt.Sprintf("tables[%d]", i), t)
		}
	}
}

func (c *schemaCheck) table(path string, t *schema.Table) {
	if t.SchemaName == "" {
		t.SchemaName = t.LogicalName
	}
	switch t.Ownership {
	case schema.UserOwned, schema.OrganizationOwned, schema.BusinessOwned, schema.NotOwned:
	case "":
		t.Ownership = schema.NotOwned
	default:
		c.report(path, "unknown ownership %q", t.Ownership)
	}
	seen := map[string]bool{}
	for i := range t.Columns {
		col := &t.Columns[i]
		at := fmt.Sprintf("%s.columns[%d]", path, i)
		if seen[col.LogicalName] {
			c.report(at, "column %s is listed twice", col.LogicalName)
		}
		seen[col.LogicalName] = true
		c.column(at, t, col)
	}
	switch id := t.Column(t.PrimaryID); {
	case id == nil:
		c.report(path, "primaryId %q is not a column of %s", t.PrimaryID, t.LogicalName)
	case id.Type != schema.TypeUniqueID:
		c.report(path, "primaryId %s has type %s, not %s", t.PrimaryID, id.Type, schema.TypeUniqueID)
	}
	if t.PrimaryName != "" && t.Column(t.PrimaryName) == nil {
		c.report(path, "primaryName %q is not a column of %s", t.PrimaryName, t.LogicalName)
	}
	c.keys(path, t)
	c.navigations(path, t)
}

func (c *schemaCheck) column(at string, t *schema.Table, col *schema.Column) {
	if col.LogicalName == "" || col.LogicalName != strings.ToLower(col.LogicalName) {
		c.report(at, "logicalName %q: give a lower-case name", col.LogicalName)
	}
	if col.SchemaName == "" {
		col.SchemaName = col.LogicalName
	}
	facts, known := columnFacts[col.Type]
	switch {
	case !known:
		c.report(at, "column %s has the unknown type %q", col.LogicalName, col.Type)
	case facts.text && col.MaxLength <= 0:
		c.report(at, "column %s needs a maxLength", col.LogicalName)
	case facts.choice && len(col.Options) == 0:
		c.report(at, "column %s needs options", col.LogicalName)
	case col.Min != nil && col.Max != nil && *col.Min > *col.Max:
		c.report(at, "column %s: min is above max", col.LogicalName)
	}
	if col.Type == schema.TypeDateTime {
		switch col.Behavior {
		case "":
			col.Behavior = schema.BehaviorUserLocal
		case schema.BehaviorUserLocal, schema.BehaviorDateOnly, schema.BehaviorTimeZoneIndependent:
		default:
			c.report(at, "column %s has the unknown behavior %q", col.LogicalName, col.Behavior)
		}
	}
	c.options(at, t, col)
	if !col.IsLookup() {
		return
	}
	if len(col.Targets) == 0 {
		c.report(at, "lookup %s has no targets", col.LogicalName)
	}
	for _, target := range col.Targets {
		if c.tables[target] == nil {
			c.report(at, "lookup %s targets table %s, which is not in the file: add the table or drop the target", col.LogicalName, target)
		}
		if t.Navigation(col.LogicalName, target) == nil {
			c.report(at, "lookup %s has no navigation to %s", col.LogicalName, target)
		}
	}
}

func (c *schemaCheck) options(at string, t *schema.Table, col *schema.Column) {
	var values []int64
	for _, o := range col.Options {
		if slices.Contains(values, o.Value) {
			c.report(at, "column %s has option %d twice", col.LogicalName, o.Value)
		}
		values = append(values, o.Value)
	}
	if col.Type != schema.TypeStatus {
		return
	}
	state := stateColumn(t)
	for _, o := range col.Options {
		if o.State == nil || state == nil || !slices.ContainsFunc(state.Options, func(s schema.Option) bool { return s.Value == *o.State }) {
			c.report(at, "status %d of %s belongs to no state", o.Value, col.LogicalName)
		}
	}
}

func (c *schemaCheck) keys(path string, t *schema.Table) {
	names := map[string]bool{}
	for i := range t.Keys {
		k := &t.Keys[i]
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		if k.SchemaName == "" {
			k.SchemaName = k.LogicalName
		}
		if k.LogicalName == "" || names[k.LogicalName] {
			c.report(at, "key name %q: give each key a name of its own", k.LogicalName)
		}
		names[k.LogicalName] = true
		switch k.Status {
		case "":
			k.Status = schema.KeyActive
		case schema.KeyPending, schema.KeyInProgress, schema.KeyActive, schema.KeyFailed:
		default:
			c.report(at, "key %s has the unknown status %q", k.LogicalName, k.Status)
		}
		if len(k.Columns) == 0 {
			c.report(at, "key %s has no columns", k.LogicalName)
		}
		for j, name := range k.Columns {
			col := t.Column(name)
			switch {
			case col == nil:
				c.report(at, "key %s: %s is not a column of %s", k.LogicalName, name, t.LogicalName)
			case !columnFacts[col.Type].key:
				c.report(at, "key %s: column %s of type %s cannot be part of a key", k.LogicalName, name, col.Type)
			case slices.Contains(k.Columns[:j], name):
				c.report(at, "key %s names column %s twice", k.LogicalName, name)
			}
		}
		if first := t.Key(k.Columns); first != nil && first != k {
			c.report(at, "key %s has the columns of key %s", k.LogicalName, first.LogicalName)
		}
	}
}

func (c *schemaCheck) navigations(path string, t *schema.Table) {
	owner := map[string]string{}
	for i := range t.Navigations {
		n := &t.Navigations[i]
		at := fmt.Sprintf("%s.navigations[%d]", path, i)
		col := t.Column(n.Column)
		switch {
		case col == nil || !col.IsLookup():
			c.report(at, "navigation %s: %s is not a lookup of %s", n.Name, n.Column, t.LogicalName)
		case !slices.Contains(col.Targets, n.Target):
			c.report(at, "navigation %s: %s is not a target of %s", n.Name, n.Target, n.Column)
		case n.Name == "":
			c.report(at, "the navigation of %s to %s has no name", n.Column, n.Target)
		case t.Navigation(n.Column, n.Target) != n:
			c.report(at, "lookup %s has two navigations to %s", n.Column, n.Target)
		case owner[n.Name] != "" && (owner[n.Name] != n.Column || col.Type != schema.TypeOwner):
			c.report(at, "navigation name %s is taken by %s", n.Name, owner[n.Name])
		}
		owner[n.Name] = n.Column
	}
}

// stateColumn returns the table's column of type State, or nil.
func stateColumn(t *schema.Table) *schema.Column {
	for i := range t.Columns {
		if t.Columns[i].Type == schema.TypeState {
			return &t.Columns[i]
		}
	}
	return nil
}
