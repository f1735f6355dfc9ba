package sim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
)

// Snapshot is the state of all records at one moment. It shares the records'
// memory with the server and stays valid whatever the server does.
type Snapshot struct {
	server  *Server
	version int64
	tables  map[*table]tableSnapshot
}

type tableSnapshot struct {
	rows    map[uuid.UUID]*row
	deletes []deletion
}

// Snapshot notes the state of all records, like a database backup.
func (s *Server) Snapshot() *Snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := &Snapshot{server: s, version: s.version, tables: map[*table]tableSnapshot{}}
	for _, t := range s.tables() {
		b.tables[t] = tableSnapshot{rows: maps.Clone(t.rows), deletes: slices.Clone(t.deletes)}
	}
	return b
}

// Restore puts the records back to a snapshot of this server, row versions
// included: those given out since are given out again, as after the restore of a
// database backup. Delta tokens stay accepted; the write log goes on.
func (s *Server) Restore(b *Snapshot) error {
	if b.server != s {
		return fmt.Errorf("simulator: the snapshot is of another server")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, saved := range b.tables {
		rows := make(map[uuid.UUID]*row, len(saved.rows))
		changes := make([]*row, 0, len(saved.rows))
		ids := make([]uuid.UUID, 0, len(saved.rows))
		for id, r := range saved.rows {
			fresh := &row{id: id, version: r.version, cells: r.cells}
			rows[id] = fresh
			changes, ids = append(changes, fresh), append(ids, id)
		}
		slices.SortFunc(changes, func(a, b *row) int { return int(a.version - b.version) })
		t.rows, t.changes, t.superseded = rows, changes, 0
		t.deletes = slices.Clone(saved.deletes)
		t.order.reset(ids)
		keys, err := t.buildKeys(t.def.Load(), s.opts.Assumptions.CaseSensitiveKeys)
		if err != nil { // a key made after the snapshot does not fit its records
			return err
		}
		t.keys = keys
	}
	s.version = b.version
	s.hooks.compiled = false
	if s.store != nil {
		if err := s.rewrite(); err != nil {
			return err
		}
	}
	s.faults.count(FaultRestore)
	s.log.add(logRecord{at: s.opts.Now().UnixNano(), kind: KindRestore, version: b.version})
	return nil
}
