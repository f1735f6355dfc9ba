package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The limits of what is read of one place of a schema. What is beyond counts as unknown.
const (
	maxSchemaDepth  = 32
	maxSchemaShapes = 32
	maxSchemaWork   = 10_000
)

// dataSchema is a JSON Schema of the data of events. Only what tells about names and
// kinds of values is read: $ref within the document, type, properties, required,
// additionalProperties, patternProperties, items, enum, const, allOf, anyOf, oneOf, and
// nullable of OpenAPI 3.0. Everything else may hold or not.
//
// Source: JSON Schema 2020-12 (core and validation) and draft 7; OpenAPI 3.0, "Schema Object".
type dataSchema struct {
	doc  any
	root any
	// work counts what was read and joined for one path; under are the references that are
	// being followed: one that leads back to itself says nothing new.
	work  int
	under map[string]bool
}

// readDataSchema reads a document; pointer names the part of it that describes the data.
func readDataSchema(raw []byte, pointer string) (*dataSchema, error) {
	doc, err := decodeData(raw)
	if err != nil {
		return nil, fmt.Errorf("%s", strings.ReplaceAll(err.Error(), "the event's data", "the schema"))
	}
	s := &dataSchema{doc: doc, under: map[string]bool{}}
	if s.root = s.at(pointer); s.root == nil {
		return nil, fmt.Errorf("the schema has no %s", pointer)
	}
	switch s.root.(type) {
	case map[string]any, bool:
		return s, nil
	}
	return nil, fmt.Errorf("a schema is an object, not %s", fromData(s.root).describe())
}

// at finds what a reference such as #/$defs/customer names; nil when there is none.
func (s *dataSchema) at(pointer string) any {
	path, ok := strings.CutPrefix(strings.TrimPrefix(pointer, "#"), "/")
	if !ok {
		if path != "" {
			return nil
		}
		return s.doc
	}
	current := s.doc
	for step := range strings.SplitSeq(path, "/") {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
		switch c := current.(type) {
		case map[string]any:
			current = c[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(c) {
				return nil
			}
			current = c[i]
		default:
			return nil
		}
	}
	return current
}

// kinds is a set of kinds of JSON values.
type kinds uint8

const (
	kindNull kinds = 1 << iota
	kindBool
	kindText
	kindNumber
	kindList
	kindObject
	kindsAll = kindNull | kindBool | kindText | kindNumber | kindList | kindObject
)

var kindsByName = map[string]kinds{
	"null": kindNull, "boolean": kindBool, "string": kindText, "number": kindNumber, "integer": kindNumber,
	"array": kindList, "object": kindObject,
}

// kindOrder are the kinds in the order in which they are named.
var kindOrder = [...]struct {
	kind  kinds
	value valueKind
}{{kindText, isText}, {kindNumber, isNumber}, {kindBool, isBool}, {kindList, isList}, {kindObject, isObject}, {kindNull, isNull}}

// shape is one way in which a value can look; a place of a schema has one or several.
type shape struct {
	kinds      kinds
	properties map[string][]any // every schema that a member must fit
	required   map[string]bool
	// open: a word of the schema allows members that are not listed, as additional
	// describes them.
	open       bool
	additional any
	items      []any
	values     []any // nil: any
}

func anything() []shape { return []shape{{kinds: kindsAll}} }

// shapes are those of a place that must fit every one of those schemas.
func (s *dataSchema) shapes(schemas ...any) []shape {
	out := s.all(schemas, 0)
	if s.work > maxSchemaWork {
		return anything()
	}
	return out
}

func (s *dataSchema) all(schemas []any, depth int) []shape {
	out := anything()
	for _, x := range schemas {
		out = s.both(out, s.of(x, depth))
	}
	return out
}

// of reads one schema.
func (s *dataSchema) of(x any, depth int) []shape {
	m, ok := x.(map[string]any)
	if !ok {
		if x == false {
			return nil
		}
		return anything()
	}
	if s.work++; depth > maxSchemaDepth || s.work > maxSchemaWork {
		return anything()
	}
	out := []shape{own(m)}
	if ref, ok := m["$ref"].(string); ok && !s.under[ref] {
		target := s.at(ref)
		if target == nil {
			return anything() // of another document
		}
		s.under[ref] = true
		out = s.both(out, s.of(target, depth+1))
		delete(s.under, ref)
	}
	if list, ok := m["allOf"].([]any); ok {
		out = s.both(out, s.all(list, depth+1))
	}
	for _, word := range []string{"anyOf", "oneOf"} {
		list, ok := m[word].([]any)
		if !ok {
			continue
		}
		var one []shape
		for _, alternative := range list {
			if one = append(one, s.of(alternative, depth+1)...); len(one) > maxSchemaShapes {
				return anything()
			}
		}
		out = s.both(out, one)
	}
	return out
}

// own reads what a schema says itself.
func own(m map[string]any) shape {
	out := shape{kinds: kindsAll}
	switch t := m["type"].(type) {
	case string:
		out.kinds = kindsByName[t]
	case []any:
		out.kinds = 0
		for _, one := range t {
			name, _ := one.(string)
			out.kinds |= kindsByName[name]
		}
	}
	if m["nullable"] == true {
		out.kinds |= kindNull
	}
	if out.kinds == 0 {
		out.kinds = kindsAll // a type that nobody knows
	}
	if list, ok := m["properties"].(map[string]any); ok {
		out.properties = make(map[string][]any, len(list))
		for name, x := range list {
			out.properties[name] = []any{x}
		}
	}
	if list, ok := m["required"].([]any); ok {
		out.required = map[string]bool{}
		for _, one := range list {
			if name, ok := one.(string); ok {
				out.required[name] = true
			}
		}
	}
	switch x := m["additionalProperties"].(type) {
	case bool:
		out.open = x
	case map[string]any:
		out.open, out.additional = true, x
	default:
		_, out.open = m["patternProperties"]
	}
	if out.properties == nil && m["additionalProperties"] == false && !out.open {
		out.properties = map[string][]any{}
	}
	if x, ok := m["items"]; ok {
		if _, tuple := x.([]any); !tuple && m["prefixItems"] == nil {
			out.items = []any{x}
		}
	}
	if list, ok := m["enum"].([]any); ok {
		out.values = list
	} else if x, ok := m["const"]; ok {
		out.values = []any{x}
	}
	if out.values != nil {
		known := kinds(0)
		for _, v := range out.values {
			known |= kindOfValue(v)
		}
		out.kinds &= known | out.kinds&kindNull
	}
	return out
}

func kindOfValue(v any) kinds {
	for _, k := range kindOrder {
		if fromData(v).kind == k.value {
			return k.kind
		}
	}
	return 0
}

// both are the shapes that fit one of each side.
func (s *dataSchema) both(a, b []shape) []shape {
	if len(a)*len(b) > maxSchemaShapes {
		return anything()
	}
	var out []shape
	for _, x := range a {
		for _, y := range b {
			if s.work += 1 + len(x.properties) + len(y.properties) + len(x.items); s.work > maxSchemaWork {
				return anything()
			}
			if m := x.and(y); m.kinds != 0 {
				out = append(out, m)
			}
		}
	}
	return out
}

func (a shape) and(b shape) shape {
	out := shape{kinds: a.kinds & b.kinds, open: a.open || b.open, additional: a.additional, items: slices.Concat(a.items, b.items), values: a.values}
	if out.additional == nil {
		out.additional = b.additional
	}
	if a.properties != nil || b.properties != nil {
		out.properties = map[string][]any{}
		for _, list := range []map[string][]any{a.properties, b.properties} {
			for name, x := range list {
				out.properties[name] = slices.Concat(out.properties[name], x)
			}
		}
	}
	if a.required != nil || b.required != nil {
		out.required = map[string]bool{}
		maps.Copy(out.required, a.required)
		maps.Copy(out.required, b.required)
	}
	if out.values == nil {
		out.values = b.values
	}
	return out
}

// member is what a schema says of one member of an object.
type member struct {
	shapes []shape
	// objects: the place can be an object. listed: some schema tells of the member.
	objects, listed bool
	// optional: an object is listed whole, with what it requires, and this is not among it.
	optional bool
	names    []string
}

// member finds the member of a place.
func (s *dataSchema) member(of []shape, name string) member {
	var out member
	names := map[string]bool{}
	for _, x := range of {
		if x.kinds&kindObject == 0 {
			continue
		}
		out.objects = true
		listed, known := x.properties[name]
		switch {
		case known:
			out.shapes = append(out.shapes, s.shapes(listed...)...)
		case x.properties == nil && x.additional == nil:
			out.shapes = append(out.shapes, anything()...)
		case x.open && x.additional != nil:
			out.shapes = append(out.shapes, s.shapes(x.additional)...)
		case x.open:
			out.shapes = append(out.shapes, anything()...)
		default:
			for n := range x.properties {
				names[n] = true
			}
			continue
		}
		out.listed = true
		out.optional = out.optional || x.required != nil && !x.required[name]
	}
	if len(out.shapes) > maxSchemaShapes {
		out.shapes = anything()
	}
	out.names = slices.Sorted(maps.Keys(names))
	return out
}

// elements are the shapes of a list's elements; false when the place is never a list.
func (s *dataSchema) elements(of []shape) ([]shape, bool) {
	var out []shape
	lists := false
	for _, x := range of {
		if x.kinds&kindList != 0 {
			lists = true
			out = append(out, s.shapes(x.items...)...)
		}
	}
	if len(out) > maxSchemaShapes {
		out = anything()
	}
	return out, lists
}

// kindsOf are the kinds that a place can have.
func kindsOf(of []shape) kinds {
	var out kinds
	for _, x := range of {
		out |= x.kinds
	}
	return out
}

// describe names kinds.
func (k kinds) describe() string {
	var words []string
	for _, one := range kindOrder {
		if k&one.kind != 0 {
			words = append(words, value{kind: one.value}.describe())
		}
	}
	return strings.Join(words, " or ")
}
