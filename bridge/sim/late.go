package sim

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"cebridge/schema"

	"github.com/google/uuid"
)

// LateUpdate begins an update whose transaction stays open: its row version is
// taken now, and the new version becomes visible when commit is called, behind
// delta tokens issued in between. Whether a real server lets that happen is an
// open question; a client that must not lose changes has to survive it. commit
// fails if the record was written or deleted meanwhile, which a database lock
// would have prevented.
func (s *Server) LateUpdate(table, id string, cols map[string]any) (commit func() error, err error) {
	t, err := s.table(table)
	if err != nil {
		return nil, err
	}
	if !schema.IsGUID(id) {
		return nil, fmt.Errorf("simulator: late update of %s: %q is not a GUID", table, id)
	}
	key := &recordKey{byID: true, id: uuid.MustParse(id)}
	q := &writeRequest{table: t, key: key, caller: wellKnown.user, ifMatch: "*"}
	if err := s.directBody(t, q, cols); err != nil {
		return nil, fmt.Errorf("simulator: late update of %s %s: %w", table, id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := t.rows[key.id]
	if before == nil {
		return nil, fmt.Errorf("simulator: late update of %s: %w", table, notFound(t.def.Load(), key))
	}
	version, began := s.takeVersion(), s.opts.Now()
	s.faults.count(FaultHeldTransaction)
	s.log.add(logRecord{at: began.UnixNano(), kind: KindFault, operation: string(FaultHeldTransaction), table: t, id: key.id})
	return func() error {
		e := s.update(context.Background(), func(x *tx) *apiError {
			if t.rows[key.id] != before {
				return &apiError{Status: 409, Message: "The record was written while the transaction was open."}
			}
			x.reserved, x.now = version, began
			_, failed := x.write(q)
			return failed
		})
		if e != nil {
			return fmt.Errorf("simulator: late update of %s %s: %w", table, id, e)
		}
		return nil
	}, nil
}

// holdWrite takes the row version of an update early and waits, if a rule asks
// for it. The result is 0 when there is nothing to hold. It must be called
// without the lock.
func (s *Server) holdWrite(q *writeRequest) (version int64, before *row) {
	if q.method != http.MethodPatch || q.ifNoneMatch != "" {
		return 0, nil
	}
	find := func() *row {
		return q.table.find(q.table.def.Load(), q.key, s.opts.Assumptions.CaseSensitiveKeys)
	}
	s.mu.RLock()
	before = find()
	s.mu.RUnlock()
	if before == nil {
		return 0, nil
	}
	rule, _, ok := s.faults.pickData(FaultHeldTransaction, q.method, q.table.def.Load().LogicalName)
	if !ok {
		return 0, nil
	}
	s.mu.Lock()
	before = find()
	version = s.takeVersion()
	s.log.add(logRecord{at: s.opts.Now().UnixNano(), kind: KindFault, operation: string(FaultHeldTransaction), table: q.table, id: attemptID(q)})
	s.mu.Unlock()
	if rule.Delay > 0 {
		<-time.After(rule.Delay)
	}
	return version, before
}

// release makes x commit at the version taken earlier, unless the record was
// written meanwhile, which a database lock would have prevented.
func (x *tx) release(q *writeRequest, version int64, before *row) {
	if version > 0 && before != nil && q.table.rows[before.id] == before {
		x.reserved = version
	}
}
