package sim

import (
	"encoding/binary"
	"strconv"
	"strings"

	"cebridge/schema"

	"github.com/google/uuid"
)

// row is one version of one record. It never changes, except for superseded.
type row struct {
	id      uuid.UUID
	version int64
	// cells holds the columns that are not null, by ascending column index: index,
	// length, content. The primary id and the version are fields instead.
	cells string
	// superseded means that a later version or a delete took its place. Guarded
	// by the server's lock.
	superseded bool
}

// A cell is the content of one column: the JSON literal that answers carry,
// except for a lookup, which has the index of its target before the literal, as
// one byte. The empty cell is null.

// packCells is the inverse of unpack.
func packCells(d *tableDef, cells []string) string {
	var b strings.Builder
	n := 0
	for _, c := range cells {
		if c != "" {
			n += len(c) + 3
		}
	}
	b.Grow(n)
	var num [binary.MaxVarintLen64]byte
	for i, c := range cells {
		if c == "" || i == d.id || i == d.version {
			continue
		}
		b.Write(num[:binary.PutUvarint(num[:], uint64(i))])
		b.Write(num[:binary.PutUvarint(num[:], uint64(len(c)))])
		b.WriteString(c)
	}
	return b.String()
}

// unpack fills cells, which is as long as the table has columns, and returns it.
func (r *row) unpack(d *tableDef, cells []string) []string {
	if cap(cells) < len(d.Columns) {
		cells = make([]string, len(d.Columns))
	}
	cells = cells[:len(d.Columns)]
	clear(cells)
	for rest := r.cells; rest != ""; {
		index, n := uvarint(rest)
		size, m := uvarint(rest[n:])
		rest = rest[n+m:]
		if index < len(cells) {
			cells[index] = rest[:size]
		}
		rest = rest[size:]
	}
	return cells
}

// span is where a cell stands in row.cells; empty for null.
type span struct{ from, to uint32 }

// locate is unpack without pointers, which is cheaper for a page of rows.
func (r *row) locate(d *tableDef, spans []span) []span {
	if cap(spans) < len(d.Columns) {
		spans = make([]span, len(d.Columns))
	}
	spans = spans[:len(d.Columns)]
	clear(spans)
	for at := 0; at < len(r.cells); {
		index, n := uvarint(r.cells[at:])
		size, m := uvarint(r.cells[at+n:])
		at += n + m
		if index < len(spans) {
			spans[index] = span{from: uint32(at), to: uint32(at + size)}
		}
		at += size
	}
	return spans
}

// literal is the JSON literal of column i, given the row's unpacked cells.
func (r *row) literal(d *tableDef, cells []string, i int) string {
	switch {
	case i == d.id:
		return guidLiteral(r.id)
	case i == d.version:
		return strconv.FormatInt(r.version, 10)
	case cells[i] == "" || i == d.writeOnly:
		return "null"
	case d.Columns[i].IsLookup():
		return cells[i][1:]
	}
	return cells[i]
}

// etag is the row's entity tag.
func (r *row) etag() string { return `W/"` + strconv.FormatInt(r.version, 10) + `"` }

func uvarint(s string) (value, size int) {
	var shift uint
	for i := 0; i < len(s); i++ {
		value |= int(s[i]&0x7f) << shift
		if s[i] < 0x80 {
			return value, i + 1
		}
		shift += 7
	}
	return value, len(s)
}

// lookupCell is the cell of a lookup that points at id in the column's target'th table.
func lookupCell(target int, id uuid.UUID) string {
	return string(rune('0'+target)) + guidLiteral(id)
}

// lookupTarget is the inverse of lookupCell.
func lookupTarget(c *schema.Column, cell string) (table string, id uuid.UUID, ok bool) {
	if len(cell) != 39 {
		return "", uuid.UUID{}, false
	}
	target := int(cell[0] - '0')
	id, err := uuid.Parse(cell[2:38])
	if err != nil || target >= len(c.Targets) {
		return "", uuid.UUID{}, false
	}
	return c.Targets[target], id, true
}

func guidLiteral(id uuid.UUID) string { return `"` + id.String() + `"` }
