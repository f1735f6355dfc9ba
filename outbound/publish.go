package outbound

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"cebridge/schema/event"
)

// progressEvery is how often a long round that finds nothing to publish stores
// how far it got.
const progressEvery = 10 * time.Second

// part is one commit: a page becomes one or several.
type part struct {
	messages []Message
	events   []Published
	bytes    int
	next     Checkpoint
}

// settle turns one page into commits, the last of which moves the position
// behind the page. A page without events is committed only when there is reason to.
func (w *Worker) settle(ctx context.Context, s *session, f *fetching, page *Page) error {
	entries, repeated, err := fold(page.Rows)
	if err != nil {
		return err
	}
	p, err := w.compare(ctx, s, f, entries)
	if err != nil {
		return err
	}
	if err := w.suspect(s, p); err != nil {
		return err
	}
	if err := w.boundFiltered(ctx, s, p); err != nil {
		return err
	}
	if s.fresh || page.Next != "" || s.at.Page > 0 {
		for i := range entries {
			if entries[i].row != nil {
				s.seen.add(entries[i].id)
			}
		}
	}
	if (s.at.Phase == PhaseLoading || s.at.Phase == PhaseResyncing) && (page.Next != "" || s.at.Page > 0) {
		for i := range entries {
			s.shown.addVersion(entries[i].id, entries[i].row.version())
		}
	}
	last, err := w.encode(ctx, s, f, p)
	if err != nil {
		return err
	}
	s.paged = s.paged || page.Next != ""
	next := s.at.after(page)
	if page.Delta != "" && s.at.Phase != PhaseFollowing && s.at.Page > 0 {
		if len(last.messages) > 0 {
			if err := w.submit(ctx, s, last, s.at); err != nil {
				return err
			}
			last = newPart(0)
		}
		if err := w.recount(ctx, s, f, max(next.Floor, tokenVersion(next.Base))); err != nil {
			return err
		}
	}
	if page.Delta != "" {
		next.keepOlder((w.cfg.OverlapAge + max(w.cfg.OverlapEvery, 0)) / 2)
		if s.pass != nil {
			if last, err = w.endResync(ctx, s, f, last, next.Rows); err != nil {
				return err
			}
		}
	}
	if len(last.messages) > 0 || w.due(s, &next, time.Now()) {
		if err := w.submit(ctx, s, last, next); err != nil {
			return err
		}
	}
	if next.Resync != nil {
		next.Resync = s.at.Resync // what was submitted counted its deletes
	}
	s.at = next
	if repeated > 0 {
		p.skips[skipRepeated] += uint64(repeated)
	}
	w.skipped(ctx, p.skips)
	return nil
}

// boundFiltered holds the deletes of records that left the filter against the bound of
// a resync.
func (w *Worker) boundFiltered(ctx context.Context, s *session, p *plan) error {
	if s.pass == nil || p.filtered == 0 {
		return nil
	}
	if limit := w.deleteLimit(s); s.at.Resync.Deleted+p.filtered > limit {
		return w.tooManyDeletes(ctx, s, limit)
	}
	return nil
}

// encode makes messages of a plan. Full batches are submitted on the way, each
// with the position before the page: a crash between them has the page fetched
// again, and the compare skips what is stored. The rest is returned.
func (w *Worker) encode(ctx context.Context, s *session, f *fetching, p *plan) (*part, error) {
	if err := w.refer(ctx, p); err != nil {
		return nil, err
	}
	parent, state := traceParent(trace.SpanFromContext(ctx))
	readBy := s.readBy()
	above, err := w.above(ctx)
	if err != nil {
		return nil, err
	}
	room := min(len(p.events), w.maxBatch-1)
	b := newPart(room)
	for i := range p.events {
		e := &p.events[i]
		r := event.Record{
			RecordID: e.id, Version: e.version, Epoch: s.at.Epoch, Change: e.change, ReadBy: readBy,
			Recorded: f.began, Previous: e.previous.Version, PreviousEpoch: e.previous.Epoch,
			Former: e.former, TraceParent: parent, TraceState: state,
		}
		if e.row != nil {
			r.Modified, r.Row, r.Hash = e.row.Modified, e.row.JSON, e.row.Hash
			r.Changed = w.changedColumns(e.changed)
			r.References = e.references
			if c := e.cause; c != nil {
				r.Causation, r.CausationSource, r.Correlation = c.Cause, c.Source, c.Correlation
			}
		} else {
			r.Reason = cmp.Or(e.reason, "deleted")
		}
		header, data, err := w.encodeOne(ctx, &r, above)
		if err != nil {
			return nil, err
		}
		if e.row != nil {
			e.row.JSON = nil // the event has its content now: a page need not stand twice in memory
		}
		m := Message{Subject: w.cfg.Names.Record(w.table, e.id), Header: header, Data: data}
		if n := len(b.messages); n > 0 && (n >= w.maxBatch-1 || b.bytes+len(data) > w.cfg.MaxBatchBytes ||
			e.follows && b.holds(m.Subject)) {
			if err := w.submit(ctx, s, b, s.at); err != nil {
				return nil, err
			}
			b = newPart(min(len(p.events)-i, room))
		}
		b.messages = append(b.messages, m)
		b.bytes += len(data)
		b.events = append(b.events, Published{Table: w.table, RecordID: e.id, Change: e.change,
			Version: e.version, Epoch: s.at.Epoch})
	}
	for _, d := range p.drops {
		m, err := w.markMessage(d.id, d.mark)
		if err != nil {
			return nil, err
		}
		if len(b.messages) >= w.maxBatch-1 {
			if err := w.submit(ctx, s, b, s.at); err != nil {
				return nil, err
			}
			b = newPart(len(p.drops))
		}
		b.messages = append(b.messages, m)
		b.bytes += len(m.Data)
	}
	return b, nil
}

// readBy names how the session's rows were read.
func (s *session) readBy() event.ReadBy {
	switch {
	case s.older != nil:
		return event.ByOverlap
	case s.at.Phase == PhaseResyncing && s.at.Resync.Reason == ResyncRepair:
		return event.ByRepair
	case s.at.Phase == PhaseResyncing:
		return event.ByResync
	case s.at.Phase == PhaseFollowing:
		return event.ByDelta
	}
	return event.ByLoad
}

func newPart(n int) *part {
	return &part{messages: make([]Message, 0, n), events: make([]Published, 0, n)}
}

func (p *part) holds(subject string) bool {
	for i := range p.messages {
		if p.messages[i].Subject == subject {
			return true
		}
	}
	return false
}

// deletes counts the part's deletes.
func (p *part) deletes() (n int) {
	for i := range p.events {
		if p.events[i].Change == event.Deleted {
			n++
		}
	}
	return n
}

// due tells whether a position without events is worth a commit of its own.
func (w *Worker) due(s *session, next *Checkpoint, now time.Time) bool {
	age := now.Sub(s.stored.Written)
	switch {
	case s.stored.Phase != next.Phase, s.stored.Paused != next.Paused:
		return true // the first checkpoint, the load ended, or a pause did
	case next.Phase == PhaseResyncing:
		// A pass begins anew after a crash; that it did must be known once, and that it
		// began to read: only then does the next process count itself.
		return s.stored.Page == 0 || s.stored.Resync.Restarts != next.Resync.Restarts
	case next.RoundStart != nil:
		return age >= progressEvery
	case s.stored.RoundStart != nil:
		return true // the round's end must not be forgotten
	}
	return next.Link != s.stored.Link && age >= w.cfg.IdleCommit
}

// skipped counts rows that became no event.
func (w *Worker) skipped(ctx context.Context, skips map[string]uint64) {
	for reason, n := range skips {
		w.measures.skip(ctx, reason, n)
	}
	w.board.update(func(b *board) {
		for reason, n := range skips {
			b.s.Skipped[reason] += n
		}
	})
}

// published counts the events of a stored part and tells the observer.
func (w *Worker) published(ctx context.Context, p *part, seq uint64) {
	counts := map[event.Change]uint64{}
	for i := range p.events {
		counts[p.events[i].Change]++
		if w.observe != nil {
			w.observe(p.events[i])
		}
	}
	for c, n := range counts {
		w.measures.published(ctx, c, n)
	}
	w.fences = 0
	w.board.update(func(b *board) {
		for c, n := range counts {
			b.s.Published[c] += n
		}
		b.resuming = b.resuming && p.next.Paused
		b.s.CheckpointSequence, b.written = seq, p.next.Written
		b.s.Detail = ""
	})
}

// largest names the biggest event of a part, for a refusal by size.
func (p *part) largest() string {
	best, size := -1, -1
	for i := range p.messages {
		if n := len(p.messages[i].Data); n > size {
			best, size = i, n
		}
	}
	if best < 0 || best >= len(p.events) {
		return "the bridge's own message"
	}
	return fmt.Sprintf("record %s with %d bytes", p.events[best].RecordID, size)
}
