package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"cebridge/schema"

	"github.com/google/uuid"
)

// loader rebuilds a server's records from its data file.
type loader struct {
	catalog *catalogState
	ceiling int64
	changes int
}

// load reads the data file of the store into the server, adds the tables of the
// options that the file does not have, and compacts the file when most of it is
// history. found tells whether there were records. A table that the file has is
// as the file says: columns and keys may have been changed since it began.
func (s *Server) load(tables []*schema.Table) (found bool, err error) {
	l := &loader{catalog: &catalogState{byName: map[string]*table{}, bySet: map[string]*table{}}}
	whole, err := l.read(s.store.file)
	if err != nil {
		return false, fmt.Errorf("simulator: data file in %s: %w", s.store.dir, err)
	}
	if err := s.store.file.Truncate(whole); err != nil {
		return false, fmt.Errorf("simulator: data file in %s: %w", s.store.dir, err)
	}
	s.store.size = whole
	fresh := []*schema.Table{}
	for _, t := range tables {
		if l.catalog.byName[t.LogicalName] == nil {
			fresh = append(fresh, t)
		}
	}
	added, err := newCatalog(fresh)
	if err != nil {
		return false, err
	}
	for _, t := range added.tables {
		if err := l.addTable(t); err != nil {
			return false, err
		}
	}
	live, err := l.finish(s.opts.Assumptions.CaseSensitiveKeys)
	if err != nil {
		return false, fmt.Errorf("simulator: data file in %s: %w", s.store.dir, err)
	}
	s.catalogPtr.Store(l.catalog)
	s.version = max(s.version, l.ceiling)
	s.store.ceiling = l.ceiling
	if whole > 0 && (len(added.tables) > 0 || l.changes > 2*live+1000) {
		err = s.rewrite()
	}
	return whole > 0, err
}

// rewrite replaces the data file by a snapshot. It needs the lock, or a server
// that nothing else uses yet.
func (s *Server) rewrite() error {
	ceiling := s.version + versionStep
	if err := s.store.replace(func(w io.Writer) error { return s.writeData(w, ceiling) }); err != nil {
		return err
	}
	s.store.ceiling = ceiling
	return nil
}

// read applies every whole line and returns where the last one ends.
func (l *loader) read(f io.Reader) (whole int64, err error) {
	in := bufio.NewReaderSize(f, 1<<20)
	for number := 1; ; number++ {
		line, err := readDataLine(in)
		switch {
		case errors.Is(err, io.EOF):
			return whole, nil // without its line end: it was never answered
		case err != nil:
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		if err := l.apply(number, line); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		whole += int64(len(line))
	}
}

// readDataLine reads up to and with a line end.
func readDataLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if line == nil && err == nil {
			return part, nil
		}
		line = append(line, part...)
		switch {
		case len(line) > maxDataLine:
			return nil, errors.New("too long")
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return line, err //nolint:wrapcheck // read adds the line
		}
	}
}

func (l *loader) apply(number int, raw []byte) error {
	var line dataLine
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&line); err != nil {
		return fmt.Errorf("not a line of a data file: %w", err)
	}
	if number == 1 {
		if line.Format != dataFormat || line.FormatVersion != dataFormatVersion {
			return fmt.Errorf("format %q, version %d: this simulator reads %q, version %d", line.Format, line.FormatVersion, dataFormat, dataFormatVersion)
		}
		return nil
	}
	switch {
	case line.Ceiling != nil:
		l.ceiling = *line.Ceiling
	case line.Schema != nil:
		return l.schema(line.Schema, line.Void)
	}
	for i := range line.Do {
		if err := l.change(&line.Do[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) schema(st *schema.Table, void int64) error {
	def, err := compileTable(st)
	if err != nil {
		return err
	}
	t := l.catalog.byName[st.LogicalName]
	if t == nil {
		t = newTable(def)
		if err := l.addTable(t); err != nil {
			return err
		}
	}
	t.def.Store(def)
	t.voidBelow = void
	return nil
}

func (l *loader) addTable(t *table) error {
	d := t.def.Load()
	if l.catalog.byName[d.LogicalName] != nil || l.catalog.bySet[d.EntitySet] != nil {
		return fmt.Errorf("table %s (%s) is there twice", d.LogicalName, d.EntitySet)
	}
	l.catalog.byName[d.LogicalName], l.catalog.bySet[d.EntitySet] = t, t
	l.catalog.tables = append(l.catalog.tables, t)
	return nil
}

func (l *loader) change(c *dataChange) error {
	t := l.catalog.byName[c.Table]
	if t == nil {
		return fmt.Errorf("no table %s", c.Table)
	}
	l.changes++
	if c.Deleted {
		delete(t.rows, c.ID)
		t.deletes = append(t.deletes, deletion{version: c.Version, id: c.ID})
		return nil
	}
	d := t.def.Load()
	cells, err := parseColumns(d, c.Columns)
	if err != nil {
		return fmt.Errorf("record %s: %w", c.ID, err)
	}
	t.rows[c.ID] = &row{id: c.ID, version: c.Version, cells: packCells(d, cells)}
	return nil
}

// finish builds what is derived from the records, and counts them with the deletes.
func (l *loader) finish(exact bool) (live int, err error) {
	for _, t := range l.catalog.tables {
		d := t.def.Load()
		l.catalog.list = append(l.catalog.list, d.public())
		t.changes = make([]*row, 0, len(t.rows))
		ids := make([]uuid.UUID, 0, len(t.rows))
		for id, r := range t.rows {
			t.changes, ids = append(t.changes, r), append(ids, id)
		}
		slices.SortFunc(t.changes, func(a, b *row) int { return int(a.version - b.version) })
		slices.SortFunc(t.deletes, func(a, b deletion) int { return int(a.version - b.version) })
		t.order.reset(ids)
		if t.keys, err = t.buildKeys(d, exact); err != nil {
			return 0, err
		}
		live += len(t.rows) + len(t.deletes)
	}
	return live, nil
}
