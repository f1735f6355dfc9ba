package mapping

import (
	"slices"
	"strings"

	celast "cel.dev/cel-go/common/ast"

	"cebridge/schema"
)

// ownerTable is the table that owner lookups are declared against; users and
// teams are bound through the same navigation property.
const ownerTable = "owner"

// lookup compiles one lookup; col is nil after a problem.
func (c *compiler) lookup(l lookupEntry, col *schema.Column) *lookupProgram {
	if col != nil && !col.IsLookup() {
		c.add(l.place, "%s is not a lookup: write it under columns", l.text)
		col = nil
	}
	x := &lookupProgram{place: l.place, column: col, targets: map[string]lookupTarget{}}
	if l.value != nil {
		c.lookupByExpression(x, l.value)
	} else {
		c.lookupByTarget(x, l)
	}
	if col == nil {
		return nil
	}
	if x.clear == "" {
		for _, n := range c.table.Navigations {
			if n.Column == col.LogicalName {
				x.clear = n.Name
				break
			}
		}
	}
	if x.clear == "" {
		c.add(l.place, "the metadata names no navigation property for lookup %s", l.text)
	}
	return x
}

// lookupByTarget compiles {table: {key...}} and {table: expression}.
func (c *compiler) lookupByTarget(x *lookupProgram, l lookupEntry) {
	table := c.target(x, l.target)
	x.table = table
	if l.find != nil {
		x.find = c.findColumns(table, l.find)
		return
	}
	if l.id == nil {
		x.key = c.key(table, l.target.place, l.key)
		return
	}
	x.id = c.keyPart(l.id, nil, nil)
	if x.id != nil && x.id.constant != nil && x.id.constant.kind == isText && !schema.IsGUID(x.id.constant.text) {
		c.add(l.id.place, "a lookup by GUID needs a GUID: to bind by alternate key write {%s: {keycolumn: expression}}", l.target.text)
	}
}

// target finds the table a lookup points at and the property that binds it.
func (c *compiler) target(x *lookupProgram, n name) *schema.Table {
	t := c.lookUpTable(n)
	if t == nil || x.column == nil {
		return t
	}
	nav := navigation(c.table, x.column, n.text)
	switch {
	case len(x.column.Targets) > 0 && !slices.Contains(x.column.Targets, n.text):
		c.add(n.place, "lookup %s cannot point at %s: it takes %s", x.column.LogicalName, n.text, strings.Join(x.column.Targets, ", "))
	case nav == "":
		c.add(n.place, "the metadata names no navigation property from lookup %s to %s", x.column.LogicalName, n.text)
	default:
		target := lookupTarget{table: t, navigation: nav}
		if t.Merges() {
			target.merged = c.spec.merged
			c.bindsMerging = true
		}
		x.targets[n.text] = target
		if x.clear == "" {
			x.clear = nav
		}
	}
	return t
}

// navigation returns the name of the property that binds a lookup to a table.
func navigation(t *schema.Table, col *schema.Column, target string) string {
	if n := t.Navigation(col.LogicalName, target); n != nil {
		return n.Name
	}
	if col.Type == schema.TypeOwner {
		if n := t.Navigation(col.LogicalName, ownerTable); n != nil {
			return n.Name
		}
	}
	return ""
}

// lookupByExpression compiles an expression that gives ref(), resolve(), null or omit().
func (c *compiler) lookupByExpression(x *lookupProgram, e *expression) {
	p := c.program(e, "")
	if p == nil {
		return
	}
	x.value = p
	if kind, known := p.kind(); known && kind != isNull && kind != isOmitted && kind != isRef {
		c.add(p.place, "a lookup takes ref(), resolve(), null or omit(), not %s: by GUID write {table: expression}", value{kind: kind}.describe())
		return
	}
	if p.path != nil && p.fallback == nil {
		c.add(p.place, "a lookup takes ref(), resolve(), null or omit(): by GUID write {table: expression}")
		return
	}
	if p.constant != nil && p.constant.kind == isNull && x.column != nil && x.column.Required {
		c.add(p.place, "lookup %s cannot be null", x.column.LogicalName)
	}
	if p.root != nil {
		c.refCalls(x, p)
	}
}

// refCalls checks every ref() and resolve() whose arguments are written out.
func (c *compiler) refCalls(x *lookupProgram, p *program) {
	walk(p.root, func(e celast.Expr) {
		if e.Kind() != celast.CallKind || len(e.AsCall().Args()) != 2 {
			return
		}
		function := e.AsCall().FunctionName()
		if function != "ref" && function != "resolve" {
			return
		}
		at := c.inside(p.expression, p.tree, e.ID())
		table, ok := textConstant(e.AsCall().Args()[0])
		if !ok {
			c.add(at, `the first argument of %s() must be a constant: %[1]s("table", ...)`, function)
			return
		}
		t := c.target(x, name{at, table})
		columns, ok := mapKeys(e.AsCall().Args()[1])
		if t == nil || !ok {
			return
		}
		for _, column := range columns {
			col := c.lookUpColumn(t, name{at, column})
			if col == nil {
				return
			}
			if function == "resolve" {
				c.findable(name{at, column}, t, col)
			}
		}
		if function == "resolve" {
			return
		}
		c.need(t, columns)
		if problem := keyProblem(t, columns); problem != "" {
			c.add(at, "%s", problem)
		}
	})
}

// mapKeys returns the keys of a map literal whose keys are all constant texts.
func mapKeys(e celast.Expr) ([]string, bool) {
	if e.Kind() != celast.MapKind {
		return nil, false
	}
	var keys []string
	for _, entry := range e.AsMap().Entries() {
		key, ok := textConstant(entry.AsMapEntry().Key())
		if !ok || entry.AsMapEntry().IsOptional() {
			return nil, false
		}
		keys = append(keys, key)
	}
	return keys, true
}

// optionsetCalls checks every optionset() whose column is written out.
func (c *compiler) optionsetCalls(p *program) {
	walk(p.root, func(e celast.Expr) {
		if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != "optionset" {
			return
		}
		args := e.AsCall().Args()
		column, ok := textConstant(args[0])
		if !ok {
			return
		}
		at := c.inside(p.expression, p.tree, e.ID())
		if c.options.blind {
			return
		}
		col, problem := choiceColumn(c.catalog, column)
		if problem != "" {
			c.add(at, "%s", problem)
			return
		}
		label, ok := textConstant(args[1])
		if !ok || slices.ContainsFunc(col.Options, func(o schema.Option) bool { return o.Label == label }) {
			return
		}
		var labels []string
		for _, o := range col.Options {
			labels = append(labels, o.Label)
		}
		c.add(at, "column %s has no option %q%s", column, label, schema.Suggest(label, labels))
	})
}

// choiceColumn finds the column named "table.column", which must have options.
func choiceColumn(catalog schema.Catalog, name string) (*schema.Column, string) {
	table, column, ok := strings.Cut(name, ".")
	if !ok {
		return nil, `optionset() takes "table.column", not ` + name
	}
	t := catalog[table]
	if t == nil {
		return nil, "optionset(): unknown table " + table
	}
	col := t.Column(column)
	if col == nil {
		return nil, "optionset(): table " + table + " has no column " + column + schema.Suggest(column, columnNames(t))
	}
	if len(col.Options) == 0 {
		return nil, "optionset(): column " + name + " has no options"
	}
	return col, ""
}
