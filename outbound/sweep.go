package outbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cebridge/schema/event"
)

const (
	// sweepChunk bounds the candidates in memory; a scan that finds more is repeated.
	sweepChunk = 100_000
	// confirmChunk is how many records are confirmed, and deleted, at a time.
	confirmChunk = 500
	// freeDeletes is the least bound on deletes when none is configured.
	freeDeletes = 1000
)

// candidate is a record that the stream says is live and the pass did not meet.
type candidate struct {
	id  string
	seq uint64 // of its last event
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// sweep ends a pass: it publishes a delete for every record that the stream says
// is live, the pass did not meet, and the source confirms to be gone. It returns
// the events that are not committed yet and how many deletes there are in all.
// Nothing is published once more are found than the bound allows. A failure on the
// way leaves what was committed; the deletes in it count when the sweep begins anew.
func (w *Worker) sweep(ctx context.Context, s *session, f *fetching) (rest *part, deleted int, err error) {
	limit := w.deleteLimit(s)
	rest, deleted = newPart(0), s.at.Resync.Deleted
	for {
		list, more, err := w.unseen(ctx, s)
		if err != nil {
			return nil, 0, err
		}
		gone, live, err := w.confirm(ctx, s, list, limit-deleted)
		if err != nil {
			return nil, 0, err
		}
		if err := w.readLive(ctx, s, f, live); err != nil {
			return nil, 0, err
		}
		if deleted += len(gone); deleted > limit {
			return nil, 0, w.tooManyDeletes(ctx, s, limit)
		}
		for len(gone) > 0 {
			n := min(len(gone), confirmChunk)
			if rest, err = w.reconcile(ctx, s, f, gone[:n], rest); err != nil {
				return nil, 0, err
			}
			gone = gone[n:]
		}
		if !more {
			return rest, deleted, nil
		}
		if len(rest.messages) > 0 {
			if err := w.submit(ctx, s, rest, s.at); err != nil {
				return nil, 0, err
			}
			rest = newPart(0)
		}
	}
}

// deleteLimit is how many deletes this resync may publish.
func (w *Worker) deleteLimit(s *session) int {
	switch {
	case s.at.Resync.Force:
		return int(^uint(0) >> 1)
	case w.cfg.MaxDeletes > 0:
		return w.cfg.MaxDeletes
	}
	return max(freeDeletes, int(s.at.Rows/10))
}

// unseen lists records that are live on the stream and were not met.
func (w *Worker) unseen(ctx context.Context, s *session) (list []candidate, more bool, err error) {
	if err := w.drain(ctx, s); err != nil {
		return nil, false, err
	}
	at := map[string]int{} // where a record stands in list
	err = w.log.Scan(ctx, w.cfg.Names.Table(w.table), w.subject, s.held, func(m Stored) error {
		id, ok := w.cfg.Names.RecordID(w.table, m.Subject)
		if i, again := at[id]; again && ok {
			list[i].id = "" // what was shown of it before was not its last event
			delete(at, id)
		}
		if !ok || m.Sequence > s.pass.from || s.pass.seen.has(m.Sequence) {
			return nil
		}
		p, err := event.ReadHeader(m.Header)
		if err != nil || !plainID(id) {
			return halt(failForeign, "message at sequence %d on %s was not published by the bridge; "+
				"remove it, keep others from publishing there, then resume the table", m.Sequence, m.Subject)
		}
		if p.Deleted() {
			return nil
		}
		if len(list) == sweepChunk {
			return errEnough
		}
		at[id] = len(list)
		list = append(list, candidate{id, m.Sequence})
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, fmt.Errorf("look for records of table %s that are gone: %w", w.table, err)
	}
	list = slices.DeleteFunc(list, func(c candidate) bool { return c.id == "" })
	return list, err != nil, nil
}

// confirm asks the source about candidates and returns those that are gone, and those
// that are live. It stops once there are more than enough gone ones. A live one was hidden
// by rows that moved while paging; it counts as met.
func (w *Worker) confirm(ctx context.Context, s *session, list []candidate, enough int) (gone, hidden []string, err error) {
	for len(list) > 0 && len(gone) <= enough {
		n := min(len(list), confirmChunk)
		ids := make([]string, n)
		for i := range ids {
			ids[i] = list[i].id
		}
		live, err := w.live(ctx, ids)
		if err != nil {
			return nil, nil, err
		}
		for i := range ids {
			if live[i] {
				s.pass.seen.add(list[i].seq)
				hidden = append(hidden, ids[i])
			} else {
				gone = append(gone, ids[i])
			}
		}
		list = list[n:]
	}
	return gone, hidden, nil
}

// readLive reads records by themselves that the pass did not meet although they are
// live: what the stream has of them may be older, or may not pass the filter any more,
// and a version that the new link leaves behind is shown by no later round.
func (w *Worker) readLive(ctx context.Context, s *session, f *fetching, ids []string) error {
	lister, ok := w.source.(Lister)
	if !ok {
		return nil
	}
	for len(ids) > 0 {
		n := min(len(ids), confirmChunk)
		if err := w.publishUnmet(ctx, s, f, lister, ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// reconcile makes deletes of records that are gone, after the compare with a
// stream proven fresh.
func (w *Worker) reconcile(ctx context.Context, s *session, f *fetching, ids []string, rest *part) (*part, error) {
	entries, verdicts := make([]entry, len(ids)), make([]verdict, len(ids))
	for i, id := range ids {
		entries[i] = entry{id: id, deleted: true}
	}
	if len(rest.messages) > 0 {
		if err := w.submit(ctx, s, rest, s.at); err != nil {
			return nil, err
		}
	}
	sit := w.situation(s, f)
	if err := w.readLast(ctx, s, sit, entries, verdicts); err != nil {
		return nil, err
	}
	for i := range entries {
		verdicts[i].del = decideDelete(sit, false, verdicts[i].last)
		if err := w.refuse(entries[i].id, 0, verdicts[i].del); err != nil {
			return nil, err
		}
	}
	p := assemble(entries, verdicts, sit.epoch)
	for i := range p.events {
		p.events[i].reason = reasonReconciled
	}
	return w.encode(ctx, s, f, p)
}

// tooManyDeletes stores a notice and halts the table: so many deletes look like
// lost rights or the wrong database.
func (w *Worker) tooManyDeletes(ctx context.Context, s *session, limit int) error {
	m, err := w.notice(noticeHalted, &s.at, map[string]any{"max_deletes": limit})
	if err != nil {
		return err
	}
	b := newPart(1)
	b.messages = append(b.messages, m)
	if err := w.submit(ctx, s, b, s.at); err != nil {
		return err
	}
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	return halt(failDeletes, "the resync of table %s (%s) would publish more than %d deletes (max_deletes): check that the bridge's user "+
		"sees every record, that this is the right organization and the table's filter, then force the resync (`cebridge resync --force`), or resume the table to read it again",
		w.table, s.at.Resync.Reason, limit)
}

// endResync adds the deletes and the closing notice of a pass to its last commit.
func (w *Worker) endResync(ctx context.Context, s *session, f *fetching, last *part, rows int64) (*part, error) {
	if len(last.messages) > 0 {
		if err := w.submit(ctx, s, last, s.at); err != nil {
			return nil, err
		}
	}
	rest, deleted, err := w.sweep(ctx, s, f)
	if err != nil {
		return nil, err
	}
	m, err := w.notice(noticeFinished, &s.at, map[string]any{"rows": rows, "deleted": deleted, "restarts": s.at.Resync.Restarts,
		"seconds": time.Since(s.at.Resync.Began).Round(time.Second).Seconds()})
	if err != nil {
		return nil, err
	}
	if len(rest.messages) >= w.maxBatch-1 {
		if err := w.submit(ctx, s, rest, s.at); err != nil {
			return nil, err
		}
		rest = newPart(1)
	}
	rest.messages = append(rest.messages, m)
	return rest, nil
}
