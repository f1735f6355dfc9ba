package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"cebridge/schema"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// A data file is JSON, one object a line:
//
//	{"format":"simulator data","formatVersion":1}    the first line
//	{"ceiling":N}                  versions up to N are given out; the last one counts
//	{"schema":TABLE,"void":N}      a table's definition; tokens up to N are void
//	{"do":[CHANGE,...]}            a transaction
//
// where CHANGE is {"table","id","version","columns":{...}}, the whole record with
// lookups as "TABLE/GUID", or {"table","id","version","deleted":true}.
type dataLine struct {
	Format        string        `json:"format"`
	FormatVersion int           `json:"formatVersion"`
	Ceiling       *int64        `json:"ceiling"`
	Schema        *schema.Table `json:"schema"`
	Void          int64         `json:"void"`
	Do            []dataChange  `json:"do"`
}

type dataChange struct {
	Table   string         `json:"table"`
	ID      uuid.UUID      `json:"id"`
	Version int64          `json:"version"`
	Deleted bool           `json:"deleted"`
	Columns jsontext.Value `json:"columns"`
}

const (
	dataFormat        = "simulator data"
	dataFormatVersion = 1
)

func headerLine() []byte {
	return fmt.Appendf(nil, "{\"format\":%q,\"formatVersion\":%d}\n", dataFormat, dataFormatVersion)
}

func ceilingLine(version int64) []byte { return fmt.Appendf(nil, "{\"ceiling\":%d}\n", version) }

// schemaLine writes a table's definition, dropped columns included: they hold
// the places of those behind them.
func schemaLine(d *tableDef, void int64) []byte {
	b := append([]byte(`{"schema":`), marshal(d.Table)...)
	b = append(b, `,"void":`...)
	b = strconv.AppendInt(b, void, 10)
	return append(b, "}\n"...)
}

// appendChange appends one CHANGE; r is nil for a delete.
func appendChange(b []byte, d *tableDef, id uuid.UUID, version int64, r *row) []byte {
	b = append(b, `{"table":"`...)
	b = append(b, d.LogicalName...)
	b = append(b, `","id":`...)
	b = append(b, guidLiteral(id)...)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, version, 10)
	if r == nil {
		return append(b, `,"deleted":true}`...)
	}
	b = append(b, `,"columns":{`...)
	first := true
	for i, cell := range r.unpack(d, nil) {
		c := &d.Columns[i]
		if cell == "" || c.Type == typeDropped {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, c.LogicalName...)
		b = append(b, `":`...)
		if target, to, ok := lookupTarget(c, cell); c.IsLookup() && ok {
			b = append(b, '"')
			b = append(b, target...)
			b = append(b, '/')
			b = append(b, to.String()...)
			b = append(b, '"')
			continue
		}
		b = append(b, cell...)
	}
	return append(b, "}}"...)
}

// parseColumns is the inverse of what appendChange writes for the columns.
func parseColumns(d *tableDef, raw jsontext.Value) (cells []string, err error) {
	cells = make([]string, len(d.Columns))
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return nil, errors.New("the columns are no object")
	}
	for {
		tok, err := dec.ReadToken()
		if err != nil || tok.Kind() == '}' {
			return cells, err
		}
		name := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		i := d.column(name)
		if i < 0 {
			return nil, fmt.Errorf("table %s has no column %s", d.LogicalName, name)
		}
		cells[i] = string(value)
		if !d.Columns[i].IsLookup() {
			continue
		}
		text, _ := textOf(value)
		target, id, _ := strings.Cut(text, "/")
		t := slices.Index(d.Columns[i].Targets, target)
		to, err := uuid.Parse(id)
		if t < 0 || err != nil {
			return nil, fmt.Errorf("column %s: %q is no reference", name, shorten(text))
		}
		cells[i] = lookupCell(t, to)
	}
}

// writeData writes a snapshot of everything as a data file. It needs the lock,
// or a server that nothing else uses yet.
func (s *Server) writeData(w io.Writer, ceiling int64) error {
	b := append(headerLine(), ceilingLine(ceiling)...)
	flush := func(limit int) error {
		if len(b) <= limit {
			return nil
		}
		_, err := w.Write(b)
		b = b[:0]
		return err //nolint:wrapcheck // replace names the file
	}
	const chunk = 1 << 20
	for _, t := range s.tables() {
		b = append(b, schemaLine(t.def.Load(), t.voidBelow)...)
	}
	for _, t := range s.tables() {
		d := t.def.Load()
		change := func(id uuid.UUID, version int64, r *row) error {
			b = append(b, `{"do":[`...)
			b = appendChange(b, d, id, version, r)
			b = append(b, "]}\n"...)
			return flush(chunk)
		}
		for _, del := range t.deletes {
			if err := change(del.id, del.version, nil); err != nil {
				return err
			}
		}
		for _, r := range t.changes {
			if r.superseded {
				continue
			}
			if err := change(r.id, r.version, r); err != nil {
				return err
			}
		}
	}
	return flush(0)
}
