package echo

import (
	"encoding/json"
	"fmt"
	"slices"
)

// The columns that every write sets.
const (
	modifiedOn = "modifiedon"
	modifiedBy = "_modifiedby_value"
)

// Mark stands for the changes of one record that were dropped since its last event.
type Mark struct {
	Format int `json:"format"`
	// Version and Epoch are those of the last row that was dropped, Hash that of its
	// published columns.
	Version int64  `json:"version"`
	Epoch   int    `json:"epoch"`
	Hash    uint64 `json:"hash,string"`
	// Columns are those in which dropped rows differed from the last event.
	Columns []string `json:"columns,omitempty"`
}

// Row is a row that differs from the last event of its record.
type Row struct {
	Version int64
	Epoch   int
	Hash    uint64
	// Differs are the read names of the columns that differ, the version column aside.
	Differs []string
	// Value returns a column's value as it was sent, nil when the row has none.
	Value func(column string) []byte
}

// Drop decides about a row of the note's version. It returns the mark that takes the
// old one's place when the row shows nothing but own writes, else nil: then the row is
// to be published. before is nil when nothing was dropped since the last event.
func Drop(r Row, n *Note, before *Mark) *Mark {
	if n == nil || n.Version != r.Version || n.Wrote.none() {
		return nil
	}
	m := &Mark{Format: format, Version: r.Version, Epoch: r.Epoch, Hash: r.Hash}
	m.Columns = append(m.Columns, r.Differs...)
	if before != nil {
		m.Columns = append(m.Columns, before.Columns...)
	}
	slices.Sort(m.Columns)
	m.Columns = slices.DeleteFunc(slices.Compact(m.Columns), func(c string) bool { return c == modifiedOn })
	for _, column := range m.Columns {
		if !n.Wrote.holds(column, r.Value(column)) {
			return nil
		}
	}
	for column := range n.Wrote.Values {
		// modifiedby tells of the write only where it differs.
		if column != modifiedBy && !n.Wrote.holds(column, r.Value(column)) {
			return nil
		}
	}
	return m
}

// Encode is the stored form.
func (m *Mark) Encode() ([]byte, error) { return json.Marshal(m) }

// DecodeMark reads a stored mark.
func DecodeMark(data []byte) (*Mark, error) {
	m := &Mark{}
	if err := decode(data, m); err != nil {
		return nil, fmt.Errorf("mark of a dropped change: %w", err)
	}
	if m.Format != format || m.Version < 1 || m.Epoch < 1 {
		return nil, fmt.Errorf("mark of a dropped change: it is not in format %d", format)
	}
	return m, nil
}
