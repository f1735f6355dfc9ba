package outbound

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"cebridge/schema/telemetry"
)

// flight is the one commit that may be under way while the next part is encoded.
type flight struct {
	part *part
	seq  uint64
	err  error
	done chan struct{}
}

// submit waits for the commit before, then starts to commit b with next as its
// checkpoint. The session must not be used further if it fails.
func (w *Worker) submit(ctx context.Context, s *session, b *part, next Checkpoint) error {
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if n := b.deletes(); n > 0 && next.Resync != nil {
		counted := *next.Resync
		counted.Deleted += n
		next.Resync, s.at.Resync = &counted, &counted
	}
	next.Attempt, next.Written = rand.Text(), time.Now()
	b.next, s.stored = next, next
	fl := &flight{part: b, done: make(chan struct{})}
	s.flight = fl
	expected := s.held
	go func() {
		defer close(fl.done)
		fl.seq, fl.err = w.commit(ctx, b, expected)
	}()
	return nil
}

// drain waits for the commit under way, if there is one, and takes its result
// over into the session.
func (w *Worker) drain(ctx context.Context, s *session) error {
	fl := s.flight
	if fl == nil {
		return nil
	}
	<-fl.done
	s.flight = nil
	if fl.err != nil {
		s.fresh = false
		return fmt.Errorf("commit to the stream: %w", fl.err)
	}
	s.held, w.everHeld, w.fitted = fl.seq, true, true
	w.published(ctx, fl.part, fl.seq)
	return nil
}

// commit stores one part, however long it takes: it ends with the sequence of
// the stored checkpoint, ErrFenced, a refusal that halts the table, or the end of ctx. The batch stays
// the same through all tries, so the attempt id in its checkpoint tells later
// whether one of them was stored.
//
// A call that was begun may outlive ctx by shutdownGrace: its outcome is still
// learned, but nothing new is begun.
func (w *Worker) commit(ctx context.Context, p *part, expected uint64) (seq uint64, err error) {
	body, err := p.next.encode()
	if err != nil {
		return 0, err
	}
	if len(body) > maxCheckpointBytes {
		return 0, halt(failCheckpoint, "the checkpoint would have %d bytes, more than %d; the link is too long", len(body), maxCheckpointBytes)
	}
	began := time.Now()
	call, done := detach(ctx, shutdownGrace)
	defer done()
	call, span := w.tracer.Start(call, telemetry.SpanCommit, trace.WithAttributes(
		attribute.String(telemetry.AttrTable, w.table), attribute.Int(telemetry.AttrEvents, len(p.messages))))
	defer func() { fault(span, err); span.End() }()
	b := Batch{
		Messages:   p.messages,
		Checkpoint: Message{Subject: w.subject, Header: map[string][]string{"Content-Type": {"application/json"}}, Data: body},
		Expected:   expected,
	}
	for try := 0; ; try++ {
		seq, err = w.log.Commit(call, b)
		if err == nil {
			w.measures.took(ctx, w.measures.commit, began)
			return seq, nil
		}
		switch {
		case errors.Is(err, ErrUnavailable), errors.Is(err, ErrFull):
		case errors.Is(err, ErrTooLarge):
			return 0, fmt.Errorf("%w: batch of %d messages, the largest is %s", err, len(p.messages)+1, p.largest())
		case errors.Is(err, ErrMisconfigured), errors.Is(err, ErrBatchTooLong):
			return 0, err
		default:
			// ErrFenced too: the writer that was first may be an earlier try of this batch.
			seq, stored, rerr := w.fate(ctx, call, p.next.Attempt, expected)
			if rerr != nil {
				return 0, rerr
			}
			if stored {
				w.measures.took(ctx, w.measures.commit, began)
				return seq, nil
			}
		}
		if err := w.again(ctx, try, err); err != nil {
			return 0, err
		}
	}
}

// fate reads what became of an attempt: stored, or not stored yet and to be
// tried again; ErrFenced when the checkpoint is somebody else's.
func (w *Worker) fate(ctx, call context.Context, attempt string, expected uint64) (seq uint64, stored bool, err error) {
	for try := 0; ; try++ {
		data, seq, err := w.log.Checkpoint(call, w.subject)
		switch {
		case errors.Is(err, ErrMisconfigured):
			return 0, false, err
		case err != nil:
			if err := w.again(ctx, try, err); err != nil {
				return 0, false, err
			}
			continue
		case seq == expected:
			return 0, false, nil
		case seq == 0:
			return 0, false, halt(failCheckpoint, "the checkpoint of table %s has vanished from the stream: restore the stream, "+
				"or restart the bridge to load the table again", w.table)
		}
		c, err := DecodeCheckpoint(data)
		if err == nil && c.Attempt == attempt {
			return seq, true, nil
		}
		return 0, false, ErrFenced
	}
}

// again shows why a commit waits, and waits. It fails only with the end of ctx.
func (w *Worker) again(ctx context.Context, try int, cause error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.measures.failure(ctx, judge(cause).reason)
	w.board.failed(cause, time.Now())
	wait := w.cfg.Backoff.wait(try, 0, w.jitter)
	w.board.detail(fmt.Sprintf("the page is kept, storing it again in %s: %v", wait.Round(time.Millisecond), cause))
	if try == 0 {
		w.logger.Warn("outbound: commit delayed", "reason", judge(cause).reason, "error", cause)
	}
	return sleep(ctx, wait)
}
