package mapping

import (
	"slices"
	"strconv"
	"strings"

	"cebridge/schema"
)

// forbidBlocks reports fields that the operation has no use for.
func (c *compiler) forbidBlocks() {
	s := c.spec
	switch s.operation {
	case schema.OpDelete:
		for _, at := range []place{s.columnsAt, s.lookupsAt, s.createAt} {
			if at.line > 0 {
				c.add(at, "a delete writes nothing: remove this")
			}
		}
	case schema.OpCreate, schema.OpUpdate:
		if s.onCreate != nil {
			c.add(s.createAt, "on_create is only for upsert: with operation %s write it in columns and lookups", s.operation)
		}
		if s.operation == schema.OpUpdate && len(s.columns)+len(s.lookups) == 0 {
			c.add(s.opAt, "an update without columns and lookups writes nothing")
		}
	}
}

// block compiles what one request writes.
func (c *compiler) block(b *block, onCreate bool) blockProgram {
	var out blockProgram
	for _, e := range b.columns {
		col := c.writable(e.name, onCreate)
		if col != nil && col.IsLookup() {
			c.add(e.place, "%s is a lookup: write it under lookups", e.text)
			col = nil
		}
		if x := c.columnProgram(e.value, col); x != nil && col != nil {
			out.columns = append(out.columns, columnProgram{col, x})
		}
	}
	for _, l := range b.lookups {
		if x := c.lookup(l, c.writable(l.name, onCreate)); x != nil {
			out.lookups = append(out.lookups, x)
		}
	}
	return out
}

// unwritable are the types that no value of an event can fill.
var unwritable = []schema.ColumnType{schema.TypeFile, schema.TypeVirtual, schema.TypePartyList, schema.TypeEntityName}

// writable finds a column and checks that the mapping may write it here.
func (c *compiler) writable(n name, onCreate bool) *schema.Column {
	if first, again := c.written[n.text]; again {
		c.add(n.place, "column %s is written already at line %d: only one entry can win", n.text, first.line)
	} else {
		c.written[n.text] = n.place
	}
	col := c.lookUpColumn(c.table, n)
	if col == nil {
		return nil
	}
	operation := c.spec.operation
	switch {
	case slices.ContainsFunc(c.spec.key, func(e entry) bool { return e.text == n.text }):
		c.add(n.place, "column %s is part of the key, which already carries its value: remove it here", n.text)
	case n.text == c.table.PrimaryID:
		c.add(n.place, "column %s is the record's id: use id to address by it", n.text)
	case slices.Contains(unwritable, col.Type):
		c.add(n.place, "column %s of type %s cannot be written by a mapping", n.text, col.Type)
		return nil
	case col.ReadOnly:
		c.add(n.place, "column %s cannot be written: it is read-only", n.text)
	case col.CreateOnly && operation == schema.OpUpdate:
		c.add(n.place, "column %s can be written only when the record is created", n.text)
	case col.CreateOnly && operation == schema.OpUpsert && !onCreate:
		c.add(n.place, "column %s can be written only when the record is created: move it under on_create", n.text)
	case col.UpdateOnly && col.Type != schema.TypeState && (onCreate || operation != schema.OpUpdate):
		// statecode is marked valid for update only in many tables, yet an upsert
		// may carry it (use-upsert-insert-update-record).
		c.add(n.place, "column %s can be written only to a record that exists: use operation update", n.text)
	}
	return col
}

// columnProgram compiles the value of a column; col may be nil after a problem.
func (c *compiler) columnProgram(x *expression, col *schema.Column) *program {
	context := ""
	if col != nil && len(col.Options) > 0 {
		context = c.table.LogicalName + "." + col.LogicalName
	}
	p := c.program(x, context)
	if p == nil || col == nil {
		return p
	}
	if p.root != nil {
		if calls(p.root, "ref") || calls(p.root, "resolve") {
			c.add(p.place, "ref() and resolve() belong in lookups")
			return p
		}
	}
	if p.constant != nil {
		if p.constant.kind != isOmitted {
			if _, problem := columnLiteral(col, *p.constant); problem != "" {
				c.add(p.place, "column %s %s%s", col.LogicalName, problem, constantHint(col, *p.constant))
			}
		}
		return p
	}
	c.codesFit(p, col)
	c.exampleFits(p, func(v value) string {
		if _, problem := columnLiteral(col, v); problem != "" {
			return "column " + col.LogicalName + " " + problem
		}
		return ""
	})
	c.schemaFits(p, func(k valueKind) string {
		if problem := typeProblem(col, k); problem != "" {
			return "column " + col.LogicalName + " " + problem
		}
		return ""
	}, func(v value) string {
		if _, problem := columnLiteral(col, v); problem != "" {
			return "column " + col.LogicalName + " " + problem
		}
		return ""
	})
	if kind, known := p.kind(); known {
		if problem := typeProblem(col, kind); problem != "" {
			c.add(p.place, "column %s %s", col.LogicalName, problem)
		}
	}
	return p
}

// constantHint lists the options a constant could have meant; constants stand
// in the mapping, so they may be named.
func constantHint(col *schema.Column, v value) string {
	if len(col.Options) == 0 || v.kind != isNumber && v.kind != isText {
		return ""
	}
	var options []string
	for _, o := range col.Options {
		options = append(options, strconv.FormatInt(o.Value, 10)+" "+o.Label)
		if len(options) == 10 {
			options = append(options, "...")
			break
		}
	}
	return " (options: " + strings.Join(options, ", ") + ")"
}

// statePairs checks constant states against constant statuses.
func (c *compiler) statePairs(p *Program) {
	if c.table == nil {
		return
	}
	columns := slices.Concat(p.body.columns, p.onCreate.columns)
	state, status := constantOf(columns, schema.TypeState), constantOf(columns, schema.TypeStatus)
	if state == nil || status == nil {
		return
	}
	if problem := pairProblem(columns, state.constant.text, status.constant.text); problem != "" {
		c.add(status.place, "%s", problem)
	}
}

func constantOf(columns []columnProgram, t schema.ColumnType) *program {
	for _, x := range columns {
		if x.column.Type == t && x.program.constant != nil && x.program.constant.kind == isNumber {
			return x.program
		}
	}
	return nil
}

// pairProblem says why a state and a status do not go together; "" when they do
// or nothing is known.
func pairProblem(columns []columnProgram, state, status string) string {
	for _, x := range columns {
		if x.column.Type != schema.TypeStatus {
			continue
		}
		for _, o := range x.column.Options {
			if strconv.FormatInt(o.Value, 10) == status && o.State != nil && *o.State >= 0 && strconv.FormatInt(*o.State, 10) != state {
				return "status " + status + " belongs to state " + strconv.FormatInt(*o.State, 10) + ", not to state " + state
			}
		}
	}
	return ""
}
