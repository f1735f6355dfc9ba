package mapping

import (
	"maps"
	"strings"

	celast "cel.dev/cel-go/common/ast"

	"cebridge/schema"
)

// readSchema reads Options.Schema.
func (c *compiler) readSchema() {
	if len(c.options.Schema) == 0 {
		return
	}
	s, err := readDataSchema(c.options.Schema, c.options.SchemaPart)
	if err != nil {
		c.add(c.spec.at, "the schema of the events: %v", err)
		return
	}
	c.schema = &schemaView{dataSchema: s, guarded: map[string]bool{}}
}

// schemaView is the schema of the data as one entry sees it.
type schemaView struct {
	*dataSchema
	// item are the shapes of a for_each's element, nil where nothing is known of it.
	item []shape
	// guarded are the places that a condition asks for before anything is written.
	guarded map[string]bool
}

// copy is for an entry of writes: what its condition guards is guarded in it alone.
func (v *schemaView) copy() *schemaView {
	if v == nil {
		return nil
	}
	out := *v
	out.guarded = maps.Clone(v.guarded)
	return &out
}

// walkSchema follows a path. What is wrong with it is said by found; nothing is said about
// what the schema leaves open.
func (v *schemaView) walkSchema(p *path, found func(problem string)) (shapes []shape, known bool) {
	v.work = 0
	switch {
	case p.root == "data":
		shapes = v.shapes(v.root)
	case p.root == "item" && v.item != nil:
		shapes = v.item
	default:
		return nil, false
	}
	for i, s := range p.steps {
		if len(shapes) == 0 {
			return nil, false // a schema that contradicts itself
		}
		here := &path{p.root, p.steps[:i]}
		full := &path{p.root, p.steps[:i+1]}
		if s.isIndex {
			elements, lists := v.elements(shapes)
			if !lists {
				found(here.String() + " is " + kindsOf(shapes).describe() + " in the schema, not a list")
				return nil, false
			}
			shapes = elements
			continue
		}
		m := v.member(shapes, s.name)
		switch {
		case !m.objects:
			found(here.String() + " is " + kindsOf(shapes).describe() + " in the schema, which has no members")
			return nil, false
		case !m.listed:
			found("the schema has no " + full.String() + schema.Suggest(s.name, m.names))
			return nil, false
		case m.optional && !full.optional() && !v.guarded[full.String()]:
			found(full.String() + " may be missing, as the schema does not require it: write " + full.tolerant() + ".orValue(omit()), or another default")
		}
		shapes = m.shapes
	}
	return shapes, len(shapes) > 0
}

// tolerant writes the path so that it may be missing from its last step on.
func (p *path) tolerant() string {
	last := p.steps[len(p.steps)-1]
	before := (&path{p.root, p.steps[:len(p.steps)-1]}).String()
	if isIdentifier(last.name) {
		return before + ".?" + last.name
	}
	return before + "[?" + strings.TrimPrefix((&path{"", p.steps[len(p.steps)-1:]}).String(), "[")
}

// schemaHas reports places that the expression names and the schema does not. A place that
// is read on a condition may be one that the schema does not require.
func (c *compiler) schemaHas(p *program) {
	if c.schema == nil {
		return
	}
	conditional := conditionalNodes(p.root)
	inner := map[int64]bool{} // operands of longer paths
	walk(p.root, func(e celast.Expr) {
		if operand := operandOf(e); operand != nil {
			if _, ok := pathOf(e); ok {
				inner[operand.ID()] = true
			}
		}
	})
	walk(p.root, func(e celast.Expr) {
		tested := e.Kind() == celast.SelectKind && e.AsSelect().IsTestOnly()
		full, ok := pathOf(e)
		if tested {
			if full, ok = pathOf(e.AsSelect().Operand()); ok {
				full = &path{full.root, append(full.steps[:len(full.steps):len(full.steps)], step{name: e.AsSelect().FieldName(), optional: true})}
			}
		}
		if !ok || inner[e.ID()] || full.root == "item" && shadowed(p.root, "item") {
			return
		}
		at := c.inside(p.expression, p.tree, e.ID())
		c.schema.walkSchema(full, func(problem string) {
			if strings.Contains(problem, " may be missing, ") && conditional[e.ID()] {
				return
			}
			c.add(at, "%s", problem)
		})
	})
}

// operandOf is what a step of a path goes from.
func operandOf(e celast.Expr) celast.Expr {
	switch e.Kind() {
	case celast.SelectKind:
		return e.AsSelect().Operand()
	case celast.CallKind:
		if args := e.AsCall().Args(); len(args) == 2 {
			return args[0]
		}
	}
	return nil
}

// guards notes the places that a condition reads: whoever is past it has them, or was
// told about them there.
func (c *compiler) guards(p *program) {
	if c.schema == nil || p == nil || p.root == nil {
		return
	}
	note := func(full *path) {
		for i := range full.steps {
			c.schema.guarded[(&path{full.root, full.steps[:i+1]}).String()] = true
		}
	}
	walk(p.root, func(e celast.Expr) {
		if e.Kind() == celast.SelectKind && e.AsSelect().IsTestOnly() {
			if full, ok := pathOf(e.AsSelect().Operand()); ok {
				note(&path{full.root, append(full.steps[:len(full.steps):len(full.steps)], step{name: e.AsSelect().FieldName()})})
			}
		} else if full, ok := pathOf(e); ok {
			note(full)
		}
	})
}

// schemaFits reports a copied place of which no value fits: kind judges a kind of value,
// check one value of an enumeration.
func (c *compiler) schemaFits(p *program, kind func(valueKind) string, check func(value) string) {
	if c.schema == nil || p.path == nil {
		return
	}
	shapes, known := c.schema.walkSchema(p.path, func(string) {})
	if !known {
		return
	}
	first, fits := "", false
	for _, x := range shapes {
		if x.values != nil && check != nil {
			for _, v := range x.values {
				if v == nil {
					continue
				}
				if problem := check(fromData(v)); problem != "" {
					c.add(p.place, "with a value that the schema lists for %s: %s", p.path, problem)
					return
				}
			}
			fits = true
			continue
		}
		for _, k := range kindOrder {
			if x.kinds&k.kind == 0 || k.kind == kindNull {
				continue
			}
			if problem := kind(k.value); problem == "" {
				fits = true
			} else if first == "" {
				first = problem
			}
		}
	}
	if !fits && first != "" {
		c.add(p.place, "with the schema's %s: %s", p.path, first)
	}
}

// schemaItem takes the elements of the list for the item.
func (c *compiler) schemaItem(p *program) {
	if c.schema == nil {
		return
	}
	v := *c.schema
	v.item = nil
	c.schema = &v
	if p == nil || p.path == nil {
		return
	}
	shapes, known := v.walkSchema(p.path, func(string) {})
	if !known {
		return
	}
	elements, lists := v.elements(shapes)
	if !lists {
		c.add(p.place, "for_each takes a list; %s is %s in the schema", p.path, kindsOf(shapes).describe())
		return
	}
	v.item = elements
}
