package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Limits of one metadata query.
const (
	maxMetaQuery = 64 << 10
	maxMetaDepth = 16
)

// metaQuery is what a metadata request asks for.
type metaQuery struct {
	selected []string // nil means all
	filter   *metaFilter
	expand   []metaExpand
	count    bool
}

// metaExpand is one navigation property of $expand with its own options.
type metaExpand struct {
	name  string
	query metaQuery
}

// parseMetaQuery reads the system query options of a metadata URL. There is no
// paging and no order (developer guide, query table definitions): $top, $skip
// and $orderby are refused with 400. Options without $ are ignored.
func parseMetaQuery(raw string) (metaQuery, *apiError) {
	if len(raw) > maxMetaQuery {
		return metaQuery{}, &apiError{Status: http.StatusRequestURITooLong, Code: codeInvalidRequest, Message: "The query is too long."}
	}
	var q metaQuery
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return q, invalidRequest("Bad Request - Error in query syntax.")
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return q, invalidRequest("Bad Request - Error in query syntax.")
		}
		if e := q.set(name, value, 0); e != nil {
			return q, e
		}
	}
	return q, nil
}

// set takes one decoded option.
func (q *metaQuery) set(name, value string, depth int) *apiError {
	switch strings.TrimSpace(name) {
	case "$select":
		for column := range strings.SplitSeq(value, ",") {
			if column = strings.TrimSpace(column); column == "" {
				return invalidRequest("Term '%s' is not valid in a $select or $expand expression.", value)
			}
			q.selected = append(q.selected, column)
		}
	case "$filter":
		f, e := parseMetaFilter(value)
		if e != nil {
			return e
		}
		q.filter = f
	case "$expand":
		if depth >= maxMetaDepth {
			return invalidRequest("The expansion is nested too deeply.")
		}
		return q.setExpand(value, depth)
	case "$count":
		q.count = value == "true"
	default:
		if strings.HasPrefix(name, "$") {
			return invalidRequest("The query parameter %s is not supported", name)
		}
	}
	return nil
}

func (q *metaQuery) setExpand(value string, depth int) *apiError {
	for _, item := range splitOutside(value, ',') {
		item = strings.TrimSpace(item)
		x := metaExpand{name: item}
		if name, options, ok := strings.Cut(item, "("); ok {
			inner, closed := strings.CutSuffix(options, ")")
			if !closed {
				return invalidRequest("Found an unbalanced bracket expression.")
			}
			x.name = strings.TrimSpace(name)
			for _, option := range splitOutside(inner, ';') {
				k, v, _ := strings.Cut(option, "=")
				if e := x.query.set(k, v, depth+1); e != nil {
					return e
				}
			}
		}
		if x.name == "" {
			return invalidRequest("Term '%s' is not valid in a $select or $expand expression.", value)
		}
		q.expand = append(q.expand, x)
	}
	return nil
}

// splitOutside splits at separators that stand outside quotes and brackets.
func splitOutside(s string, separator rune) []string {
	var parts []string
	depth, quoted, start := 0, false, 0
	for i, r := range s {
		switch {
		case r == '\'':
			quoted = !quoted
		case quoted:
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == separator && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// check refuses names that the type does not declare. declared is a sample
// object of the type; derived properties count only after a cast.
func (q *metaQuery) check(typeName string, declared metaObject, cast bool) *apiError {
	known := func(name string) bool {
		return slices.ContainsFunc(declared, func(m metaMember) bool { return m.name == name && (cast || !m.derived) })
	}
	names := slices.Clone(q.selected)
	if q.filter != nil {
		names = append(names, q.filter.properties()...)
	}
	for _, name := range names {
		if !known(name) {
			return invalidRequest("Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM.%s'.", name, typeName)
		}
	}
	return nil
}

// keep reduces an object to the selected properties, in the object's order.
// MetadataId is always returned (developer guide).
func (q *metaQuery) keep(o metaObject) metaObject {
	if q.selected == nil {
		return o
	}
	var kept metaObject
	for _, m := range o {
		if m.name == "@odata.type" || m.name == "MetadataId" || slices.Contains(q.selected, m.name) {
			kept = append(kept, m)
		}
	}
	return kept
}

// contextSuffix is the part of a context URL that lists the selection.
func (q *metaQuery) contextSuffix() string {
	names := slices.Clone(q.selected)
	for _, x := range q.expand {
		names = append(names, x.name)
	}
	if len(names) == 0 {
		return ""
	}
	return "(" + strings.Join(names, ",") + ")"
}
