package mapping

import (
	"slices"
	"strconv"
	"strings"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// path names one place in an event.
type path struct {
	root  string
	steps []step
}

type step struct {
	name  string
	index int
	// isIndex tells a position in a list from a member of an object.
	isIndex bool
	// optional: a missing place here or further on is not an error.
	optional bool
}

// pathOf recognizes an expression that only names a place.
func pathOf(e celast.Expr) (*path, bool) {
	switch e.Kind() {
	case celast.IdentKind:
		return &path{root: e.AsIdent()}, e.AsIdent() == "item" || slices.Contains(variables[:], e.AsIdent())
	case celast.SelectKind:
		s := e.AsSelect()
		p, ok := pathOf(s.Operand())
		if !ok || s.IsTestOnly() {
			return nil, false
		}
		p.steps = append(p.steps, step{name: s.FieldName()})
		return p, true
	case celast.CallKind:
		call := e.AsCall()
		function := call.FunctionName()
		if len(call.Args()) != 2 || !slices.Contains([]string{operators.Index, operators.OptIndex, operators.OptSelect}, function) {
			return nil, false
		}
		p, ok := pathOf(call.Args()[0])
		if !ok || call.Args()[1].Kind() != celast.LiteralKind {
			return nil, false
		}
		next := step{optional: function != operators.Index}
		switch k := call.Args()[1].AsLiteral().(type) {
		case types.String:
			next.name = string(k)
		case types.Int:
			if k < 0 || k > maxDataValues {
				return nil, false
			}
			next.index, next.isIndex = int(k), true
		default:
			return nil, false
		}
		p.steps = append(p.steps, next)
		return p, true
	}
	return nil, false
}

// optional tells whether a missing place can be no error.
func (p *path) optional() bool {
	return slices.ContainsFunc(p.steps, func(s step) bool { return s.optional })
}

// find walks to the place. When it is missing, missing is the path up to the
// first step that is not there, and tolerated tells whether that is no error.
func (p *path) find(v *view) (found any, missing string, tolerated bool) {
	current, ok := v.root(p.root)
	if !ok {
		return nil, p.root, len(p.steps) > 0 && p.steps[0].optional
	}
	for i, s := range p.steps {
		tolerated = tolerated || s.optional
		ok = false
		switch c := current.(type) {
		case map[string]any:
			if !s.isIndex {
				current, ok = c[s.name]
			}
		case []any:
			if !s.isIndex {
				tolerated = false // a list in place of an object is no absence
			} else if s.index < len(c) {
				current, ok = c[s.index], true
			}
		}
		if !ok {
			return nil, (&path{p.root, p.steps[:i+1]}).String(), tolerated
		}
	}
	return current, "", false
}

// String writes the path without its optional marks.
func (p *path) String() string {
	var b strings.Builder
	b.WriteString(p.root)
	for _, s := range p.steps {
		switch {
		case s.isIndex:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case isIdentifier(s.name):
			b.WriteString("." + s.name)
		default:
			b.WriteString("[" + strconv.Quote(s.name) + "]")
		}
	}
	return b.String()
}

func isIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
