package sim

import (
	"time"

	"github.com/google/uuid"
)

// Kinds of log entries.
const (
	// KindAttempt: a write request reached the server's application.
	KindAttempt = "attempt"
	// KindCommit: a write is in the database. The row versions of commits ascend,
	// but for late ones (LateUpdate) and after a restore.
	KindCommit = "commit"
	// KindRefused: a write was answered with an error, or was rolled back with its
	// change set.
	KindRefused = "refused"
	// KindFault: a scripted fault touched a request.
	KindFault = "fault"
	// KindRestore: the database went back to an earlier state (Restore), whose last
	// row version is the entry's.
	KindRestore = "restore"
)

// LogEntry is one line of the write log, the ground truth of every end-to-end
// check: what the database went through, whatever the caller was told.
type LogEntry struct {
	Seq int64     `json:"seq"`
	At  time.Time `json:"at"`
	// Kind is one of the Kind constants.
	Kind string `json:"kind"`
	// Operation is create, update, delete or upsert (attempts); for a fault, its kind.
	Operation string `json:"operation,omitempty"`
	Table     string `json:"table,omitempty"`
	// ID is the record's GUID; for an attempt by alternate key it is not known yet.
	ID string `json:"id,omitempty"`
	// Version is the row version of a commit.
	Version int64 `json:"version,omitempty"`
	// Status and Code are those of a refusal.
	Status int    `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	// Columns is the whole row of a created or updated version, under the names of
	// answers, when the server records writes.
	Columns map[string]any `json:"columns,omitempty"`
	// Request is the caller's x-ms-client-request-id.
	Request string `json:"request,omitempty"`
}

// logRecord is an entry as it is kept: about 100 bytes, the row shared with the table.
type logRecord struct {
	at        int64 // Unix nanoseconds
	version   int64
	table     *table
	row       *row
	id        uuid.UUID
	kind      string
	operation string
	code      string
	request   string
	status    int16
}

// writeLog is bounded: the oldest entries go first. Guarded by the server's lock.
type writeLog struct {
	first   int64 // sequence of records[0]
	records []logRecord
	limit   int
	rows    bool
}

func (l *writeLog) add(r logRecord) {
	if !l.rows {
		r.row = nil
	}
	if len(l.records) >= l.limit {
		// A tenth at a time, so that the copy costs little per entry.
		drop := l.limit/10 + 1
		l.records = append(l.records[:0:0], l.records[min(drop, len(l.records)):]...)
		l.first += int64(drop)
	}
	l.records = append(l.records, r)
}

// next is the sequence of the entry after the last.
func (l *writeLog) next() int64 { return l.first + int64(len(l.records)) }

// rollback removes the commits since the entry seq, in favour of refusals.
func (l *writeLog) rollback(seq int64, at int64) {
	i := int(max(seq-l.first, 0))
	for ; i < len(l.records); i++ {
		if r := &l.records[i]; r.kind == KindCommit {
			r.kind, r.row, r.version, r.at = KindRefused, nil, 0, at
		}
	}
}

// Log returns the entries from sequence from on (the first is 1).
func (s *Server) Log(from int64) []LogEntry { return s.logRange(from, -1) }

// logRange returns at most limit entries; all when it is negative.
func (s *Server) logRange(from int64, limit int) []LogEntry {
	s.mu.RLock()
	start := max(from-s.log.first, 0)
	var records []logRecord
	if start < int64(len(s.log.records)) {
		rest := s.log.records[start:]
		if limit >= 0 && len(rest) > limit {
			rest = rest[:limit]
		}
		records = append(records, rest...)
	}
	first := s.log.first + start
	s.mu.RUnlock()
	entries := make([]LogEntry, len(records))
	for i := range records {
		entries[i] = records[i].entry(first + int64(i))
	}
	return entries
}

func (r *logRecord) entry(seq int64) LogEntry {
	e := LogEntry{
		Seq: seq, At: time.Unix(0, r.at).UTC(), Kind: r.kind, Operation: r.operation,
		Version: r.version, Status: int(r.status), Code: r.code, Request: r.request,
	}
	if r.id != (uuid.UUID{}) {
		e.ID = r.id.String()
	}
	if r.table != nil {
		d := r.table.def.Load()
		e.Table = d.LogicalName
		if r.row != nil {
			e.Columns = rowColumns(d, r.row)
		}
	}
	return e
}
