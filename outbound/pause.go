package outbound

import (
	"context"
	"errors"
	"time"
)

// pausedEvery is how often a table that another bridge paused looks whether it
// still is.
const pausedEvery = 10 * time.Second

// errPaused: the stored checkpoint says that a person paused the table.
var errPaused = errors.New("the table is paused")

// A pause stands in the checkpoint, so it outlasts restarts and reaches every bridge
// that follows the table: whoever commits next is refused, reads the checkpoint and
// stops. A table that has no checkpoint yet is paused only while its bridge runs.

// Pause stops the table after the commit in flight. It outlasts failures, a later
// Run and, once stored, the process; it holds until Resume.
func (w *Worker) Pause() {
	w.board.update(func(b *board) {
		b.paused, b.resuming = true, false
		b.s.Detail = pausedDetail
		if w.stop != nil {
			w.stop()
		}
	})
	signal(w.wake)
}

const pausedDetail = "paused; resume the table to go on"

// Resume lets a paused or halted table go on from its checkpoint.
func (w *Worker) Resume() {
	w.board.update(func(b *board) {
		b.resuming = b.paused || b.elsewhere
		b.paused, b.elsewhere, b.halted = false, false, false
	})
	signal(w.wake)
}

// storePause writes a person's pause into the checkpoint. Where that cannot be done
// the pause holds for this process.
func (w *Worker) storePause(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, shutdownGrace)
	defer cancel()
	for range maxResyncs {
		data, seq, err := w.log.Checkpoint(ctx, w.subject)
		if err == nil && seq == 0 {
			return
		}
		var c *Checkpoint
		if err == nil {
			if c, err = DecodeCheckpoint(data); err == nil {
				err = c.fit(w.table, w.cfg.OrgID, w.fingerprint)
			}
		}
		if err == nil && !c.Paused {
			c.Paused = true
			s := &session{held: seq, at: *c}
			if err = w.submit(ctx, s, newPart(0), *c); err == nil {
				err = w.drain(ctx, s)
			}
		}
		if err == nil {
			// From now on the checkpoint rules, wherever the table is resumed.
			w.board.update(func(b *board) {
				if b.paused {
					b.paused, b.elsewhere = false, true
				}
				b.s.Detail = pausedDetail
			})
			return
		}
		if !errors.Is(err, ErrFenced) {
			if ctx.Err() == nil {
				w.logger.Warn("outbound: the pause could not be stored, it holds until this bridge ends", "error", err)
			}
			return
		}
	}
}

// standing rules on a checkpoint that says the table is paused: it goes on only
// where a person resumed it here, and then the next commit says so.
func (w *Worker) standing(s *session) (err error) {
	w.board.update(func(b *board) {
		switch {
		case !s.stored.Paused:
			b.resuming = false
		case b.resuming:
			s.at.Paused = false
		default:
			b.elsewhere = true
			b.s.Detail = pausedDetail
			err = errPaused
		}
	})
	return err
}

// lifted looks whether a pause that another bridge stored is over.
func (w *Worker) lifted(ctx context.Context) {
	data, seq, err := w.log.Checkpoint(ctx, w.subject)
	if err != nil || seq == 0 {
		return
	}
	if c, err := DecodeCheckpoint(data); err == nil && c.Paused {
		return
	}
	w.board.update(func(b *board) { b.elsewhere = false })
}
