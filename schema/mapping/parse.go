package mapping

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"github.com/goccy/go-yaml/ast"

	"cebridge/schema"
)

// maxEntries bounds the columns, lookups or key columns of one mapping.
const maxEntries = 1024

// Fields returns the names of the fields of a route that belong to its mapping.
func Fields() []string {
	return []string{"when", "table", "operation", "key", "id", "resolve", "columns", "lookups", "on_create", "merged", "writes", "revision", "codes"}
}

type parser struct {
	collector
	file string
	env  *cel.Env
	spec *Spec
}

// Parse reads the mapping out of a route's YAML. File and path (the dotted path
// of the route) only serve problems. Fields that are not a mapping's are
// ignored; unknown names inside the mapping's own fields are problems, as are
// expressions that are not CEL. The Spec is never nil; it must not be compiled
// when there are problems.
func Parse(file, path string, node *ast.MappingNode) (*Spec, schema.Problems) {
	p := &parser{file: file, spec: &Spec{
		at:        place{file: file, field: path},
		operation: schema.OpUpsert,
		mentioned: map[string]bool{},
	}}
	s := p.spec
	env, err := newEnv(&language{})
	if err != nil {
		p.add(s.at, "build the expression environment: %v", err)
		return s, p.problems
	}
	p.env = env
	if node == nil {
		p.add(s.at, "the mapping is missing")
		return s, p.problems
	}
	p.read(path, node)
	return s, p.sorted()
}

// read reads the fields of a mapping.
func (p *parser) read(path string, node *ast.MappingNode) {
	s := p.spec
	if len(node.Values) > 0 {
		at := p.at(path, node.Values[0].Key)
		s.at.line, s.at.column = at.line, at.column
	}
	s.keyAt, s.idAt, s.opAt = s.at, s.at, s.at
	fields := p.fields(path, node)
	for _, f := range fields {
		if !p.checkField(f) {
			continue
		}
		switch f.text {
		case "when":
			s.when = p.expression(f.place, f.node)
		case "for_each":
			s.each = p.expression(f.place, f.node)
		case "writes":
			p.writes(f.place, f.node)
		case "table":
			s.table = p.word(f.place, f.node)
		case "operation":
			p.operation(f.place, f.node)
		case "key":
			s.keyAt = f.place
			s.key = p.ownKey(f.place, f.node)
			if len(s.key) == 0 && len(p.problems) == 0 {
				p.add(f.place, "the key has no columns")
			}
		case "id":
			s.idAt = f.place
			s.id = p.expression(f.place, f.node)
		case "resolve":
			s.findAt = f.place
			s.find = p.resolve(f.place, f.node)
		case "columns":
			s.columnsAt = f.place
			s.columns = p.entries(f.place, f.node)
		case "lookups":
			s.lookupsAt = f.place
			s.lookups = p.lookups(f.place, f.node)
		case "on_create":
			s.createAt = f.place
			s.onCreate = p.onCreate(f.place, f.node)
		case "merged":
			p.merged(f.place, f.node)
		case "codes":
			s.codes = p.codes(f.place, f.node)
		case "revision":
			s.revision = p.expression(f.place, f.node)
		}
	}
	p.exclusive(fields)
}

// field is one member of a YAML mapping.
type field struct {
	name
	node ast.Node
}

// fields lists the members of a mapping with their places, each name once.
func (p *parser) fields(path string, node *ast.MappingNode) []field {
	var out []field
	for _, kv := range node.Values {
		at := p.at(path, kv.Key)
		if kv.Key.IsMergeKey() {
			p.add(at, "merge keys (<<) cannot be used here")
			continue
		}
		text := kv.Key.GetToken().Value
		at.field = joinPath(path, text)
		if slices.ContainsFunc(out, func(f field) bool { return f.text == text }) {
			p.add(at, "%s is there twice", text)
			continue
		}
		out = append(out, field{name{at, text}, kv.Value})
	}
	return out
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (p *parser) at(path string, node ast.Node) place {
	at := place{file: p.file, field: path}
	if tok := node.GetToken(); tok != nil && tok.Position != nil {
		at.line, at.column = tok.Position.Line, tok.Position.Column
	}
	return at
}

// unwrap returns the node behind an anchor; nil after a problem.
func (p *parser) unwrap(at place, node ast.Node) ast.Node {
	if a, ok := node.(*ast.AnchorNode); ok {
		node = a.Value
	}
	if node == nil {
		p.add(at, "the value is missing")
		return nil
	}
	switch here := p.at(at.field, node); node.(type) {
	case *ast.AliasNode:
		p.add(here, "aliases (*name) cannot be used here: write the value out")
		return nil
	case *ast.TagNode:
		p.add(here, "tags (!name) cannot be used here")
		return nil
	}
	return node
}

// mapping reads a YAML mapping; nil after a problem or when it is empty.
func (p *parser) mapping(at place, node ast.Node) []field {
	node = p.unwrap(at, node)
	switch n := node.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if len(n.Values) > maxEntries {
			p.add(at, "more than %d entries", maxEntries)
			return nil
		}
		return p.fields(at.field, n)
	case *ast.MappingValueNode:
		return p.fields(at.field, &ast.MappingNode{Values: []*ast.MappingValueNode{n}})
	}
	p.add(at, "expected a mapping, found %s", kindOf(node))
	return nil
}

// word reads a plain name such as a table's.
func (p *parser) word(at place, node ast.Node) name {
	node = p.unwrap(at, node)
	if node == nil {
		return name{}
	}
	s, ok := node.(*ast.StringNode)
	if !ok || strings.TrimSpace(s.Value) == "" {
		p.add(at, "expected a name, found %s", kindOf(node))
		return name{}
	}
	valueAt := p.at(at.field, node)
	return name{valueAt, s.Value}
}

func (p *parser) operation(at place, node ast.Node) {
	w := p.word(at, node)
	p.spec.opAt = at
	if w.text == "" {
		return
	}
	p.spec.opAt = w.place
	all := []string{string(schema.OpUpsert), string(schema.OpCreate), string(schema.OpUpdate), string(schema.OpDelete)}
	if !slices.Contains(all, w.text) {
		p.add(w.place, "unknown operation %q: use upsert, create, update or delete%s", w.text, schema.Suggest(w.text, all))
		return
	}
	p.spec.operation = schema.Operation(w.text)
}

func (p *parser) entries(at place, node ast.Node) []entry {
	var out []entry
	for _, f := range p.mapping(at, node) {
		if x := p.expression(f.place, f.node); x != nil {
			out = append(out, entry{name: f.name, value: x})
		}
	}
	return out
}

func (p *parser) lookups(at place, node ast.Node) []lookupEntry {
	var out []lookupEntry
	for _, f := range p.mapping(at, node) {
		if l, ok := p.lookup(f); ok {
			out = append(out, l)
		}
	}
	return out
}

// ownKey reads the key of the record itself, in which a lookup can be one.
func (p *parser) ownKey(at place, node ast.Node) []entry {
	var out []entry
	for _, f := range p.mapping(at, node) {
		if !isMapping(f.node) {
			if x := p.expression(f.place, f.node); x != nil {
				out = append(out, entry{name: f.name, value: x})
			}
		} else if l, ok := p.lookup(f); ok {
			out = append(out, entry{name: f.name, lookup: &l})
		}
	}
	return out
}

// lookup reads what one lookup refers to.
func (p *parser) lookup(f field) (lookupEntry, bool) {
	l := lookupEntry{name: f.name}
	if !isMapping(f.node) {
		l.value = p.expression(f.place, f.node)
		return l, l.value != nil
	}
	targets := p.mapping(f.place, f.node)
	if len(targets) != 1 {
		p.add(f.place, "name exactly one target table; to choose between tables write an expression with ref()")
		return l, false
	}
	l.target = targets[0].name
	if find, ok := p.resolveOf(targets[0].node); ok {
		l.find = p.resolve(l.target.place, find)
		return l, len(l.find) > 0
	}
	if isMapping(targets[0].node) {
		if l.key = p.entries(l.target.place, targets[0].node); len(l.key) == 0 {
			p.add(l.target.place, "the key has no columns")
		}
		return l, len(l.key) > 0
	}
	l.id = p.expression(l.target.place, targets[0].node)
	return l, l.id != nil
}

func isMapping(node ast.Node) bool {
	if a, ok := node.(*ast.AnchorNode); ok {
		node = a.Value
	}
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

func (p *parser) onCreate(at place, node ast.Node) *block {
	b := &block{}
	for _, f := range p.mapping(at, node) {
		switch f.text {
		case "columns":
			b.columns = p.entries(f.place, f.node)
		case "lookups":
			b.lookups = p.lookups(f.place, f.node)
		default:
			p.add(f.place, "unknown field %s: on_create has columns and lookups%s", f.text, schema.Suggest(f.text, []string{"columns", "lookups"}))
		}
	}
	return b
}

// expression reads a scalar and makes sure that it is CEL.
func (p *parser) expression(at place, node ast.Node) *expression {
	x := p.scalar(at, node)
	if x == nil || x.literal != "" {
		return x
	}
	tree, problems := parseExpression(p.env, x)
	if len(problems) > 0 {
		p.problems = append(p.problems, problems...)
		return nil
	}
	mentionedTables(tree, p.spec.mentioned)
	return x
}
