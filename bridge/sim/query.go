package sim

import (
	"slices"
	"strconv"
	"strings"

	"cebridge/schema"
)

// query is the parsed query string of a GET.
type query struct {
	params     params
	sel        selection
	filter     expr // nil: all
	order      []ordering
	top        int // -1: not given
	count      bool
	skipToken  string
	deltaToken string
	hasDelta   bool
	expand     []expansion
}

// contextText is what the context URL says about the columns.
func (q *query) contextText() string { return expandText(q.sel.text, q.expand) }

// ordering is one term of $orderby.
type ordering struct {
	column     int
	descending bool
}

// parseQuery parses a query string; options names the system options that the
// resource takes. Options that exist elsewhere in OData are refused by name.
func (s *Server) parseQuery(d *tableDef, raw string, options ...string) (*query, *apiError) {
	q := &query{params: parseParams(raw), top: -1}
	q.sel = allColumns(d)
	seen := map[string]bool{}
	for _, p := range q.params {
		if p.bad {
			return nil, querySyntax()
		}
		if e := checkOption(p.name, seen, options); e != nil {
			return nil, e
		}
		var e *apiError
		switch p.name {
		case "$select":
			q.sel, e = parseSelect(d, p.value)
		case "$filter":
			q.filter, e = parseFilter(d, p.value, q.params)
		case "$orderby":
			q.order, e = parseOrder(d, p.value)
		case "$top":
			n, err := strconv.Atoi(p.value)
			if err != nil || n < 0 {
				e = invalidRequest("Invalid value '%s' for $top query option found. The $top query option requires a non-negative integer value.", shorten(p.value))
			}
			q.top = n
		case "$count":
			b, err := strconv.ParseBool(p.value)
			if err != nil {
				e = invalidRequest("Invalid value '%s' for $count query option found. Valid values are 'true' and 'false'.", shorten(p.value))
			}
			q.count = b
		case "$expand":
			q.expand, e = s.parseExpand(d, p.value)
		case "$skiptoken":
			q.skipToken = p.value
		case "$deltatoken":
			q.deltaToken, q.hasDelta = p.value, true
		}
		if e != nil {
			return nil, e
		}
	}
	filter, _ := q.params.get("$filter")
	for _, p := range q.params {
		if strings.HasPrefix(p.name, "@") && !strings.Contains(filter, p.name) {
			return nil, notSimulated("parameter aliases outside of $filter.")
		}
	}
	return q, nil
}

func checkOption(name string, seen map[string]bool, options []string) *apiError {
	if seen[name] {
		return invalidRequest("Query option '%s' was specified more than once, but it must be specified at most once.", shorten(name))
	}
	seen[name] = true
	for _, o := range options {
		if o == name {
			return nil
		}
	}
	switch name {
	case "tag": // a text for plug-ins
		return nil
	case "$skip":
		return invalidRequest("Skip Clause is not supported in CRM")
	case "$expand", "$apply", "$search", "$compute", "fetchXml", "savedQuery", "userQuery":
		return notSimulated("the query option %s.", name)
	}
	if strings.HasPrefix(name, "@") && slices.Contains(options, "$filter") {
		return nil // a value that $filter names
	}
	return invalidRequest("The query parameter %s is not supported", shorten(name))
}

// selection is what a query wants of each row.
type selection struct {
	columns []int
	// text goes into the context URL: (name,accountnumber), or nothing for all.
	text string
}

// allColumns leaves out what the server sends only on request.
func allColumns(d *tableDef) selection {
	var sel selection
	for i := range d.Columns {
		if readable(d, i) {
			sel.columns = append(sel.columns, i)
		}
	}
	return sel
}

func readable(d *tableDef, i int) bool {
	switch d.Columns[i].Type {
	case schema.TypeImage, schema.TypeFile, schema.TypeVirtual, schema.TypePartyList, typeDropped:
		return false
	}
	return true
}

// parseSelect adds what the server returns unasked: the primary id, and the
// currency of money columns. A lookup must be selected under its read name.
func parseSelect(d *tableDef, text string) (selection, *apiError) {
	if strings.TrimSpace(text) == "*" {
		return allColumns(d), nil
	}
	var sel selection
	chosen := map[int]bool{}
	add := func(i int) {
		if i >= 0 && !chosen[i] {
			chosen[i] = true
			sel.columns = append(sel.columns, i)
		}
	}
	money := false
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		i, ok := d.byRead[name]
		if !ok {
			return sel, noProperty(d, name)
		}
		money = money || d.Columns[i].Type == schema.TypeMoney
		add(i)
	}
	if money {
		add(d.column("transactioncurrencyid"))
	}
	add(d.id)
	sel.text = "(" + strings.ReplaceAll(text, " ", "") + ")"
	return sel, nil
}

func noProperty(d *tableDef, name string) *apiError {
	return invalidRequest("Could not find a property named '%s' on type '%s'.", shorten(name), d.typeName())
}

func parseOrder(d *tableDef, text string) ([]ordering, *apiError) {
	var order []ordering
	for term := range strings.SplitSeq(text, ",") {
		words := strings.Fields(term)
		if len(words) == 0 || len(words) > 2 {
			return nil, querySyntax()
		}
		i, ok := d.byRead[words[0]]
		if !ok && strings.Contains(words[0], "/") {
			return nil, notSimulated("ordering by a column of a related table.")
		}
		if !ok {
			return nil, noProperty(d, words[0])
		}
		// Choices and lookups sort by label and name on the real server.
		switch c := &d.Columns[i]; c.Type {
		case schema.TypePicklist, schema.TypeState, schema.TypeStatus, schema.TypeMultiSelect, schema.TypeLookup, schema.TypeCustomer, schema.TypeOwner:
			return nil, notSimulated("ordering by the %s column %s.", c.Type, c.LogicalName)
		}
		o := ordering{column: i}
		if len(words) == 2 {
			if words[1] != "asc" && words[1] != "desc" {
				return nil, querySyntax()
			}
			o.descending = words[1] == "desc"
		}
		order = append(order, o)
	}
	if first := order[0]; !first.descending && d.Columns[first.column].LogicalName == d.PrimaryID {
		// The order of a query that asks for none, and nothing after it can matter.
		return nil, nil
	}
	return order, nil
}
