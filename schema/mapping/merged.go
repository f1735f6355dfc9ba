package mapping

import (
	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
)

// merged reads what to do about a record that was merged into another.
func (p *parser) merged(at place, node ast.Node) {
	w := p.word(at, node)
	if w.text == "" {
		return
	}
	switch rule := schema.MergedRule(w.text); rule {
	case schema.MergedReject, schema.MergedRedirect:
		p.spec.merged, p.spec.mergedAt = rule, w.place
	default:
		p.add(w.place, "unknown rule %q: use reject or redirect%s", w.text,
			schema.Suggest(w.text, []string{string(schema.MergedReject), string(schema.MergedRedirect)}))
	}
}

// merged checks that the records of the table, or those of a lookup, can be merged, and
// tells how to notice it of the first; nil where nothing is asked for. Lookups have been
// compiled by then: theirs stands in lookupTarget.
func (c *compiler) merged() *schema.Merged {
	s, t := c.spec, c.table
	if s.merged == "" {
		return nil
	}
	if t == nil {
		return nil
	}
	switch {
	case s.operation == schema.OpCreate && !c.bindsMerging:
		c.add(s.mergedAt, "merged is for a record that may be there already: a create refuses such a one anyway, and no lookup binds one that can be merged, so leave merged out")
		return nil
	case !t.Merges() && !c.bindsMerging:
		c.add(s.mergedAt, "table %s has no columns %s and %s, so its records cannot be merged, nor can those that its lookups bind: leave merged out", t.LogicalName, schema.MergedColumn, schema.MasterColumn)
		return nil
	case s.operation == schema.OpCreate, !t.Merges():
		return nil
	}
	return &schema.Merged{Rule: s.merged, PrimaryID: t.PrimaryID, Versioned: t.OptimisticConcurrency}
}
