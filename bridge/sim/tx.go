package sim

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// tx is a unit of work under the server's write lock. A request is one, and so is
// a whole change set.
type tx struct {
	s       *Server
	now     time.Time
	request string
	// undo runs backwards when a change set fails; nil outside of one.
	undo *[]func()
	// reserved is a row version taken earlier, for a late commit; 0 takes the next.
	reserved int64
}

type txKey struct{}

// inTx returns the change set that the request is part of.
func inTx(ctx context.Context) *tx {
	t, _ := ctx.Value(txKey{}).(*tx)
	return t
}

// update runs fn under the write lock. fn either fails before it changed
// anything, or succeeds.
func (s *Server) update(ctx context.Context, fn func(*tx) *apiError) *apiError {
	if open := inTx(ctx); open != nil {
		return fn(open)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fn(&tx{s: s, now: s.opts.Now(), request: requestID(ctx)})
}

// view runs fn under the read lock.
func (s *Server) view(ctx context.Context, fn func()) {
	if inTx(ctx) == nil {
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	fn()
}

// atomically runs fn with a handler whose writes all take effect, or none when fn
// returns an error, which it passes on. The server is locked meanwhile: fn must
// send its requests to h and wait for nothing else of this server.
func (s *Server) atomically(fn func(h http.Handler) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var undo []func()
	set := &tx{s: s, now: s.opts.Now(), undo: &undo}
	mark := s.log.next()
	done := false
	roll := func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
		s.log.rollback(mark, s.opts.Now().UnixNano())
	}
	defer func() {
		if !done { // fn panicked
			roll()
		}
	}()
	err := fn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set.request = r.Header.Get(clientRequestHeader)
		s.dispatch(w, r.WithContext(context.WithValue(r.Context(), txKey{}, set)))
	}))
	done = true
	if err != nil {
		roll()
		return fmt.Errorf("change set rolled back: %w", err)
	}
	for _, t := range s.tables() {
		t.compact()
	}
	return nil
}

// nextVersion takes the next row version. Versions of rolled-back writes stay unused.
func (x *tx) nextVersion() int64 {
	if x.reserved > 0 {
		return x.reserved
	}
	x.s.version++
	return x.s.version
}

// put stores cells as the new version of the record, which is new when old is
// nil. It fails only on a duplicate key, and then changes nothing.
func (x *tx) put(t *table, id uuid.UUID, old *row, cells []string) (*row, *apiError) {
	d := t.def.Load()
	exact := x.s.opts.Assumptions.CaseSensitiveKeys
	next := &row{id: id, cells: packCells(d, cells)}
	for _, k := range d.keys {
		f := foldedKey(d, k, next, cells, exact)
		if f == "" {
			continue
		}
		if owner, taken := t.keys[k.name][f]; taken && owner != id {
			return nil, duplicateKey(d, k, next, cells)
		}
	}
	next.version = x.nextVersion()
	operation := "create"
	if old != nil {
		operation = "update"
		t.removeKeys(d, old, old.unpack(d, nil), exact)
		old.superseded = true
		t.superseded++
	} else {
		t.order.add(id)
	}
	t.insertKeys(d, next, cells, exact)
	t.rows[id] = next
	t.addChange(next)
	if x.undo != nil {
		*x.undo = append(*x.undo, func() { t.unput(d, next, old, exact) })
	} else {
		t.compact()
	}
	x.log(logRecord{kind: KindCommit, operation: operation, table: t, id: id, version: next.version, row: next})
	return next, nil
}

// unput takes back the latest put.
func (t *table) unput(d *tableDef, r, old *row, exact bool) {
	t.removeKeys(d, r, r.unpack(d, nil), exact)
	t.changes = t.changes[:len(t.changes)-1]
	if old == nil {
		delete(t.rows, r.id)
		t.order.remove()
		return
	}
	old.superseded = false
	t.superseded--
	t.rows[r.id] = old
	t.insertKeys(d, old, old.unpack(d, nil), exact)
}

// remove deletes a record.
func (x *tx) remove(t *table, old *row) {
	d := t.def.Load()
	exact := x.s.opts.Assumptions.CaseSensitiveKeys
	version := x.nextVersion()
	t.removeKeys(d, old, old.unpack(d, nil), exact)
	old.superseded = true
	t.superseded++
	delete(t.rows, old.id)
	t.order.remove()
	t.deletes = append(t.deletes, deletion{version: version, id: old.id})
	if x.undo != nil {
		*x.undo = append(*x.undo, func() {
			t.deletes = t.deletes[:len(t.deletes)-1]
			old.superseded = false
			t.superseded--
			t.rows[old.id] = old
			t.order.add(old.id)
			t.insertKeys(d, old, old.unpack(d, nil), exact)
		})
	} else {
		t.compact()
	}
	x.log(logRecord{kind: KindCommit, operation: "delete", table: t, id: old.id, version: version})
}

func (x *tx) log(r logRecord) {
	r.at, r.request = x.s.opts.Now().UnixNano(), x.request
	x.s.log.add(r)
}
