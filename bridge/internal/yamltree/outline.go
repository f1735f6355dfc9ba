package yamltree

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// pretence makes a document answer as if every field were there, so that a reader
// asks for all that it knows. Values still read as absent.
type pretence struct {
	// short is the path that is pretended to be a text and a list.
	short string
	// forks are the paths of which the reader wanted to know their form.
	forks []string
}

func (d *Doc) pretends() bool { return d.pretence != nil }

// asIf answers a question about the form of a field.
func (d *Doc) asIf(path string) bool {
	if !slices.Contains(d.pretence.forks, path) {
		d.pretence.forks = append(d.pretence.forks, path)
	}
	return d.pretence.short == path
}

// Outline finds out which fields a reader knows, by letting it read a document that
// seems to have all of them. Where the reader goes by the values that it read, only
// what it asks for with every field at its default is found. A field is taken for
// required when the reader notes a text about it that begins with "required" although
// all that surrounds it is there.
func Outline(read func(*Doc)) *Entry {
	root := &Entry{}
	paths := []string{""}
	for i := 0; i < len(paths); i++ {
		d := &Doc{fromOutside: map[ast.Node]bool{}, refused: map[ast.Node]bool{}, pretence: &pretence{short: paths[i]}}
		d.Root = d.newMap("", &ast.MappingNode{})
		found := d.Trace()
		read(d)
		root.merge(found)
		if i == 0 {
			root.require(d)
		}
		for _, fork := range d.pretence.forks {
			if !slices.Contains(paths, fork) {
				paths = append(paths, fork)
			}
		}
	}
	// What is required of an empty file is so always; a reader asks for such parts
	// only whether they are there.
	empty := Parse("", []byte("{}"), Environment{})
	read(empty)
	root.require(empty)
	return root
}

func (e *Entry) merge(other *Entry) {
	e.Closed = e.Closed || other.Closed
	for _, f := range other.Forms {
		if !slices.ContainsFunc(e.Forms, func(o Form) bool { return o.Kind == f.Kind }) {
			e.Forms = append(e.Forms, f)
		}
	}
	for _, f := range other.Fields {
		mine := e.Field(f.Name)
		if mine == nil {
			mine = &Entry{Name: f.Name}
			e.Fields = append(e.Fields, mine)
		}
		mine.merge(f)
	}
}

func (e *Entry) require(d *Doc) {
	for _, p := range d.problems {
		if !strings.HasPrefix(p.Text, "required") {
			continue
		}
		at := e
		for name := range strings.SplitSeq(p.Field, ".") {
			if at = at.Field(name); at == nil {
				break
			}
		}
		if at != nil {
			at.Required = true
		}
	}
}
