package schema

import (
	"fmt"
	"slices"
	"strings"
)

// KeyParent is the record that a lookup in a key refers to, where its GUID has to be
// found first: the Web API takes nothing but a GUID there.
type KeyParent struct {
	// Reference finds the record. Its Property binds it in the body of a new record.
	Reference
	// Key is how the parent is named, and with it the lane of the write; empty where the
	// part's own Value is that.
	Key []KeyPart
}

// marker stands for the GUID until it is found. No value in a predicate has a brace,
// since texts are percent-encoded; in a filter only a quoted text can have one.
func (p *KeyParent) marker() string { return "{" + p.Query() + "}" }

// partLiteral is keyLiteral or filterLiteral of a part, or what stands for its parent.
func partLiteral(col *Column, p KeyPart, literal func(*Column, []byte) (string, error)) (string, error) {
	if p.Parent == nil {
		return literal(col, p.Value)
	}
	if !col.IsLookup() {
		return "", fmt.Errorf("%w: it is no lookup", ErrKeyValue)
	}
	return p.Parent.marker(), nil
}

// Parents are the records that have to be found before the write has an address.
func (w *Write) Parents() []*KeyParent {
	var parents []*KeyParent
	for _, p := range w.Key {
		if p.Parent != nil {
			parents = append(parents, p.Parent)
		}
	}
	return parents
}

// WithParents returns the write with the GUIDs of its Parents, in their order, where
// their queries stood. Its Key, and so its lane, stays what it is.
func (w *Write) WithParents(ids []string) *Write {
	out := *w
	if w.Search != nil {
		search := *w.Search
		out.Search = &search
	}
	for i, p := range w.Parents() {
		out.Predicate = strings.ReplaceAll(out.Predicate, p.marker(), ids[i])
		if out.Search != nil {
			out.Search.Filter = replaceUnquoted(out.Search.Filter, p.marker(), ids[i])
		}
		out.KeyMembers = p.Bind(out.KeyMembers, ids[i])
	}
	return &out
}

// replaceUnquoted replaces what stands outside of the quoted texts of a filter. A
// doubled quote within a text ends one and begins the next.
func replaceUnquoted(filter, old, now string) string {
	pieces := strings.Split(filter, "'")
	for i := 0; i < len(pieces); i += 2 {
		pieces[i] = strings.ReplaceAll(pieces[i], old, now)
	}
	return strings.Join(pieces, "'")
}

// foldParent writes what a parent is named by: its table, and the columns in an order
// that does not depend on how they were written down.
func foldParent(b *strings.Builder, p *KeyParent, fold func(string) string) {
	b.WriteByte(2)
	b.WriteString(p.Table)
	key := slices.SortedFunc(slices.Values(p.Key), func(x, y KeyPart) int { return strings.Compare(x.Column, y.Column) })
	for _, part := range key {
		b.WriteByte(3)
		b.WriteString(part.Column)
		b.WriteByte(4)
		foldValue(b, part, fold)
	}
}
