package sim

import (
	"regexp"
	"slices"
	"strings"

	"cebridge/schema"
)

// metaToken splits a $filter into quoted texts (with an optional enumeration
// type before them), brackets and words.
var metaToken = regexp.MustCompile(`^\s*((?:[A-Za-z][A-Za-z0-9_.]*)?'(?:[^']|'')*'|[()]|[^\s()']+)`)

// parseMetaFilter parses a $filter expression.
func parseMetaFilter(text string) (*metaFilter, *apiError) {
	p := &metaFilterParser{}
	for rest := text; strings.TrimSpace(rest) != ""; {
		m := metaToken.FindStringSubmatch(rest)
		if m == nil {
			return nil, invalidRequest("There is an unterminated literal at position %d in '%s'.", len(text)-len(rest), text)
		}
		p.tokens = append(p.tokens, m[1])
		rest = rest[len(m[0]):]
	}
	f, e := p.or(0)
	if e == nil && len(p.tokens) > 0 {
		e = invalidRequest("Syntax error at '%s' in '%s'.", p.tokens[0], text)
	}
	if e != nil {
		return nil, e
	}
	return f, nil
}

type metaFilterParser struct{ tokens []string }

// take removes and returns the next token; "" at the end.
func (p *metaFilterParser) take() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *metaFilterParser) accept(token string) bool {
	if len(p.tokens) > 0 && p.tokens[0] == token {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *metaFilterParser) or(depth int) (*metaFilter, *apiError) {
	left, e := p.and(depth)
	for e == nil && p.accept("or") {
		var right *metaFilter
		if right, e = p.and(depth); e == nil {
			left = &metaFilter{op: "or", left: left, right: right}
		}
	}
	return left, e
}

func (p *metaFilterParser) and(depth int) (*metaFilter, *apiError) {
	left, e := p.term(depth)
	for e == nil && p.accept("and") {
		var right *metaFilter
		if right, e = p.term(depth); e == nil {
			left = &metaFilter{op: "and", left: left, right: right}
		}
	}
	return left, e
}

func (p *metaFilterParser) term(depth int) (*metaFilter, *apiError) {
	switch {
	case depth >= maxMetaDepth:
		return nil, invalidRequest("The filter is nested too deeply.")
	case p.accept("not"):
		inner, e := p.term(depth + 1)
		return &metaFilter{op: "not", left: inner}, e
	case p.accept("("):
		inner, e := p.or(depth + 1)
		if e == nil && !p.accept(")") {
			e = invalidRequest("')' or operator expected in the filter.")
		}
		return inner, e
	}
	return p.comparison()
}

var metaProperty = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(/[A-Za-z][A-Za-z0-9]*)*$`)

func (p *metaFilterParser) comparison() (*metaFilter, *apiError) {
	property := p.take()
	if len(p.tokens) > 0 && p.tokens[0] == "(" {
		return nil, notSimulated("function %s in a metadata filter", property)
	}
	op := p.take()
	if !metaProperty.MatchString(property) || !slices.Contains([]string{"eq", "ne", "gt", "ge", "lt", "le"}, op) {
		return nil, invalidRequest("Syntax error in the filter at '%s %s'.", property, op)
	}
	literal, e := parseMetaLiteral(p.take())
	return &metaFilter{op: op, path: strings.Split(property, "/"), literal: literal}, e
}

var metaNumber = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,30})?$`)

func parseMetaLiteral(s string) (metaLiteral, *apiError) {
	switch {
	case s == "null":
		return metaLiteral{"null", ""}, nil
	case s == "true" || s == "false":
		return metaLiteral{"bool", s}, nil
	case metaNumber.MatchString(s):
		return metaLiteral{"number", s}, nil
	case schema.IsGUID(s):
		return metaLiteral{"guid", strings.ToLower(s)}, nil
	case strings.HasSuffix(s, "'"):
		prefix, quoted, _ := strings.Cut(s, "'")
		text := strings.ReplaceAll(strings.TrimSuffix(quoted, "'"), "''", "'")
		if prefix == "" {
			return metaLiteral{"string", text}, nil
		}
		if typ, ok := strings.CutPrefix(prefix, "Microsoft.Dynamics.CRM."); ok {
			return metaLiteral{typ, text}, nil
		}
	}
	return metaLiteral{}, invalidRequest("Unrecognized literal '%s' in the filter.", s)
}
