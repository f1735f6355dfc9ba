package yamltree

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Kind is what a field is read as.
type Kind uint8

// The kinds.
const (
	Text Kind = iota + 1
	SecretText
	Word // one of a closed set
	Whole
	Size
	Switch
	Length // of time
	Moment
	Texts
	Fields  // a mapping
	Foreign // another reader takes care of it
)

// Form is one way to write a field, and what came of reading it so.
type Form struct {
	Kind Kind
	// Default is what an absent field reads as, Value what was read; both in the
	// type that the method returns.
	Default, Value any
	// Low and High bound Whole, Size and Length.
	Low, High int64
	// Allowed are the texts of a Word.
	Allowed []string
}

// Entry is a field as its reader asked for it.
type Entry struct {
	Name string
	// Forms has more than one where a field has a short form too.
	Forms []Form
	// Fields are those of a mapping, in the order in which they were asked for; "*"
	// stands for any name.
	Fields []*Entry
	// Closed: names that were not asked for are faults.
	Closed bool
	// Required: it is a fault when it is absent (only Outline tells).
	Required bool
	// Node is the value in the file, nil when absent.
	Node ast.Node
}

// Field returns the field of that name, nil when nobody asked for it.
func (e *Entry) Field(name string) *Entry {
	for _, f := range e.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Trace makes the document remember what is asked for, beginning now, and returns
// where it does: the root.
func (d *Doc) Trace() *Entry {
	d.Root.entry = &Entry{}
	return d.Root.entry
}

// saw remembers a read.
func (m *Map) saw(name string, f Form) *Entry {
	if m.entry == nil {
		return nil
	}
	e := m.entry.Field(name)
	if e == nil {
		e = &Entry{Name: name}
		m.entry.Fields = append(m.entry.Fields, e)
	}
	if i := slices.IndexFunc(e.Forms, func(o Form) bool { return o.Kind == f.Kind }); i < 0 {
		e.Forms = append(e.Forms, f)
	} else {
		e.Forms[i] = f
	}
	if v := m.entries[name]; v != nil && v.Value != nil && v.Value.Type() != ast.NullType {
		e.Node = v.Value
	}
	return e
}
