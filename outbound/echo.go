package outbound

import (
	"fmt"
	"slices"

	"cebridge/schema/echo"
	"cebridge/schema/event"
)

// skipEcho: the row shows nothing but what own writes did.
const skipEcho = "echo"

// echoes is what the stream remembers of own writes to one record.
type echoes struct {
	note *echo.Note
	// mark is of the last row that was dropped, and stands at sequence at. blind:
	// there is one that cannot be read, so nothing is known of what it stood for.
	mark  *echo.Mark
	at    uint64
	blind bool
	// drop is the mark to store in place of an event.
	drop *echo.Mark
}

// echoSubject names the place where something about entry i stands.
type echoSubject struct {
	i    int
	mark bool
}

// askEchoes adds the subjects to read of entry i.
func (w *Worker) askEchoes(subjects []string, at map[string]echoSubject, i int, e *entry) []string {
	if w.cfg.Echo == EchoOff || e.row == nil {
		return subjects
	}
	note := w.cfg.Names.Echo(w.table, e.id)
	at[note] = echoSubject{i: i}
	subjects = append(subjects, note)
	if w.cfg.Echo == EchoDrop {
		mark := w.cfg.Names.Dropped(w.table, e.id)
		at[mark] = echoSubject{i: i, mark: true}
		subjects = append(subjects, mark)
	}
	return subjects
}

// meetEcho takes what is remembered. A note that cannot be read explains nothing; the
// row is then published.
func (v *verdict) meetEcho(mark bool, m *Stored) {
	if v.echo == nil {
		v.echo = &echoes{}
	}
	if !mark {
		if n, err := echo.DecodeNote(m.Data); err == nil {
			v.echo.note = n
		}
		return
	}
	var err error
	v.echo.mark, err = echo.DecodeMark(m.Data)
	v.echo.at, v.echo.blind = m.Sequence, err != nil
}

// outstanding is the mark that stands for changes since the last event, nil when there
// is none: an event after it made it void.
func (e *echoes) outstanding(last *known) *echo.Mark {
	if e.mark == nil || last == nil || last.Deleted() || e.mark.Epoch != last.Epoch || e.mark.Version <= last.Version {
		return nil
	}
	return e.mark
}

// unsettled tells whether consumers may have to be told that a record is again as its
// last event says, since changes after it were dropped.
func (e *echoes) unsettled(last *known) bool {
	return e != nil && (e.blind || e.outstanding(last) != nil)
}

// hear revises what was decided about a row by what is remembered of own writes:
//
//	mark for this version and content   skip
//	mark for a later version            as for an event of that version: rewound or stale
//	row of a noted write                publish with its cause, or drop: see package echo
//
// Only an update whose last event is of the same epoch is dropped: consumers must come
// to know every record, and a new epoch leaves no mark in force.
func (w *Worker) hear(sit situation, e *entry, v *verdict) error {
	if v.echo == nil || v.row.step != stepPublish {
		return nil
	}
	mark := v.echo.outstanding(v.last)
	if mark != nil && mark.Epoch == sit.epoch {
		switch {
		case e.row.Version == mark.Version && e.row.Hash == mark.Hash:
			v.row = decision{step: stepSkip, reason: skipEcho, previous: *v.last}
			return nil
		case e.row.Version < mark.Version:
			seen := known{Published: event.Published{Version: mark.Version, Epoch: mark.Epoch, Change: event.Updated}, Sequence: v.echo.at}
			v.row = decision{step: stepSkip, reason: skipStale, previous: seen}
			if seen.Sequence <= sit.held {
				v.row.step, v.row.reason = stepRewound, ""
			}
			return nil
		}
	}
	if w.cfg.Echo != EchoDrop || v.row.change != event.Updated || v.last.Epoch != sit.epoch || v.echo.blind {
		return nil
	}
	list, err := members(e.row.JSON)
	if err != nil {
		return fmt.Errorf("%w: record %s: %w", errBadPage, e.id, err)
	}
	// What only changes ignore is nothing that a person would miss.
	differs := slices.DeleteFunc(slices.Clone(v.changed), func(column string) bool { return w.shaper.ignore[column] })
	v.echo.drop = echo.Drop(echo.Row{
		Version: e.row.Version, Epoch: sit.epoch, Hash: e.row.Hash, Differs: differs,
		Value: func(column string) []byte { return find(list, 0, []byte(column)) },
	}, v.echo.note, mark)
	if v.echo.drop != nil {
		v.row = decision{step: stepSkip, reason: skipEcho, previous: *v.last}
	}
	return nil
}

// cause is the note of the write that led to this version, nil when none is known.
func (v *verdict) cause(version int64) *echo.Note {
	if v.echo == nil || v.echo.note == nil || v.echo.note.Version != version {
		return nil
	}
	return v.echo.note
}

// markMessage is the mark of a dropped row, to be stored like an event.
func (w *Worker) markMessage(id string, m *echo.Mark) (Message, error) {
	data, err := m.Encode()
	if err != nil {
		return Message{}, fmt.Errorf("mark of record %s of table %s: %w", id, w.table, err)
	}
	return Message{Subject: w.cfg.Names.Dropped(w.table, id), Data: data, Alone: true,
		Header: map[string][]string{"Content-Type": {"application/json"}}}, nil
}
