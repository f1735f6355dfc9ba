package outbound

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cebridge/schema/echo"
	"cebridge/schema/event"
)

// planned is one event to encode.
type planned struct {
	id       string
	row      *Row // nil on a delete
	change   event.Change
	version  int64
	previous known
	changed  []string
	former   []byte
	// references tells what the row's lookups point at.
	references []byte
	// follows: an earlier event of the same page is of the same record, so the two
	// cannot share a batch.
	follows bool
	reason  string // of a delete, when it is not plainly deleted
	// cause is the own write that made the row, nil when none is known to have.
	cause *echo.Note
}

// dropped is a row that becomes no event, and the mark that stands for it.
type dropped struct {
	id   string
	mark *echo.Mark
}

// plan is what one page becomes.
type plan struct {
	events []planned
	drops  []dropped
	skips  map[string]uint64
	// repeats counts rows that are older than the round's token and led to nothing.
	repeats int64
	// late counts events of rows that are older than what was seen before.
	late int64
	// filtered counts deletes of records that left the filter.
	filtered int
	// nulled: an update takes a value away, or a record left the filter.
	nulled bool
}

// verdict collects what is found out about one entry.
type verdict struct {
	last    *known
	row     decision
	del     decision
	changed []string
	former  []byte
	// noise: nothing that counts differs from the last event. nulled: a value is gone
	// that is in it.
	noise, nulled bool
	// keys are the last known alternate-key columns, for a delete.
	keys []byte
	gone bool
	// echo is what is remembered of own writes, nil for nothing.
	echo *echoes
}

// compare decides what a page becomes: it reads the last event of each of its
// records, all of it from a stream that is proven to be at the session's fence.
func (w *Worker) compare(ctx context.Context, s *session, f *fetching, entries []entry) (*plan, error) {
	sit := w.situation(s, f)
	verdicts := make([]verdict, len(entries))
	if sit.phase != PhasePriming {
		if err := w.readLast(ctx, s, sit, entries, verdicts); err != nil {
			return nil, err
		}
	}
	var asks []int
	for i := range entries {
		e, v := &entries[i], &verdicts[i]
		if e.row != nil {
			noise := v.noise && !v.echo.unsettled(v.last)
			v.row = decideRow(sit, e.row, func() time.Time { return createdOn(e.row.JSON) }, v.last, noise)
			if err := w.hear(sit, e, v); err != nil {
				return nil, err
			}
			if err := w.refuse(e.id, e.row.Version, v.row); err != nil {
				return nil, err
			}
		}
		if e.deleted {
			if err := w.compareDelete(s, sit, e, v); err != nil {
				return nil, err
			}
			if v.del.step == stepAsk {
				asks = append(asks, i)
			}
		}
	}
	if err := w.ask(ctx, entries, verdicts, asks); err != nil {
		return nil, err
	}
	p := assemble(entries, verdicts, sit.epoch)
	p.count(s, entries, verdicts)
	if err := w.inspect(ctx, s, p); err != nil {
		return nil, err
	}
	return p, nil
}

func (w *Worker) situation(s *session, f *fetching) situation {
	return situation{phase: s.at.Phase, start: s.at.Start, epoch: s.at.Epoch, floor: s.floor(), primed: s.at.Primed,
		loading: s.at.Resync != nil && s.at.Resync.Loading, baseline: parseTime(s.at.Baseline), held: f.held}
}

// readLast reads the last events that the decisions need. In a fresh load a
// record whose id was never met has none; asking would cost a read per row.
func (w *Worker) readLast(ctx context.Context, s *session, sit situation, entries []entry, verdicts []verdict) error {
	subjects := make([]string, 0, len(entries))
	at := make(map[string]int, len(entries))
	echoes := map[string]echoSubject{}
	for i := range entries {
		e := &entries[i]
		if s.fresh && !e.deleted && !s.seen.has(e.id) {
			continue
		}
		subject := w.cfg.Names.Record(w.table, e.id)
		at[subject] = i
		subjects = w.askEchoes(append(subjects, subject), echoes, i, e)
	}
	if len(subjects) == 0 {
		return nil
	}
	// The fence of the read is the last commit's checkpoint: wait for it.
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	err := w.log.Last(ctx, w.subject, s.held, subjects, func(m Stored) error {
		if e, ok := echoes[m.Subject]; ok {
			verdicts[e.i].meetEcho(e.mark, &m)
			return nil
		}
		i, ok := at[m.Subject]
		if !ok {
			return nil
		}
		if s.pass != nil && entries[i].row != nil && m.Sequence <= s.pass.from {
			s.pass.seen.add(m.Sequence)
		}
		return w.meet(ctx, sit, &entries[i], &verdicts[i], &m)
	})
	if err != nil {
		return fmt.Errorf("compare with the stream: %w", err)
	}
	return nil
}

// meet takes one stored event. Of its data only what a decision needs is kept.
func (w *Worker) meet(ctx context.Context, sit situation, e *entry, v *verdict, m *Stored) error {
	p, err := event.ReadHeader(m.Header)
	if err != nil {
		return halt(failForeign, "message at sequence %d on %s was not published by the bridge: %w; "+
			"remove it, keep others from publishing there, then resume the table", m.Sequence, m.Subject, err)
	}
	v.last = &known{Published: p, Sequence: m.Sequence}
	out := e.row != nil && e.row.Out
	if p.Deleted() {
		// A record that is back in the version of its delete.
		if w.cfg.Payload.Keep != nil && e.row != nil && !out && e.row.Version == p.Version && p.Epoch == sit.epoch {
			v.last.Filtered = deleteReason(m) == reasonFiltered
		}
		return nil
	}
	renewed := e.row != nil && !out && (e.row.Version > p.Version || p.Epoch < sit.epoch)
	if !renewed && !out && !e.deleted {
		return nil
	}
	data, err := w.readData(ctx, m)
	if outOfReach(ctx, err) {
		return err
	}
	if err == nil && renewed {
		var d difference
		if d, err = w.comparer.compare(data.Record, e.row.JSON); w.cfg.Previous {
			v.former = object(w.shaper.former(d.was))
		}
		v.changed, v.nulled = d.names, d.nulled
		v.noise = err == nil && w.shaper.noise(&d)
	}
	if err == nil && (e.deleted || out) {
		var keys []member
		keys, err = pick(data.Record, w.keyMembers)
		v.keys = object(w.shaper.former(keys))
	}
	if err != nil {
		return halt(failForeign, "event at sequence %d on %s cannot be read: %w; "+
			"purge that subject, then resync the table", m.Sequence, m.Subject, err)
	}
	return nil
}

// compareDelete decides about an entry's delete, after its row if it has one.
func (w *Worker) compareDelete(s *session, sit situation, e *entry, v *verdict) error {
	last, doubtful := v.last, e.row != nil || s.older != nil || !s.seenAll || s.seen.has(e.id)
	if e.row != nil && v.row.step == stepPublish && v.row.change == event.Deleted {
		// It left the filter in this page: whatever became of it since, it is deleted.
		last = &known{Published: event.Published{Version: e.row.Version, Epoch: sit.epoch, Change: event.Deleted}}
	} else if e.row != nil && v.row.step == stepPublish {
		last = &known{Published: event.Published{Version: e.row.Version, Epoch: sit.epoch, Change: v.row.change}}
		keys, err := pick(e.row.JSON, w.keyMembers)
		if err != nil {
			return fmt.Errorf("%w: record %s: %w", errBadPage, e.id, err)
		}
		v.keys = object(keys)
	}
	if last != nil && s.at.RoundStart != nil && last.Sequence > *s.at.RoundStart {
		doubtful = true
	}
	v.del = decideDelete(sit, doubtful, last)
	return w.refuse(e.id, 0, v.del)
}

// refuse halts the table where a decision says so.
func (w *Worker) refuse(id string, version int64, d decision) error {
	switch d.step {
	case stepRewound:
		return &needResync{reason: ResyncRestored, renew: true, err: fmt.Errorf("record %s of table %s came with version %d, "+
			"but version %d was published long before (sequence %d): the database was restored to an earlier state, or the "+
			"address leads to a copy of it", id, w.table, version, d.previous.Version, d.previous.Sequence)}
	case stepAhead:
		return halt(failCheckpoint, "record %s of table %s has an event of epoch %d, later than the checkpoint's: "+
			"the checkpoint was put back. Resync the table", id, w.table, d.previous.Epoch)
	}
	return nil
}

// assemble orders the events: rows as they came, then deletes.
func assemble(entries []entry, verdicts []verdict, epoch int) *plan {
	p := &plan{events: make([]planned, 0, len(entries)), skips: map[string]uint64{}}
	for i := range entries {
		e, v := &entries[i], &verdicts[i]
		switch {
		case e.row == nil:
		case v.row.step == stepPublish && v.row.change == event.Deleted:
			p.filtered++
			p.nulled = true // a hidden value may be why a record leaves the filter
			p.events = append(p.events, planned{id: e.id, change: event.Deleted, version: e.row.Version,
				previous: v.row.previous, former: v.keys, reason: reasonFiltered})
		case v.row.step == stepPublish:
			p.nulled = p.nulled || v.nulled
			p.events = append(p.events, planned{id: e.id, row: e.row, change: v.row.change, version: e.row.Version,
				previous: v.row.previous, changed: v.changed, former: v.former, cause: v.cause(e.row.Version)})
		case v.echo != nil && v.echo.drop != nil:
			p.drops = append(p.drops, dropped{e.id, v.echo.drop})
			fallthrough
		default:
			p.skips[v.row.reason]++
		}
	}
	for i := range entries {
		e, v := &entries[i], &verdicts[i]
		switch {
		case !e.deleted:
		case v.del.step == stepSkip:
			p.skips[v.del.reason]++
		case v.del.step == stepAsk && !v.gone:
			p.skips[skipLive]++
		default:
			p.events = append(p.events, planned{id: e.id, change: event.Deleted,
				version: v.del.version(epoch), previous: v.del.previous, former: v.keys,
				follows: e.row != nil && v.row.step == stepPublish})
		}
	}
	return p
}

// repeated are the skips of rows that a delta link shows only when it has lost its
// history, where they are older than its token.
var repeated = [...]string{skipPublished, skipPriming, skipUnchanged, skipFiltered, skipNoise, skipEcho}

// count notes what the rows tell about the link they came from.
func (p *plan) count(s *session, entries []entry, verdicts []verdict) {
	for i := range entries {
		e, v := &entries[i], &verdicts[i]
		switch {
		case e.row == nil:
		case v.row.step == stepPublish && e.row.Version <= s.at.Top:
			p.late++
		case v.row.step == stepSkip && e.row.Version <= s.floor() &&
			slices.Contains(repeated[:], v.row.reason):
			p.repeats++
		}
	}
}

// The reasons of a delete besides deleted.
const (
	reasonFiltered   = "filtered"
	reasonReconciled = "reconciled"
)

// deleteReason reads why a stored delete was published; "" when it does not say.
func deleteReason(m *Stored) string {
	e, err := event.Unmarshal(m.Header, m.Data)
	if err != nil {
		return ""
	}
	reason, _ := e.Extensions()["reason"].(string)
	return reason
}

// createdOn reads the row's creation time; zero when it has none.
func createdOn(row []byte) time.Time {
	list, err := pick(row, []string{"createdon"})
	if err != nil || len(list) == 0 {
		return time.Time{}
	}
	return parseTime(strings.Trim(string(list[0].value), `"`))
}

// changedColumns turns member names into logical names; nil, which tells
// consumers nothing, when the list cannot stand in an attribute.
func (w *Worker) changedColumns(members []string) []string {
	names, size := make([]string, len(members)), 0
	for i, m := range members {
		if l, ok := w.logical[m]; ok {
			m = l
		}
		if m == "" || strings.ContainsFunc(m, func(r rune) bool { return r == ',' || r < ' ' }) {
			return nil
		}
		names[i] = m
		size += len(m) + 1
	}
	if size > event.MaxAttribute {
		return nil
	}
	return names
}
