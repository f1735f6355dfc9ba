package sim

import (
	"context"
	"encoding/json"
	"fmt"

	"cebridge/schema"

	"github.com/google/uuid"
)

// Insert creates a record as a POST would: the columns are the members of a
// request body, binds included ("primarycontactid@odata.bind"). It returns the
// id. Errors are the server's own refusals.
func (s *Server) Insert(table string, row map[string]any) (id string, err error) {
	t, err := s.table(table)
	if err != nil {
		return "", err
	}
	res, err := s.direct(t, nil, row, false)
	if err != nil {
		return "", fmt.Errorf("simulator: insert into %s: %w", table, err)
	}
	return res.row.id.String(), nil
}

// Update changes columns of an existing record, as a PATCH with If-Match: * would.
func (s *Server) Update(table, id string, cols map[string]any) error {
	return s.directByID("update", table, id, cols, false)
}

// Delete deletes a record.
func (s *Server) Delete(table, id string) error {
	return s.directByID("delete", table, id, nil, true)
}

func (s *Server) directByID(verb, table, id string, cols map[string]any, del bool) error {
	t, err := s.table(table)
	if err != nil {
		return err
	}
	if !schema.IsGUID(id) {
		return fmt.Errorf("simulator: %s %s: %q is not a GUID", verb, table, id)
	}
	if _, err := s.direct(t, &recordKey{byID: true, id: uuid.MustParse(id)}, cols, del); err != nil {
		return fmt.Errorf("simulator: %s %s %s: %w", verb, table, id, err)
	}
	return nil
}

// direct is the write path of HTTP without HTTP.
func (s *Server) direct(t *table, key *recordKey, cols map[string]any, del bool) (writeResult, error) {
	q := &writeRequest{table: t, key: key, delete: del, caller: wellKnown.user}
	if key != nil {
		q.ifMatch = "*"
	}
	if e := s.directBody(t, q, cols); e != nil {
		return writeResult{}, e
	}
	var res writeResult
	if e := s.update(context.Background(), func(x *tx) *apiError {
		var failed *apiError
		res, failed = x.write(q)
		return failed
	}); e != nil {
		return writeResult{}, e
	}
	return res, nil
}

func (s *Server) directBody(t *table, q *writeRequest, cols map[string]any) error {
	if q.delete {
		return nil
	}
	body, err := json.Marshal(cols)
	if err != nil {
		return fmt.Errorf("columns: %w", err)
	}
	if cols == nil {
		body = []byte("{}")
	}
	patch, e := s.parsePatch(t.def.Load(), body)
	if e != nil {
		return e
	}
	q.body = patch
	return nil
}

// seedChunk is the number of records inserted under one lock.
const seedChunk = 1000

// Seed inserts n records made by make, in order, as Insert would but in larger
// steps. It stops at the first refusal.
func (s *Server) Seed(table string, n int, make func(i int) map[string]any) error {
	t, err := s.table(table)
	if err != nil {
		return err
	}
	for start := 0; start < n; start += seedChunk {
		end := min(start+seedChunk, n)
		requests := []*writeRequest{}
		for i := start; i < end; i++ {
			q := &writeRequest{table: t, caller: wellKnown.user}
			if err := s.directBody(t, q, make(i)); err != nil {
				return fmt.Errorf("simulator: seed %s, record %d: %w", table, i, err)
			}
			requests = append(requests, q)
		}
		failed := -1
		e := s.update(context.Background(), func(x *tx) *apiError {
			for i, q := range requests {
				if _, e := x.apply(q); e != nil {
					failed = start + i
					return e
				}
			}
			return nil
		})
		if e != nil {
			return fmt.Errorf("simulator: seed %s, record %d: %w", table, failed, e)
		}
	}
	return nil
}

// Row returns a record's columns under the names of answers (lookups as
// _x_value), numbers as json.Number, nulls as nil.
func (s *Server) Row(table, id string) (map[string]any, bool) {
	t, err := s.table(table)
	if err != nil || !schema.IsGUID(id) {
		return nil, false
	}
	s.mu.RLock()
	r := t.rows[uuid.MustParse(id)]
	s.mu.RUnlock()
	if r == nil {
		return nil, false
	}
	return rowColumns(t.def.Load(), r), true
}

// Rows calls fn for every record of a table, in id order, until it returns false.
// It sees one moment of the table.
func (s *Server) Rows(table string, fn func(id string, row map[string]any) bool) error {
	t, err := s.table(table)
	if err != nil {
		return err
	}
	s.mu.RLock()
	rows := []*row{}
	for _, id := range t.order.ids(func(id uuid.UUID) bool { return t.rows[id] != nil }) {
		if r := t.rows[id]; r != nil {
			rows = append(rows, r)
		}
	}
	s.mu.RUnlock()
	d := t.def.Load()
	for _, r := range rows {
		if !fn(r.id.String(), rowColumns(d, r)) {
			return nil
		}
	}
	return nil
}

// FindByKey finds a record by the columns of an active alternate key, lookups
// under their read names. Values are compared as in a keyed URL.
func (s *Server) FindByKey(table string, key map[string]any) (id string, ok bool) {
	t, err := s.table(table)
	if err != nil {
		return "", false
	}
	d := t.def.Load()
	var columns []int
	for name := range key {
		i, known := d.byRead[name]
		if !known {
			return "", false
		}
		columns = append(columns, i)
	}
	def, found := d.key(columns)
	if !found {
		return "", false
	}
	k := &recordKey{key: def}
	for _, i := range def.columns {
		c := d.Columns[i]
		raw, err := json.Marshal(key[c.ReadName()])
		if err != nil {
			return "", false
		}
		c.MaxLength = 0
		if c.IsLookup() {
			c.Type = schema.TypeUniqueID
		}
		lit, e := encodeCell(&c, raw)
		if e != nil || lit == "" {
			return "", false
		}
		k.literals = append(k.literals, lit)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := t.find(d, k, s.opts.Assumptions.CaseSensitiveKeys)
	if r == nil {
		return "", false
	}
	return r.id.String(), true
}
