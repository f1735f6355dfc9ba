package sim

import (
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"
)

// renderer writes rows of one table as JSON. Not for use by several goroutines.
type renderer struct {
	d     *tableDef
	sel   selection
	names []string // `"name":`, one for each selected column
	cells []string
	notes *annotator // nil: no annotations but the entity tag
}

func newRenderer(d *tableDef, sel selection, notes *annotator) *renderer {
	v := &renderer{d: d, sel: sel, notes: notes, cells: make([]string, len(d.Columns))}
	for _, i := range sel.columns {
		v.names = append(v.names, jsonText(d.Columns[i].ReadName())+":")
	}
	return v
}

// row appends the members of r to b, without the braces.
func (v *renderer) row(b []byte, r *row) []byte {
	v.cells = r.unpack(v.d, v.cells)
	b = append(b, `"@odata.etag":`...)
	b = append(b, jsonText(r.etag())...)
	for n, i := range v.sel.columns {
		b = append(b, ',')
		lit := r.literal(v.d, v.cells, i)
		if v.notes != nil && lit != "null" {
			b = v.notes.annotate(b, v.d, i, v.cells[i], lit)
		}
		b = append(b, v.names[n]...)
		b = append(b, lit...)
	}
	return b
}

// deletedEntry appends the entry of a deleted record; context is a JSON text.
func deletedEntry(b []byte, context string, id string) []byte {
	b = append(b, `{"@odata.context":`...)
	b = append(b, context...)
	b = append(b, `,"id":"`...)
	b = append(b, id...)
	return append(b, `","reason":"deleted"}`...)
}

// rowColumns is a row as a map under the names of answers: numbers as
// json.Number, absent values as nil.
func rowColumns(d *tableDef, r *row) map[string]any {
	cells := r.unpack(d, nil)
	m := make(map[string]any, len(d.Columns))
	for i := range d.Columns {
		if readable(d, i) {
			m[d.Columns[i].ReadName()] = literalValue(r.literal(d, cells, i))
		}
	}
	return m
}

// literalValue is the Go value of a JSON literal.
func literalValue(lit string) any {
	switch jsontext.Value(lit).Kind() {
	case 'n':
		return nil
	case 't':
		return true
	case 'f':
		return false
	case '"':
		text, _ := textOf([]byte(lit))
		return text
	}
	return json.Number(lit)
}
