package mapping

import (
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
)

// maxParts bounds the entries of writes.
const maxParts = 64

// partFields are the fields of one entry of writes.
func partFields() []string {
	fields := slices.DeleteFunc(Fields(), func(f string) bool { return f == "revision" || f == "writes" || f == "codes" })
	return append(fields, "for_each")
}

// writes reads the entries of writes, each a mapping of its own.
func (p *parser) writes(at place, node ast.Node) {
	s := p.spec
	s.writes = []*Spec{}
	node = p.unwrap(at, node)
	if node == nil {
		return
	}
	list, ok := node.(*ast.SequenceNode)
	switch {
	case !ok:
		p.add(at, "expected a list of writes, found %s", kindOf(node))
		return
	case len(list.Values) == 0:
		p.add(at, "the list has no writes")
	case len(list.Values) > maxParts:
		p.add(at, "more than %d writes", maxParts)
		return
	}
	for i, value := range list.Values {
		p.part(at, i, value)
	}
}

func (p *parser) part(at place, i int, node ast.Node) {
	path := at.field + "[" + strconv.Itoa(i) + "]"
	at = p.at(path, node)
	if node = p.unwrap(at, node); node == nil {
		return
	}
	var m *ast.MappingNode
	switch n := node.(type) {
	case *ast.MappingNode:
		m = n
	case *ast.MappingValueNode:
		m = &ast.MappingNode{Values: []*ast.MappingValueNode{n}}
	default:
		p.add(at, "expected a mapping, found %s", kindOf(node))
		return
	}
	sub := &parser{file: p.file, env: p.env, spec: &Spec{
		at: at, operation: schema.OpUpsert, mentioned: p.spec.mentioned, part: true,
	}}
	sub.read(path, m)
	p.problems = append(p.problems, sub.problems...)
	p.spec.writes = append(p.spec.writes, sub.spec)
}

// checkField reports a field that has no place where it stands.
func (p *parser) checkField(f field) bool {
	switch {
	case p.spec.part && f.text == "revision":
		p.add(f.place, "revision belongs to the route: it is that of the whole event")
	case p.spec.part && f.text == "codes":
		p.add(f.place, "codes belongs to the route: its tables are for all writes")
	case p.spec.part && f.text == "writes":
		p.add(f.place, "writes cannot be nested")
	case p.spec.part && !slices.Contains(partFields(), f.text):
		p.add(f.place, "unknown field %s%s", f.text, schema.Suggest(f.text, partFields()))
	case !p.spec.part && f.text == "for_each":
		p.add(f.place, "for_each belongs in an entry of writes")
	default:
		return true
	}
	return false
}

// exclusive reports fields that stand beside writes and would not be used.
func (p *parser) exclusive(fields []field) {
	if p.spec.writes == nil {
		return
	}
	for _, f := range fields {
		if slices.Contains(Fields(), f.text) && !slices.Contains([]string{"when", "revision", "writes", "codes"}, f.text) {
			p.add(f.place, "%s and writes exclude each other: move it into an entry of writes", f.text)
		}
	}
}
