package mapping

import (
	"slices"
	"strings"

	celast "cel.dev/cel-go/common/ast"

	"cebridge/schema"
)

// ownKey compiles the key of the record itself. A lookup in it takes a GUID, or names
// its record as a lookup of the body does.
func (c *compiler) ownKey() []keyProgram {
	s, t := c.spec, c.table
	parts := make([]keyProgram, 0, len(s.key))
	columns := make([]string, 0, len(s.key))
	known := t != nil
	for _, e := range s.key {
		col := c.lookUpColumn(t, e.name)
		known = known && col != nil
		columns = append(columns, e.text)
		if c.namesParent(e) {
			if x := c.keyParent(e, col); x != nil {
				parts = append(parts, keyProgram{name: e.text, column: col, parent: x})
			}
		} else if x := c.keyPart(e.value, t, col); x != nil {
			parts = append(parts, keyProgram{name: e.text, column: col, program: x})
		}
	}
	if known && len(columns) > 0 {
		c.keyDeclared(t, s.keyAt, columns)
	}
	return parts
}

// namesParent tells whether a part of the key names a record by something else than a
// plain GUID.
func (c *compiler) namesParent(e entry) bool {
	if e.lookup != nil {
		return true
	}
	if e.value == nil || e.value.literal != "" {
		return false
	}
	tree, problems := parseExpression(c.env, e.value)
	if len(problems) > 0 {
		return false // reported where it is compiled
	}
	root := tree.NativeRep().Expr()
	return calls(root, "ref") || calls(root, "resolve")
}

// keyParent compiles the record that a lookup in the key refers to.
func (c *compiler) keyParent(e entry, col *schema.Column) *lookupProgram {
	if col != nil && !col.IsLookup() {
		c.add(e.place, "%s is not a lookup, so no other record can stand in its place", e.text)
		return nil
	}
	l := e.lookup
	if l == nil {
		l = &lookupEntry{name: e.name, value: e.value}
	}
	before := len(c.problems)
	x := c.lookup(*l, col)
	if x == nil || len(c.problems) > before {
		return nil
	}
	if x.value != nil && x.value.root != nil {
		if _, ok := writtenOut(x.value.root); !ok {
			c.add(x.value.place, `a key names its record in one form, so that messages about one record keep their order: ref("table", {"column": ...}), or resolve() likewise, with nothing around it; a GUID stands alone`)
			return nil
		}
		if calls(x.value.root, "omit") {
			c.add(x.value.place, "the record's own key cannot be left out: omit() is for columns and lookups")
		}
		return x
	}
	for _, parts := range [][]keyProgram{x.key, x.find} {
		c.notOmitted(parts)
	}
	if x.id != nil {
		c.notOmitted([]keyProgram{{program: x.id}})
	}
	return x
}

// writtenOut recognizes a lone ref() or resolve() whose table and columns are constants,
// and gives the form in which it names a record.
func writtenOut(e celast.Expr) (form string, ok bool) {
	if e.Kind() != celast.CallKind || len(e.AsCall().Args()) != 2 {
		return "", false
	}
	call := e.AsCall()
	table, constant := textConstant(call.Args()[0])
	if !constant || call.FunctionName() != "ref" && call.FunctionName() != "resolve" {
		return "", false
	}
	// What an expression makes could be a GUID, or a map of any columns.
	columns, constant := mapKeys(call.Args()[1])
	if !constant {
		return "", false
	}
	slices.Sort(columns)
	return call.FunctionName() + " " + table + " " + strings.Join(columns, " "), true
}

// form is how the part names its record: "" by a GUID.
func (k *keyProgram) form() string {
	l := k.parent
	switch {
	case l == nil || l.id != nil:
		return ""
	case l.value != nil:
		form, _ := writtenOut(l.value.root)
		return form
	}
	function, by := "ref", l.key
	if l.find != nil {
		function, by = "resolve", l.find
	}
	var columns []string
	for _, part := range by {
		columns = append(columns, part.name)
	}
	slices.Sort(columns)
	return function + " " + l.table.LogicalName + " " + strings.Join(columns, " ")
}

// oneForm checks that all entries of writes name the record in a key in one form, since
// the lane of a write tells by that which record it is about.
func (c *compiler) oneForm(parts []*Program) {
	type use struct {
		form string
		at   place
	}
	seen := map[string]use{}
	for _, p := range parts {
		if p.table == nil {
			continue
		}
		for i := range p.key {
			k := &p.key[i]
			if k.column == nil || !k.column.IsLookup() {
				continue
			}
			name := p.table.LogicalName + "." + k.name
			first, again := seen[name]
			if !again {
				seen[name] = use{k.form(), k.at()}
			} else if first.form != k.form() {
				c.add(k.at(), "line %d names the record of %s in another form: messages about one record keep their order only if all entries name it in the same one", first.at.line, k.name)
			}
		}
	}
}
