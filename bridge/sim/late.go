package sim

import (
	"context"
	"fmt"

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
	s.version++
	version, began := s.version, s.opts.Now()
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
