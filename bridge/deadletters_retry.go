package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/inbound"
	"cebridge/outbound"
)

// CheckRetry tells whether a letter may be sent again: nil, ErrLetterRetried,
// ErrLetterParked or ErrNewerApplied. What was applied since is known only for
// routes with a revision; the route itself checks again when the message comes.
func (o *Operator) CheckRetry(ctx context.Context, d *DeadLetter) error {
	switch d.State {
	case LetterRetried:
		return fmt.Errorf("letter %d: %w, as message %d of stream %s", d.ID, ErrLetterRetried, d.Retried.Sequence, d.Retried.Stream)
	case LetterParked:
		return fmt.Errorf("letter %d: %w", d.ID, ErrLetterParked)
	}
	l := d.letter
	if l.Key == "" || l.Revision == "" {
		return nil
	}
	a, err := o.b.conn.Revisions(o.b.EventStream(), o.b.names, l.Route).Applied(ctx, l.Key)
	if err != nil {
		return fmt.Errorf("letter %d: %w", d.ID, err)
	}
	// What was applied last may be the first writes of this very message.
	own := a.Incarnation == l.Message.Incarnation && a.Sequence == l.Message.Sequence
	if a.Revision != "" && a.Revision[0] == l.Revision[0] && a.Revision >= l.Revision && !own {
		return fmt.Errorf("letter %d: %w, from message %d of the source stream", d.ID, ErrNewerApplied, a.Sequence)
	}
	return nil
}

// RetryDeadLetter sends the original message of a letter to its subject again, with
// headers that tell its lineage and the one route it is meant for, and marks the
// letter. There it goes through every check of the route as it is configured now.
// With edited not nil, that is the new data, and only the route judges its revision.
// Called twice for one letter, the message is stored once within the deduplication
// window of its stream; after that the mark refuses it.
func (o *Operator) RetryDeadLetter(ctx context.Context, d *DeadLetter, edited []byte) (RetryMark, error) {
	check := d
	if edited != nil {
		copied := *d
		l := *d.letter
		l.Revision = ""
		copied.letter = &l
		check = &copied
	}
	if err := o.CheckRetry(ctx, check); err != nil {
		return RetryMark{}, err
	}
	l, m := d.letter, d.letter.Message
	place := inbound.RetryOf(l.Route, m)
	header := maps.Clone(m.Header)
	if header == nil {
		header = map[string][]string{}
	}
	header[inbound.HeaderRetryOf] = []string{place}
	header[inbound.HeaderRetryCount] = []string{strconv.Itoa(retryCount(m.Header) + 1)}
	header[inbound.HeaderRetryRoute] = []string{l.Route}
	data := m.Data
	if edited != nil {
		header[inbound.HeaderRetryEdited], data = []string{"1"}, edited
	}
	seq, err := o.b.conn.Resend(ctx, m.Stream, "retry-"+place, outbound.Message{Subject: m.Subject, Header: header, Data: data})
	if err != nil {
		return RetryMark{}, fmt.Errorf("letter %d: %w", d.ID, err)
	}
	mark := RetryMark{At: time.Now().UTC(), Stream: m.Stream, Sequence: seq, Edited: edited != nil}
	body, err := json.Marshal(mark)
	if err != nil {
		return mark, fmt.Errorf("letter %d: %w", d.ID, err)
	}
	err = o.b.conn.Mark(ctx, o.b.names.DeadStream(), o.b.names.Retried(l.Route, m.Incarnation, m.Sequence), body)
	if errors.Is(err, jet.ErrMarked) {
		return mark, fmt.Errorf("letter %d: %w, at the same time", d.ID, ErrLetterRetried)
	}
	if err != nil {
		return mark, fmt.Errorf("letter %d was sent again as message %d, but could not be marked so: %w", d.ID, seq, err)
	}
	d.State, d.Retried = LetterRetried, &mark
	return mark, nil
}

// DiscardDeadLetter removes a letter, its mark, or a parked message for good.
func (o *Operator) DiscardDeadLetter(ctx context.Context, d *DeadLetter) error {
	stream := o.b.names.DeadStream()
	for _, subject := range []string{d.subject, d.subject + ".retried"} {
		if _, err := o.b.conn.PurgeBefore(ctx, stream, subject, 0); err != nil {
			return fmt.Errorf("discard letter %d: %w", d.ID, err)
		}
	}
	return nil
}
