package mapping

import (
	"slices"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"

	"cebridge/schema"
)

// itemVariables are the names that expressions beside a for_each can use besides.
var itemVariables = [...]string{"item", "index"}

// writes compiles the entries of writes.
func (c *compiler) writes(p *Program) {
	for i, s := range c.spec.writes {
		part := c.part(s)
		p.parts = append(p.parts, part)
		if s.operation == schema.OpCreate {
			c.add(s.opAt, "operation create cannot stand in writes: a message that comes again would meet its own record. Use upsert, with on_create for what only a new record gets")
		}
		for _, before := range c.spec.writes[:i+1] {
			p.recheck = p.recheck || s.operation == schema.OpDelete && before.operation == schema.OpUpdate && before.table.text == s.table.text
		}
	}
	c.oneForm(p.parts)
	if c.spec.revision != nil {
		c.revised()
	}
}

// revised checks that the first write of an event, whichever entry gives it, is of
// the record that the revision is of.
func (c *compiler) revised() {
	for _, s := range c.spec.writes {
		switch {
		case s.each != nil || !sameRecord(s, c.spec.writes[0]):
			c.add(c.spec.revision.place, "the revision is that of the first write's record: the entries up to the first one without when must address one record in the same words, and have no for_each")
			return
		case s.when == nil:
			return
		}
	}
}

// sameRecord tells whether two entries address their record in the same words.
func sameRecord(a, b *Spec) bool {
	same := func(x, y []entry) bool {
		return slices.EqualFunc(x, y, func(x, y entry) bool {
			return x.text == y.text && sameExpression(x.value, y.value) && sameTarget(x.lookup, y.lookup)
		})
	}
	return a.table.text == b.table.text && same(a.key, b.key) && same(a.find, b.find) && sameExpression(a.id, b.id)
}

func sameTarget(a, b *lookupEntry) bool {
	same := func(x, y entry) bool { return x.text == y.text && sameExpression(x.value, y.value) }
	return a == b || a != nil && b != nil && a.target.text == b.target.text && sameExpression(a.id, b.id) &&
		slices.EqualFunc(a.key, b.key, same) && slices.EqualFunc(a.find, b.find, same)
}

func sameExpression(a, b *expression) bool {
	return a == b || a != nil && b != nil && a.text == b.text && a.literal == b.literal
}

// part compiles one entry.
func (c *compiler) part(s *Spec) *Program {
	p := &Program{operation: s.operation, wantResult: c.options.WantResult, at: s.at}
	sub := &compiler{spec: s, catalog: c.catalog, options: c.options, env: c.env, written: map[string]place{}, example: c.example, schema: c.schema.copy()}
	if s.each != nil {
		p.each = sub.forEach(s.each)
	}
	sub.write(p)
	c.problems = append(c.problems, sub.problems...)
	return p
}

// forEach compiles the list and makes its element known to what follows.
func (c *compiler) forEach(x *expression) *program {
	p := c.program(x, "")
	if p != nil {
		if kind, known := p.kind(); known && kind != isList {
			c.add(p.place, "for_each takes a list, not %s", value{kind: kind}.describe())
		}
	}
	env, err := c.env.Extend(cel.Variable("item", cel.DynType), cel.Variable("index", cel.IntType))
	if err != nil {
		c.add(x.place, "build the expression environment: %v", err)
		return nil
	}
	c.env = env
	c.exampleItem(p)
	c.schemaItem(p)
	return p
}

// exampleItem takes the first element of the list in the example for the item. A list
// that is empty or missing there says nothing about it.
func (c *compiler) exampleItem(p *program) {
	if c.example == nil {
		return
	}
	v := *c.example
	c.example = &v
	if p == nil || p.path == nil {
		return
	}
	found, missing, _ := p.path.find(&v)
	if list, ok := found.([]any); missing == "" && ok && len(list) > 0 {
		v.item, v.inItem = list[0], true
	} else if missing == "" && !ok {
		c.add(p.place, "with the example's %s: for_each takes a list, not %s", p.path, fromData(found).describe())
	}
}

// shadowed tells whether a comprehension of the expression uses the name itself.
func shadowed(e celast.Expr, name string) bool {
	found := false
	walk(e, func(e celast.Expr) {
		if e.Kind() == celast.ComprehensionKind {
			found = found || e.AsComprehension().IterVar() == name || e.AsComprehension().IterVar2() == name
		}
	})
	return found
}
