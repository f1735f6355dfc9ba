package mapping

import (
	"maps"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
)

// maxCodes bounds the entries of one code table.
const maxCodes = 10_000

// Codes are code tables by name: what another system's codes mean here.
type Codes map[string]*codeTable

type codeTable struct {
	entries map[string]code
	order   []string
}

// ShareCodes gives the mapping code tables beside its own, which go first.
func (s *Spec) ShareCodes(shared Codes) {
	codes := maps.Clone(shared)
	if codes == nil {
		codes = Codes{}
	}
	maps.Copy(codes, s.codes)
	s.codes = codes
}

// code is what one code stands for.
type code struct {
	place
	value value
}

// ParseCodes reads code tables that several mappings share:
//
//	{table: {code: value, ...}, ...}
//
// Codes are texts; a number is its digits. Values are constants, not expressions.
func ParseCodes(file, path string, node ast.Node) (Codes, schema.Problems) {
	p := &parser{file: file, spec: &Spec{}}
	codes := p.codes(place{file: file, field: path}, node)
	return codes, p.sorted()
}

func (p *parser) codes(at place, node ast.Node) Codes {
	codes := Codes{}
	for _, table := range p.mapping(at, node) {
		t := &codeTable{entries: map[string]code{}}
		n := p.unwrap(table.place, table.node)
		if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > maxCodes {
			p.add(table.place, "more than %d codes", maxCodes)
			continue
		}
		before := len(p.problems)
		for _, f := range p.codeFields(table.place, n) {
			if v, ok := p.constant(f.place, f.node); ok {
				t.entries[f.text] = code{f.place, v}
				t.order = append(t.order, f.text)
			}
		}
		if len(t.order) == 0 && len(p.problems) == before {
			p.add(table.place, "the code table has no codes")
		}
		codes[table.text] = t
	}
	return codes
}

// codeFields is mapping for tables, which may be longer than a mapping's own blocks.
func (p *parser) codeFields(at place, node ast.Node) []field {
	switch n := node.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		return p.fields(at.field, n)
	case *ast.MappingValueNode:
		return p.fields(at.field, &ast.MappingNode{Values: []*ast.MappingValueNode{n}})
	}
	p.add(at, "expected a mapping of codes to values, found %s", kindOf(node))
	return nil
}

// constant reads a plain YAML scalar as the value it is.
func (p *parser) constant(at place, node ast.Node) (value, bool) {
	if n := p.unwrap(at, node); n != nil {
		switch n := n.(type) {
		case *ast.StringNode:
			return value{kind: isText, text: n.Value}, true
		case *ast.LiteralNode:
			return value{kind: isText, text: n.Value.Value}, true
		}
	}
	x := p.scalar(at, node)
	if x == nil {
		return value{}, false
	}
	v, err := decodeData([]byte(x.literal))
	if err != nil {
		p.add(x.place, "expected a text, a number, true, false or null, found %s", kindOf(node))
		return value{}, false
	}
	if n, ok := v.(number); ok {
		if _, exact := n.float(); !exact {
			p.add(x.place, "the number has more digits than an expression can hold exactly")
			return value{}, false
		}
	}
	return fromData(v), true
}

// toCEL is the value as expressions see it.
func (v value) toCEL() ref.Val {
	switch v.kind {
	case isText:
		return types.String(v.text)
	case isBool:
		return types.Bool(v.flag)
	case isNumber:
		return adapter{types.DefaultTypeAdapter}.NativeToValue(number(v.text))
	}
	return types.NullValue
}

// function implements code("table", x) and code("table", x, otherwise).
func (c Codes) function(args ...ref.Val) ref.Val {
	name, _ := args[0].(types.String)
	t := c[string(name)]
	if t == nil {
		return failed("there is no code table " + string(name))
	}
	x := args[1]
	if _, leaveAlone := x.(omitted); leaveAlone {
		return x
	}
	text := ""
	switch x := x.(type) {
	case types.String:
		text = string(x)
	case types.Bool:
		text = strconv.FormatBool(bool(x))
	case types.Int:
		text = strconv.FormatInt(int64(x), 10)
	case types.Double:
		digits, ok := floatText(float64(x))
		if !ok {
			return types.WrapErr(inexact)
		}
		text = digits
	case types.Null:
		if len(args) == 3 {
			return args[2]
		}
		return x
	default:
		return failed("code() takes a text or a number as code, not " + x.Type().TypeName())
	}
	if found, ok := t.entries[text]; ok {
		return found.value.toCEL()
	}
	if len(args) == 3 {
		return args[2]
	}
	return failed("the code table " + string(name) + " has no entry for the value in the event")
}

func (c Codes) declaration() cel.EnvOption {
	return cel.Function("code",
		cel.Overload("code_table", []*cel.Type{cel.StringType, cel.DynType}, cel.DynType,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val { return c.function(a, b) })),
		cel.Overload("code_table_otherwise", []*cel.Type{cel.StringType, cel.DynType, cel.DynType}, cel.DynType,
			cel.FunctionBinding(c.function)))
}

// codeCalls checks that every code() names a table.
func (c *compiler) codeCalls(p *program) {
	codes := c.options.language.codes
	walk(p.root, func(e celast.Expr) {
		if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != "code" {
			return
		}
		at := c.inside(p.expression, p.tree, e.ID())
		name, ok := textConstant(e.AsCall().Args()[0])
		switch {
		case !ok:
			c.add(at, `the first argument of code() must be a constant: code("table", ...)`)
		case codes[name] == nil && len(codes) == 0:
			c.add(at, "there is no code table %s: write codes: {%[1]s: {code: value}}", name)
		case codes[name] == nil:
			c.add(at, "there is no code table %s%s", name, schema.Suggest(name, slices.Sorted(maps.Keys(codes))))
		}
	})
}

// codesFit checks the values of a code table that a column is written from.
func (c *compiler) codesFit(p *program, col *schema.Column) {
	if p.root == nil || p.root.Kind() != celast.CallKind || p.root.AsCall().FunctionName() != "code" {
		return
	}
	name, _ := textConstant(p.root.AsCall().Args()[0])
	t := c.options.language.codes[name]
	if t == nil {
		return
	}
	for _, text := range t.order {
		entry := t.entries[text]
		if _, problem := columnLiteral(col, entry.value); problem != "" {
			c.add(entry.place, "column %s %s%s", col.LogicalName, problem, constantHint(col, entry.value))
		}
	}
}
