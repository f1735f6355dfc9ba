package yamltree

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"cebridge/schema"
)

// Bounds of a file.
const (
	MaxBytes = 1 << 20
	MaxDepth = 32
)

// Doc is one file being read. It collects the problems of all its maps.
type Doc struct {
	File     string
	Root     *Map
	problems schema.Problems
	// fromOutside holds the scalar nodes whose whole text came from the
	// environment or a file.
	fromOutside map[ast.Node]bool
	// refused holds the nodes that are not accepted as such: whoever reads them
	// has nothing to add.
	refused map[ast.Node]bool
	// pretence is set while an outline is made.
	pretence *pretence
}

// Problems returns every problem noted so far, in the order of the file.
func (d *Doc) Problems() schema.Problems {
	sort.SliceStable(d.problems, func(i, j int) bool {
		a, b := d.problems[i], d.problems[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return d.problems
}

// Add takes over problems found by another reader of the same file.
func (d *Doc) Add(ps ...schema.Problem) { d.problems = append(d.problems, ps...) }

func (d *Doc) note(n ast.Node, field, format string, args ...any) {
	if d.refused[n] {
		return
	}
	p := schema.Problem{File: d.File, Field: field, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			p.Line, p.Column = tk.Position.Line, tk.Position.Column
		}
	}
	d.problems = append(d.problems, p)
}

// Map is one mapping of the file. A Map of an absent field reads as empty.
type Map struct {
	doc     *Doc
	path    string
	node    *ast.MappingNode
	entries map[string]*ast.MappingValueNode
	order   []string
	asked   map[string]bool
	// entry remembers what is asked for, nil when nobody wants to know.
	entry *Entry
}

// Environment supplies what ${...} refers to.
type Environment struct {
	Lookup   func(name string) (string, bool)
	ReadFile func(path string) ([]byte, error)
}

// Parse reads data, the content of file. When the text is not YAML at all, Root
// is an empty map and Problems says why.
func Parse(file string, data []byte, env Environment) *Doc {
	d := &Doc{File: file, fromOutside: map[ast.Node]bool{}, refused: map[ast.Node]bool{}}
	d.Root = d.newMap("", nil)
	if len(data) > MaxBytes {
		d.note(nil, "", "the file has %d bytes; at most %d are read", len(data), MaxBytes)
		return d
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.noteSyntax(err)
		return d
	}
	var bodies []ast.Node
	for _, doc := range f.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		d.note(nil, "", "the file is empty")
		return d
	case len(bodies) > 1:
		d.note(bodies[1], "", "a second document begins here; the file must hold one")
		return d
	}
	root, ok := bodies[0].(*ast.MappingNode)
	if !ok {
		d.note(bodies[0], "", "the file must hold a mapping (name: value), not %s", describe(bodies[0]))
		return d
	}
	if d.check(root, "", 1) {
		d.expand(root, "", env)
	}
	d.Root = d.newMap("", root)
	return d
}

func (d *Doc) noteSyntax(err error) {
	p := schema.Problem{File: d.File, Text: err.Error()}
	var se yaml.Error
	if errors.As(err, &se) {
		p.Text = se.GetMessage()
		if tk := se.GetToken(); tk != nil && tk.Position != nil {
			p.Line, p.Column = tk.Position.Line, tk.Position.Column
		}
	}
	p.Text = "not valid YAML: " + strings.TrimSpace(p.Text)
	d.problems = append(d.problems, p)
}

// check refuses what could multiply or nest without end.
func (d *Doc) check(n ast.Node, path string, depth int) bool {
	if depth > MaxDepth {
		d.note(n, path, "nested deeper than %d levels", MaxDepth)
		return false
	}
	ok := true
	switch v := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode:
		d.note(n, path, "anchors and aliases are not accepted; write the value out")
		d.refused[n] = true
		return false
	case *ast.TagNode:
		d.note(n, path, "tags are not accepted")
		d.refused[n] = true
		return false
	case *ast.MappingNode:
		for _, e := range v.Values {
			if e.Key.IsMergeKey() {
				d.note(e, path, "merge keys are not accepted; write the values out")
				ok = false
				continue
			}
			ok = d.check(e.Value, join(path, keyText(e.Key)), depth+1) && ok
		}
	case *ast.SequenceNode:
		for i, e := range v.Values {
			ok = d.check(e, fmt.Sprintf("%s[%d]", path, i), depth+1) && ok
		}
	}
	return ok
}

func (d *Doc) newMap(path string, n *ast.MappingNode) *Map {
	m := &Map{doc: d, path: path, node: n, entries: map[string]*ast.MappingValueNode{}, asked: map[string]bool{}}
	if n == nil {
		return m
	}
	if d.pretends() {
		m.order = []string{"*"}
	}
	for _, e := range n.Values {
		k := keyText(e.Key)
		if _, twice := m.entries[k]; twice {
			d.note(e.Key, join(path, k), "the name stands twice; keep one")
			continue
		}
		m.entries[k] = e
		m.order = append(m.order, k)
	}
	return m
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	if tk := k.GetToken(); tk != nil {
		return tk.Value
	}
	return k.String()
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	}
	return "a text"
}

// scalar returns the text of a scalar node as it was written.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, true
	}
	return "", false
}

func isQuoted(n ast.Node) bool {
	t := n.GetToken().Type
	return t == token.SingleQuoteType || t == token.DoubleQuoteType
}
