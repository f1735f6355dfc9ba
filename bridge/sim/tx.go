package sim

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// tx is a unit of work under the server's write lock. A request is one, and so is
// a whole change set.
type tx struct {
	s       *Server
	now     time.Time
	request string
	// undo runs backwards when the unit fails; nil where that cannot happen.
	undo *[]func()
	// set means that the unit holds several requests or targets.
	set bool
	// announced are the webhook calls to send once the unit has succeeded.
	announced []hookCall
	// stored are the changes for the data file, when there is one.
	stored []byte
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
	x := &tx{s: s, now: s.opts.Now(), request: requestID(ctx)}
	if s.store == nil {
		return fn(x)
	}
	// The writes of a refused request stay, as without a data file.
	var refused *apiError
	if err := s.transact(x, func() error { refused = fn(x); return nil }); err != nil {
		return &apiError{Status: http.StatusServiceUnavailable, Message: err.Error()}
	}
	return refused
}

// view runs fn under the read lock.
func (s *Server) view(ctx context.Context, fn func()) {
	if inTx(ctx) == nil {
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	fn()
}

// nextVersion takes the next row version. Versions of rolled-back writes stay unused.
func (x *tx) nextVersion() int64 {
	if x.reserved > 0 {
		return x.reserved
	}
	return x.s.takeVersion()
}

// takeVersion gives out the next row version. It needs the lock.
func (s *Server) takeVersion() int64 {
	s.version++
	if s.store != nil {
		s.store.reserve(s.version)
	}
	return s.version
}

// put stores cells as the new version of the record, which is new when old is
// nil. It fails only on a duplicate key, and then changes nothing.
func (x *tx) put(t *table, id uuid.UUID, old *row, cells []string) (*row, *apiError) {
	d := t.def.Load()
	exact := x.s.opts.Assumptions.CaseSensitiveKeys
	next := &row{id: id, cells: packCells(d, cells)}
	folded := make([]string, len(d.keys))
	for i, k := range d.keys {
		if folded[i] = foldedKey(d, k, next, cells, exact); folded[i] == "" {
			continue
		}
		if owner, taken := t.keys[k.name][folded[i]]; taken && owner != id {
			return nil, duplicateKey(d, k, next, cells)
		}
	}
	next.version = x.nextVersion()
	operation := "create"
	if old != nil {
		operation = "update"
		old.superseded = true
		t.superseded++
	} else {
		t.order.add(id)
	}
	t.moveKeys(d, old, id, folded, exact)
	t.rows[id] = next
	t.addChange(next)
	if x.undo != nil {
		*x.undo = append(*x.undo, func() { t.unput(d, next, old, exact) })
	} else {
		t.compact()
	}
	x.store(d, id, next.version, next)
	x.log(logRecord{kind: KindCommit, operation: operation, table: t, id: id, version: next.version, row: next})
	return next, nil
}

// unput takes back the latest put.
func (t *table) unput(d *tableDef, r, old *row, exact bool) {
	t.removeKeys(d, r, r.unpack(d, nil), exact)
	last := len(t.changes) - 1
	if t.changes[last] != r { // a late commit
		last = slices.Index(t.changes, r)
	}
	t.changes = slices.Delete(t.changes, last, last+1)
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
	x.store(d, old.id, version, nil)
	x.log(logRecord{kind: KindCommit, operation: "delete", table: t, id: old.id, version: version})
}

func (x *tx) log(r logRecord) {
	r.at, r.request = x.s.opts.Now().UnixNano(), x.request
	x.s.log.add(r)
}
