package sim

import (
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// renderer writes rows of one table as JSON. Not for use by several goroutines.
type renderer struct {
	d     *tableDef
	sel   selection
	names []string // `"name":`, one for each selected column
	cells []string // unpacked for annotations and expansions only
	spans []span
	notes *annotator // nil: no annotations but the entity tag
	// expand writes related records; nil: none.
	expand *expander
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
	if v.notes != nil || v.expand != nil {
		v.cells = r.unpack(v.d, v.cells)
	}
	v.spans = r.locate(v.d, v.spans)
	b = append(b, `"@odata.etag":"W/\"`...)
	b = strconv.AppendInt(b, r.version, 10)
	b = append(b, `\""`...)
	for n, i := range v.sel.columns {
		b = append(b, ',')
		if v.notes != nil {
			b = v.annotated(b, r, i)
		}
		b = append(b, v.names[n]...)
		b = v.value(b, r, i)
	}
	if v.expand != nil {
		b = v.expand.row(b, r, v.cells)
	}
	return b
}

// annotated appends the annotations of column i, which stand before it.
func (v *renderer) annotated(b []byte, r *row, i int) []byte {
	lit := r.literal(v.d, v.cells, i)
	if lit == "null" || v.d.isSecured(i) {
		return b
	}
	return v.notes.annotate(b, v.d, i, v.cells[i], lit)
}

// value appends the literal of column i: what row.literal returns, without the
// memory for it, and null for a secured column.
func (v *renderer) value(b []byte, r *row, i int) []byte {
	switch {
	case v.d.isSecured(i) || i == v.d.writeOnly:
		return append(b, "null"...)
	case i == v.d.id:
		return appendGUID(b, r.id)
	case i == v.d.version:
		return strconv.AppendInt(b, r.version, 10)
	}
	cell := r.cells[v.spans[i].from:v.spans[i].to]
	switch {
	case cell == "":
		return append(b, "null"...)
	case v.d.Columns[i].IsLookup():
		cell = cell[1:]
	}
	return append(b, cell...)
}

// appendGUID appends guidLiteral(id).
func appendGUID(b []byte, id uuid.UUID) []byte {
	b = append(b, '"')
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return append(b, '"')
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
