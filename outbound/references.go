package outbound

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cebridge/schema"
)

// Reference is one lookup that data.references tells about.
type Reference struct {
	// Column is the lookup's logical name; it must be among the query's columns.
	Column string
	// Keys lists what to state of the record that it points at, by table. A table of
	// the lookup that is not there is named without keys.
	Keys []ReferenceKey
}

// ReferenceKey is what to state of the records of one table.
type ReferenceKey struct {
	Table   *schema.Table
	Columns []string
}

func (r Reference) validate(q Query) error {
	c := q.Table.Column(r.Column)
	switch {
	case c == nil || !c.IsLookup():
		return fmt.Errorf("references: table %s has no lookup %s", q.Table.LogicalName, r.Column)
	case !slices.Contains(q.Columns, r.Column):
		return fmt.Errorf("references: lookup %s is not among the columns of table %s", r.Column, q.Table.LogicalName)
	}
	for _, k := range r.Keys {
		if k.Table == nil || len(k.Columns) == 0 {
			return fmt.Errorf("references: lookup %s: a table and its columns are needed", r.Column)
		}
	}
	return nil
}

// target is the record that one lookup of one row points at.
type target struct{ table, id string }

// refer adds to the rows about to be published what their lookups point at. The rows
// of a tracked query cannot tell: it bears no annotations. Which table a lookup of
// several tables points at is read from the record as it is now, and used only if the
// lookup still has the value that the row shows; the keys are read from the records
// that the rows themselves point at. So a reference never contradicts its row: what
// cannot be told is left out.
func (w *Worker) refer(ctx context.Context, p *plan) error {
	if len(w.cfg.References) == 0 {
		return nil
	}
	rows := make([]*planned, 0, len(p.events))
	for i := range p.events {
		if p.events[i].row != nil {
			rows = append(rows, &p.events[i])
		}
	}
	for part := range slices.Chunk(rows, MaxFind) {
		if err := w.referPart(ctx, part); err != nil {
			return fmt.Errorf("read what the lookups of table %s point at: %w", w.table, err)
		}
	}
	return nil
}

func (w *Worker) referPart(ctx context.Context, rows []*planned) error {
	targets := make([][]target, len(rows))
	var open []int // rows with a lookup whose table must be asked for
	for i, e := range rows {
		list, err := w.pointsAt(e)
		if err != nil {
			return err
		}
		targets[i] = list
		if slices.ContainsFunc(list, func(t target) bool { return t.id != "" && t.table == "" }) {
			open = append(open, i)
		}
	}
	if err := w.findTables(ctx, rows, targets, open); err != nil {
		return err
	}
	keys, err := w.findKeys(ctx, targets)
	if err != nil {
		return err
	}
	for i, e := range rows {
		e.references = w.references(targets[i], keys)
	}
	return nil
}

// pointsAt reads the ids out of a row, in the order of the configured references. The
// table is known where the lookup has one only.
func (w *Worker) pointsAt(e *planned) ([]target, error) {
	list, err := members(e.row.JSON)
	if err != nil {
		return nil, fmt.Errorf("%w: record %s: %w", errBadPage, e.id, err)
	}
	targets := make([]target, len(w.cfg.References))
	for i, r := range w.cfg.References {
		column := w.cfg.Query.Table.Column(r.Column)
		id := strings.ToLower(strings.Trim(string(find(list, 0, []byte(column.ReadName()))), `"`))
		if !plainID(id) {
			continue // null
		}
		targets[i].id = id
		if len(column.Targets) == 1 {
			targets[i].table = column.Targets[0]
		}
	}
	return targets, nil
}

// findTables asks the records themselves which tables their lookups point at.
func (w *Worker) findTables(ctx context.Context, rows []*planned, targets [][]target, open []int) error {
	if len(open) == 0 {
		return nil
	}
	q := Query{Table: w.cfg.Query.Table}
	for _, r := range w.cfg.References {
		if len(q.Table.Column(r.Column).Targets) != 1 {
			q.Columns = append(q.Columns, r.Column)
		}
	}
	ids := make([]string, len(open))
	for n, i := range open {
		ids[n] = rows[i].id
	}
	found, err := w.finder.Find(ctx, q, ids)
	if err != nil {
		return err
	}
	for _, i := range open {
		f := found[rows[i].id]
		for n, r := range w.cfg.References {
			t := &targets[i][n]
			if t.table == "" && t.id != "" && strings.EqualFold(strings.Trim(string(f.Columns[r.Column]), `"`), t.id) {
				t.table = f.Tables[r.Column]
			}
		}
	}
	return nil
}

// findKeys reads the key columns of all targets, each record once. A record that is
// not there, or that the bridge's user must not see, has no entry.
func (w *Worker) findKeys(ctx context.Context, targets [][]target) (map[target]Found, error) {
	ids := map[string][]string{}
	queries := map[string]*Query{}
	seen := map[target]bool{}
	for n, r := range w.cfg.References {
		for _, k := range r.Keys {
			name := k.Table.LogicalName
			if queries[name] == nil {
				queries[name] = &Query{Table: k.Table}
			}
			for _, c := range k.Columns {
				if q := queries[name]; !slices.Contains(q.Columns, c) {
					q.Columns = append(q.Columns, c)
				}
			}
			for i := range targets {
				if t := targets[i][n]; t.table == name && !seen[t] {
					seen[t] = true
					ids[name] = append(ids[name], t.id)
				}
			}
		}
	}
	keys := make(map[target]Found, len(seen))
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		for part := range slices.Chunk(ids[name], MaxFind) {
			found, err := w.finder.Find(ctx, *queries[name], part)
			if err != nil {
				return nil, err
			}
			for id, f := range found {
				keys[target{name, id}] = f
			}
		}
	}
	return keys, nil
}

// references renders data.references of one row; nil when there is nothing to tell.
func (w *Worker) references(targets []target, keys map[target]Found) []byte {
	var list []member
	for n, r := range w.cfg.References {
		t := targets[n]
		if t.table == "" {
			continue
		}
		of := []member{{[]byte("table"), quoted(t.table)}, {[]byte("id"), quoted(t.id)}}
		for _, k := range r.Keys {
			f, ok := keys[t]
			if k.Table.LogicalName != t.table || !ok {
				continue
			}
			var key []member
			for _, c := range k.Columns {
				value := f.Columns[c]
				if value == nil {
					value = []byte("null")
				}
				key = append(key, member{[]byte(c), value})
			}
			of = append(of, member{[]byte("key"), object(key)})
		}
		list = append(list, member{[]byte(r.Column), object(of)})
	}
	return object(list)
}

// quoted is a text as JSON.
func quoted(s string) []byte {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil { // not UTF-8: mended, as encoding/json does
		b, _ = json.Marshal(s)
	}
	return b
}
