package sim

import (
	"math/big"
	"strconv"
	"strings"

	"cebridge/schema"

	"github.com/google/uuid"
)

const (
	// maxConditions is the server's limit of conditions in a query.
	maxConditions = 500
	// maxFilterDepth bounds the nesting of parentheses and nots.
	maxFilterDepth = 64
)

// filterParser is a recursive descent over
//
//	or      = and { "or" and }
//	and     = unary { "and" unary }
//	unary   = "not" unary | "(" or ")" | function | comparison
//	function   = name "(" column "," text ")"
//	comparison = column operator literal
type filterParser struct {
	d          *tableDef
	tokens     []filterToken
	depth      int
	conditions int
}

// parseFilter parses a decoded $filter. What OData has and this grammar lacks is
// refused, never ignored. A literal may be the name of a parameter alias (@p) of
// the request. Source: developer guide, "Filter rows", parameter aliases.
func parseFilter(d *tableDef, text string, aliases params) (expr, *apiError) {
	tokens, ok := lexFilter(text)
	if !ok {
		return nil, filterSyntax(text)
	}
	for i, t := range tokens {
		if !strings.HasPrefix(string(t), "@") {
			continue
		}
		value, given := aliases.get(string(t))
		literal, ok := lexFilter(value)
		if !given || !ok || len(literal) != 1 || strings.HasPrefix(value, "@") {
			return nil, invalidRequest("The parameter alias '%s' has no value that can be used.", shorten(string(t)))
		}
		tokens[i] = literal[0]
	}
	p := &filterParser{d: d, tokens: tokens}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if len(p.tokens) > 0 {
		return nil, filterSyntax(string(p.tokens[0]))
	}
	return e, nil
}

func filterSyntax(near string) *apiError {
	return invalidRequest("Syntax error in $filter near '%s'.", shorten(near))
}

func (p *filterParser) peek() filterToken {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *filterParser) next() filterToken {
	t := p.peek()
	if len(p.tokens) > 0 {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *filterParser) or() (expr, *apiError) {
	return p.chain("or", p.and, func(terms []expr) expr { return orExpr(terms) })
}

func (p *filterParser) and() (expr, *apiError) {
	return p.chain("and", p.unary, func(terms []expr) expr { return andExpr(terms) })
}

func (p *filterParser) chain(word filterToken, term func() (expr, *apiError), join func([]expr) expr) (expr, *apiError) {
	first, err := term()
	if err != nil {
		return nil, err
	}
	terms := []expr{first}
	for p.peek() == word {
		p.next()
		e, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, e)
	}
	if len(terms) == 1 {
		return first, nil
	}
	return join(terms), nil
}

func (p *filterParser) unary() (expr, *apiError) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxFilterDepth {
		return nil, invalidRequest("The $filter is nested too deeply.")
	}
	switch t := p.next(); {
	case t == "not":
		e, err := p.unary()
		if err != nil {
			return nil, err
		}
		return notExpr{e}, nil
	case t == "(":
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		if p.next() != ")" {
			return nil, filterSyntax("(")
		}
		return e, nil
	case t == "" || t == ")" || t == "," || t.quoted():
		return nil, filterSyntax(string(t))
	case p.peek() == "(":
		return p.function(string(t))
	default:
		return p.comparison(string(t))
	}
}

func (p *filterParser) count() *apiError {
	if p.conditions++; p.conditions > maxConditions {
		return invalidRequest("Number of conditions in query exceeded maximum limit.")
	}
	return nil
}

func (p *filterParser) function(name string) (expr, *apiError) {
	switch name {
	case "contains", "startswith", "endswith":
	default:
		return nil, notSimulated("the function %s in $filter.", shorten(name))
	}
	if err := p.count(); err != nil {
		return nil, err
	}
	p.next() // (
	column, err := p.column(string(p.next()))
	if err != nil {
		return nil, err
	}
	if t := p.d.Columns[column].Type; t != schema.TypeString && t != schema.TypeMemo {
		return nil, invalidRequest("No function signature for the function with name '%s' matches the specified arguments.", name)
	}
	comma, text, closing := p.next(), p.next(), p.next()
	content, ok := unquoteLiteral(string(text))
	if comma != "," || !ok || closing != ")" {
		return nil, filterSyntax(name)
	}
	return &textExpr{column: column, function: name, text: strings.ToLower(content)}, nil
}

func (p *filterParser) column(name string) (int, *apiError) {
	i, ok := p.d.byRead[name]
	if !ok && strings.Contains(name, "/") {
		return 0, notSimulated("a column of a related table in $filter.")
	}
	if !ok {
		return 0, noProperty(p.d, name)
	}
	if !readable(p.d, i) || p.d.Columns[i].Type == schema.TypeMultiSelect {
		return 0, notSimulated("column %s in $filter.", name)
	}
	return i, nil
}

func (p *filterParser) comparison(name string) (expr, *apiError) {
	if err := p.count(); err != nil {
		return nil, err
	}
	column, err := p.column(name)
	if err != nil {
		return nil, err
	}
	op, literal := string(p.next()), p.next()
	switch op {
	case "eq", "ne", "gt", "ge", "lt", "le":
	case "in", "has", "add", "sub", "mul", "div", "mod":
		return nil, notSimulated("the operator %s in $filter.", op)
	default:
		return nil, filterSyntax(name)
	}
	if literal == "" || literal == "(" || literal == ")" || literal == "," {
		return nil, filterSyntax(name)
	}
	if literal == "null" {
		if op != "eq" && op != "ne" {
			return nil, filterSyntax("null")
		}
		return &nullExpr{column: column, want: op == "eq"}, nil
	}
	c := &compareExpr{column: column, op: op}
	if !c.setLiteral(&p.d.Columns[column], literal) {
		return nil, invalidRequest("A binary operator with incompatible types was detected: '%s' cannot be compared with %s.", name, shorten(string(literal)))
	}
	return c, nil
}

// setLiteral reads the literal as a value of the column's type.
func (e *compareExpr) setLiteral(c *schema.Column, t filterToken) bool {
	ordered := e.op != "eq" && e.op != "ne"
	content, quoted := unquoteLiteral(string(t))
	switch c.Type {
	case schema.TypeString, schema.TypeMemo, schema.TypeEntityName:
		e.kind, e.text = compareText, foldText(content)
		return quoted
	case schema.TypeInteger, schema.TypeBigInt, schema.TypePicklist, schema.TypeState, schema.TypeStatus:
		n, err := strconv.ParseInt(string(t), 10, 64)
		e.kind, e.integer = compareInteger, n
		return err == nil
	case schema.TypeDecimal, schema.TypeMoney, schema.TypeDouble:
		if !decimalText.MatchString(string(t)) {
			return false
		}
		e.kind, e.number = compareNumber, new(big.Rat)
		_, ok := e.number.SetString(string(t))
		return ok
	case schema.TypeBoolean:
		e.kind, e.text = compareExact, string(t)
		return (t == "true" || t == "false") && !ordered
	case schema.TypeDateTime:
		date, err := encodeDate(c, []byte(jsonText(string(t))))
		e.kind, e.text = compareExact, date
		return err == nil && !quoted
	}
	if !schema.IsGUID(string(t)) || ordered {
		return false
	}
	e.kind, e.text = compareExact, guidLiteral(uuid.MustParse(string(t)))
	return true
}
