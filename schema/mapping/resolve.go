package mapping

import (
	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// resolveOf returns what stands under resolve when a mapping has that one member. No
// column has this name: those of customers have a prefix, the system has none.
func (p *parser) resolveOf(node ast.Node) (ast.Node, bool) {
	var member *ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) == 1 {
			member = n.Values[0]
		}
	case *ast.MappingValueNode:
		member = n
	}
	if member == nil || member.Key.GetToken().Value != "resolve" || !isMapping(member.Value) {
		return nil, false
	}
	return member.Value, true
}

// resolve reads the columns that a record is searched by.
func (p *parser) resolve(at place, node ast.Node) []entry {
	before := len(p.problems)
	entries := p.entries(at, node)
	if len(entries) == 0 && len(p.problems) == before {
		p.add(at, "resolve has no columns to find the record by")
	}
	return entries
}

// findColumns compiles the columns that a record is searched by.
func (c *compiler) findColumns(t *schema.Table, entries []entry) []keyProgram {
	parts := make([]keyProgram, 0, len(entries))
	for _, e := range entries {
		col := c.lookUpColumn(t, e.name)
		if col != nil && !c.findable(e.name, t, col) {
			continue
		}
		if x := c.findPart(e.value, t, col); x != nil {
			parts = append(parts, keyProgram{name: e.text, column: col, program: x})
		}
	}
	return parts
}

// findable are the columns that a filter can compare with a value.
func (c *compiler) findable(n name, t *schema.Table, col *schema.Column) bool {
	switch col.Type {
	case schema.TypeString, schema.TypeInteger, schema.TypeBigInt, schema.TypeDecimal, schema.TypePicklist, schema.TypeState,
		schema.TypeStatus, schema.TypeBoolean, schema.TypeDateTime, schema.TypeUniqueID,
		schema.TypeLookup, schema.TypeCustomer, schema.TypeOwner:
		return true
	}
	c.add(n.place, "column %s of %s is of type %s, which a record cannot be found by", col.LogicalName, t.LogicalName, col.Type)
	return false
}

func (c *compiler) findPart(x *expression, t *schema.Table, col *schema.Column) *program {
	column := ""
	if col != nil {
		column = t.LogicalName + "." + col.LogicalName
	}
	p := c.program(x, column)
	if p == nil || col == nil {
		return p
	}
	if p.root != nil && (calls(p.root, "ref") || calls(p.root, "resolve")) {
		c.add(p.place, "ref() and resolve() belong in lookups, not in a search")
		return p
	}
	check := func(v value) string {
		if v.kind == isNull || v.kind == isOmitted {
			return ""
		}
		raw, problem := keyLiteral(col, v)
		if problem == "" {
			if _, err := schema.NewSearch(t, []schema.KeyPart{{Column: col.LogicalName, Value: raw}}); err != nil {
				problem = err.Error()
			}
		}
		return problem
	}
	c.exampleFits(p, check)
	c.schemaFits(p, func(k valueKind) string {
		if k == isBool && col.Type == schema.TypeBoolean {
			return ""
		}
		return scalarKind("a record is found by")(k)
	}, check)
	switch kind, known := p.kind(); {
	case p.constant != nil && p.constant.kind == isNull:
		c.add(p.place, "a record cannot be found by null")
	case p.constant != nil:
		if problem := check(*p.constant); problem != "" {
			c.add(p.place, "%s", problem)
		}
	case known && (kind == isList || kind == isObject || kind == isBool && col.Type != schema.TypeBoolean):
		c.add(p.place, "a record is found by a text or a number, not %s", value{kind: kind}.describe())
	}
	return p
}

// needsSearch tells whether a key cannot stand in a URL though its value is sound.
func needsSearch(err error) bool {
	e := outcome.Of(err)
	return e != nil && e.Reason == outcome.KeyCharacters
}

// searchFor addresses a write by a search for its key.
func (p *Program) searchFor(w *schema.Write) error {
	at := p.addressAt()
	s, err := schema.NewSearch(p.table, w.Key)
	if err != nil {
		return reject(at, outcome.Invalid, err.Error())
	}
	w.Search = s
	if p.operation == schema.OpUpdate || p.operation == schema.OpDelete {
		return nil
	}
	if w.KeyMembers, err = schema.KeyMembers(p.catalog, p.table, w.Key); err != nil {
		return reject(at, outcome.KeyCharacters, err.Error())
	}
	return nil
}

// addressAt is the place of the first expression that addresses the record.
func (p *Program) addressAt() place {
	if p.find != nil {
		return p.find[0].at()
	}
	return p.key[0].at()
}

// addReference adds the member that stands for a reference until it is bound.
func (o *object) addReference(r schema.Reference) {
	if len(o.buf) > 1 {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(o.buf, r.Member()...)
	o.references = append(o.references, r)
}
