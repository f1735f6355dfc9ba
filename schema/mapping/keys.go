package mapping

import (
	"slices"

	"cebridge/schema"
)

// KeyNeeds returns every alternate key that the mapping relies on, whether the
// catalog declares it or not: the record's own, those of lookups, and those that are
// written out in ref(). Each set of columns of a table stands there once. What names
// an unknown table or column, or the primary id, is none: Compile reports it.
func KeyNeeds(s *Spec, catalog schema.Catalog) []KeyUse {
	needs := []KeyUse{}
	Compile(s, catalog, Options{needs: &needs})
	return needs
}

// need notes a key whose table and columns are known.
func (c *compiler) need(t *schema.Table, columns []string) {
	needs := c.options.needs
	if needs == nil || slices.Contains(columns, t.PrimaryID) {
		return
	}
	sorted := slices.Sorted(slices.Values(columns))
	for _, n := range *needs {
		if n.Table == t.LogicalName && slices.Equal(sorted, slices.Sorted(slices.Values(n.Columns))) {
			return
		}
	}
	*needs = append(*needs, KeyUse{t.LogicalName, columns})
}
