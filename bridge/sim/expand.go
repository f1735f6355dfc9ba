package sim

import (
	"net/url"
	"slices"
	"strings"

	"cebridge/schema"

	"github.com/google/uuid"
)

// maxExpansions is the documented limit of $expand options in a query ("Join
// tables", Web API query pages).
const maxExpansions = 15

// expansion is one navigation property of $expand. Source: developer guide,
// "Retrieve related tables with a query".
type expansion struct {
	name string
	// navs are the ways of a single-valued property, by target; nil for a
	// collection, which has rel.
	navs []navigation
	rel  *related
	// query has the nested options, parsed for the target; for an owner, whose
	// targets differ, only its text counts.
	query  *query
	target *table
}

// related is a collection-valued navigation property: the records of from whose
// column points at a record.
type related struct {
	from   *table
	column int
	name   string
}

// lookupExpr is true for records whose lookup has exactly that cell.
type lookupExpr struct {
	column int
	cell   string
}

func (e *lookupExpr) match(_ *tableDef, _ *row, cells []string) bool {
	return cells[e.column] == e.cell
}

// related finds a collection-valued navigation property of a table.
func (s *Server) related(d *tableDef, name string) *related {
	for _, r := range oneToMany(d.Table, s.catalog()) {
		if r.schemaName() != name {
			continue
		}
		from := s.catalogNow().byName[r.referencing.LogicalName]
		if i := from.def.Load().column(r.nav.Column); i >= 0 {
			return &related{from: from, column: i, name: name}
		}
	}
	return nil
}

// pointing is the filter of the records that point at id of the table d.
func (r *related) pointing(d *tableDef, id uuid.UUID) *lookupExpr {
	target := slices.Index(r.from.def.Load().Columns[r.column].Targets, d.LogicalName)
	return &lookupExpr{column: r.column, cell: lookupCell(target, id)}
}

// parseExpand parses the decoded text of $expand, one level deep.
func (s *Server) parseExpand(d *tableDef, text string) ([]expansion, *apiError) {
	var list []expansion
	for _, term := range splitNested(text, ',') {
		name, options, nested := strings.Cut(strings.TrimSpace(term), "(")
		name = strings.TrimSpace(name)
		if nested {
			var closed bool
			if options, closed = strings.CutSuffix(options, ")"); !closed {
				return nil, querySyntax()
			}
		}
		if slices.ContainsFunc(list, func(e expansion) bool { return e.name == name }) {
			return nil, invalidRequest("The navigation property '%s' is expanded more than once.", shorten(name))
		}
		e, err := s.parseExpansion(d, name, options)
		if err != nil {
			return nil, err
		}
		if list = append(list, e); len(list) > maxExpansions {
			return nil, invalidRequest("The number of $expand options in the query exceeds the limit of %d.", maxExpansions)
		}
	}
	return list, nil
}

func (s *Server) parseExpansion(d *tableDef, name, options string) (expansion, *apiError) {
	e := expansion{name: name, navs: d.byNav[name]}
	allowed := []string{"$select"}
	switch {
	case len(e.navs) > 0 && d.Columns[e.navs[0].column].Type == schema.TypeOwner && len(e.navs) > 1:
		if text := strings.ReplaceAll(options, " ", ""); text != "" && text != "$select=ownerid" {
			return e, noPrincipalProperty(text)
		}
		e.query = &query{sel: selection{text: "(ownerid)"}}
		return e, nil
	case len(e.navs) > 0:
		e.target = s.catalogNow().byName[e.navs[0].target]
		if e.target == nil {
			return e, notSimulated("expanding '%s', whose table is not in the schema.", shorten(name))
		}
	default:
		if e.rel = s.related(d, name); e.rel == nil {
			return e, noProperty(d, name)
		}
		e.target = e.rel.from
		allowed = append(allowed, "$filter", "$orderby", "$top")
	}
	raw := strings.Builder{}
	for _, option := range splitNested(options, ';') {
		key, value, _ := strings.Cut(option, "=")
		raw.WriteString(url.QueryEscape(strings.TrimSpace(key)) + "=" + url.QueryEscape(value) + "&")
	}
	if strings.TrimSpace(options) == "" {
		raw.Reset()
	}
	var err *apiError
	e.query, err = s.parseQuery(e.target.def.Load(), raw.String(), allowed...)
	return e, err
}

func noPrincipalProperty(text string) *apiError {
	return invalidRequest("Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM.principal'.", shorten(strings.TrimPrefix(text, "$select=")))
}

// splitNested splits at sep outside of parentheses and single quotes.
func splitNested(s string, sep byte) []string {
	var parts []string
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == sep && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// expandText joins the selection and the expansions for the context URL:
// (name,primarycontactid(fullname)).
func expandText(sel string, list []expansion) string {
	if len(list) == 0 {
		return sel
	}
	parts := []string{}
	if inner := strings.TrimSuffix(strings.TrimPrefix(sel, "("), ")"); inner != "" {
		parts = append(parts, inner)
	}
	for _, e := range list {
		text := e.query.sel.text
		if text == "" {
			text = "()"
		}
		parts = append(parts, e.name+text)
	}
	return "(" + strings.Join(parts, ",") + ")"
}
