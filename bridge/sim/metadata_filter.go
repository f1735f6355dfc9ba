package sim

import (
	"cmp"
	"encoding/json"
	"math/big"
	"strings"
)

// metaFilter is a $filter over metadata: comparisons of primitive and
// enumeration properties joined by and, or and not. Functions are not simulated.
type metaFilter struct {
	op          string // and, or, not, or a comparison
	left, right *metaFilter
	path        []string
	literal     metaLiteral
}

// metaLiteral is a constant: its kind is string, number, bool, null, guid, or the
// name of an enumeration type.
type metaLiteral struct{ kind, text string }

// properties lists the properties that the filter names, without paths below them.
func (f *metaFilter) properties() []string {
	if f == nil {
		return nil
	}
	if f.path != nil {
		return f.path[:1]
	}
	return append(f.left.properties(), f.right.properties()...)
}

// matches evaluates the filter on an object. Comparing a property with a literal
// of another type is an error, as it is on the server.
func (f *metaFilter) matches(o metaObject) (bool, *apiError) {
	switch f.op {
	case "not":
		ok, e := f.left.matches(o)
		return !ok, e
	case "and", "or":
		ok, e := f.left.matches(o)
		if e != nil || ok == (f.op == "or") {
			return ok, e
		}
		return f.right.matches(o)
	}
	var value any = o
	for _, name := range f.path {
		inner, isObject := value.(metaObject)
		if !isObject {
			return false, invalidRequest("Could not find a property named '%s'.", name)
		}
		if value, isObject = inner.get(name); !isObject {
			return false, invalidRequest("Could not find a property named '%s'.", name)
		}
	}
	return f.compare(value)
}

func (f *metaFilter) compare(value any) (bool, *apiError) {
	if f.literal.kind == "null" || value == nil {
		same := f.literal.kind == "null" && value == nil
		return (f.op == "eq") == same, f.equality()
	}
	kind, text := literalOf(value)
	if kind != f.literal.kind {
		return false, invalidRequest("A binary operator with incompatible types was detected. Found operand types '%s' and '%s' for operator kind '%s'.",
			kind, f.literal.kind, f.op)
	}
	if kind != "number" {
		return (f.op == "eq") == (text == f.literal.text), f.equality()
	}
	a, okA := new(big.Rat).SetString(text)
	b, okB := new(big.Rat).SetString(f.literal.text)
	if !okA || !okB {
		return false, invalidRequest("Unrecognized '%s' literal.", f.literal.text)
	}
	return ordered(f.op, a.Cmp(b)), nil
}

// equality refuses comparisons of order for values that have none here.
func (f *metaFilter) equality() *apiError {
	if f.op == "eq" || f.op == "ne" {
		return nil
	}
	return notSimulated("operator %s on metadata other than numbers", f.op)
}

func ordered(op string, sign int) bool {
	switch op {
	case "eq":
		return sign == 0
	case "ne":
		return sign != 0
	case "gt":
		return sign > 0
	case "ge":
		return sign >= 0
	case "lt":
		return sign < 0
	default:
		return sign <= 0
	}
}

// literalOf returns the kind and text of a property's value.
func literalOf(value any) (kind, text string) {
	switch v := value.(type) {
	case string:
		return "string", v
	case metaGUID:
		return "guid", string(v)
	case metaEnum:
		return v.typ, v.value
	case metaObject:
		return "complex", ""
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return "complex", ""
	}
	switch text = string(raw); {
	case text == "true" || text == "false":
		return "bool", text
	case cmp.Compare(text, "") > 0 && strings.ContainsRune("-0123456789", rune(text[0])):
		return "number", text
	}
	return "complex", ""
}
