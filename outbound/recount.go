package outbound

import (
	"context"
	"fmt"
	"sync"

	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// recountTries is how often a list that fails is asked for before the round ends
// without it.
const recountTries = 3

// maxRereads bounds how often one round of changes is read again.
const maxRereads = 3

// recount holds a full read of several pages against the source's list of ids and
// versions, before the read's last commit. A version that the list names, that the read
// did not meet, and that the new delta link leaves behind was skipped between two
// pages, or became newer behind the read's back: no later round would show it. Its
// record is read by itself and published like a row of the read. A version that the
// link does not cover is left to the next round.
//
// The list decides nothing else: it deletes nothing and halts nothing. It is asked for
// again with the last page when it fails; when it goes on failing, the read ends
// without it, which is counted.
func (w *Worker) recount(ctx context.Context, s *session, f *fetching, covered int64) error {
	lister, ok := w.source.(Lister)
	if !ok || s.at.Page == 0 || s.at.Phase == PhasePriming {
		return nil
	}
	met, err := w.met(ctx, s)
	if err == nil {
		err = w.readUnmet(ctx, s, f, lister, met, covered)
	}
	if e := outcome.Of(err); e == nil || ctx.Err() != nil {
		return err // nil, or the stream's
	}
	if r := judge(err); r.halt == nil && r.resync == nil && s.recounts < recountTries-1 {
		s.recounts++
		return err
	}
	w.logger.Warn("outbound: the read could not be held against the source's list of records; `cebridge compare` can", "error", err)
	w.measures.failure(ctx, failRecount)
	return nil
}

// met tells which versions the read met. A process that saw only the end of a load asks the
// stream for the rest.
func (w *Worker) met(ctx context.Context, s *session) (*idFilter, error) {
	if s.seenAll {
		return s.shown, nil
	}
	if err := w.drain(ctx, s); err != nil {
		return nil, err
	}
	met := s.shown
	err := w.log.Scan(ctx, w.cfg.Names.Table(w.table), w.subject, s.held, func(m Stored) error {
		id, ok := w.cfg.Names.RecordID(w.table, m.Subject)
		if p, err := event.ReadHeader(m.Header); ok && err == nil && p.Epoch == s.at.Epoch {
			met.addVersion(id, p.Version)
		}
		return nil // a foreign message is named where its record is compared
	})
	if err != nil {
		return nil, fmt.Errorf("list the records of table %s on the stream: %w", w.table, err)
	}
	return met, nil
}

// version is that of the row, 0 where there is none.
func (r *Row) version() int64 {
	if r == nil {
		return 0
	}
	return r.Version
}

// readUnmet walks over the list and publishes what was skipped.
func (w *Worker) readUnmet(ctx context.Context, s *session, f *fetching, lister Lister, met *idFilter, covered int64) error {
	var guard linkGuard
	for link := ""; ; {
		list, err := lister.List(ctx, w.cfg.Query, link)
		if err != nil {
			return fmt.Errorf("list the records of table %s: %w", w.table, err)
		}
		var ids []string
		for i := range list.Rows {
			if r := &list.Rows[i]; r.Version <= covered && !met.hasVersion(r.ID, r.Version) {
				ids = append(ids, r.ID)
			}
		}
		if err := w.publishUnmet(ctx, s, f, lister, ids); err != nil {
			return err
		}
		if link = list.Next; link == "" {
			return nil
		}
		if !guard.pass(link) {
			return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.BadAnswer, Message: "the list of records leads back to an earlier page"}
		}
	}
}

// publishUnmet reads records one by one and publishes what the stream lacks.
func (w *Worker) publishUnmet(ctx context.Context, s *session, f *fetching, lister Lister, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := w.records(ctx, lister, ids)
	if err != nil {
		return err
	}
	if err := w.shape(&Page{Rows: rows}); err != nil {
		return err
	}
	entries, _, err := fold(rows)
	if err != nil {
		return err
	}
	p, err := w.compare(ctx, s, f, entries)
	if err != nil {
		return err
	}
	if err := w.boundFiltered(ctx, s, p); err != nil {
		return err
	}
	for i := range entries {
		s.seen.add(entries[i].id)
		s.shown.addVersion(entries[i].id, entries[i].row.version())
	}
	last, err := w.encode(ctx, s, f, p)
	if err != nil {
		return err
	}
	if len(last.messages) > 0 {
		if err := w.submit(ctx, s, last, s.at); err != nil {
			return err
		}
	}
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	w.missed(ctx, "list", len(p.events))
	w.skipped(ctx, p.skips)
	return nil
}

// missed counts events of rows that a round had skipped.
func (w *Worker) missed(ctx context.Context, by string, n int) {
	if n == 0 {
		return
	}
	w.logger.Warn("outbound: a round of several pages had skipped rows; they are published", "rows", n, "found_by", by)
	w.measures.missedRows(ctx, by, int64(n))
	w.board.update(func(b *board) { b.s.Missed += uint64(n) })
}

// records reads records, several at a time; those that are gone are left out.
func (w *Worker) records(ctx context.Context, lister Lister, ids []string) ([]Row, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found := make([]*Row, len(ids))
	var wg sync.WaitGroup
	turn := make(chan struct{}, askers)
	for i, id := range ids {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			if ctx.Err() != nil {
				return
			}
			var err error
			if found[i], err = lister.Record(ctx, w.cfg.Query, id); err != nil {
				cancel(fmt.Errorf("read record %s of table %s: %w", id, w.table, err))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	rows := make([]Row, 0, len(ids))
	for _, r := range found {
		if r != nil {
			rows = append(rows, *r)
		}
	}
	return rows, nil
}
