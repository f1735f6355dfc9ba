package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"cebridge/schema/outcome"
)

// follow works until ctx ends or the table halts; it returns that error.
func (w *Worker) follow(ctx context.Context) error {
	if !w.begun {
		w.begun = true
		if err := sleep(ctx, w.rhythm.spread()); err != nil {
			return err
		}
	}
	for {
		more, err := w.turn(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if err = w.fail(ctx, err); err != nil {
				return err
			}
			continue
		}
		if !more {
			if err := w.idle(ctx); err != nil {
				return err
			}
		}
	}
}

// turn makes one round. more tells that the next should follow at once.
func (w *Worker) turn(ctx context.Context) (more bool, err error) {
	if w.session == nil {
		if w.session, err = w.open(ctx); err != nil {
			return false, err
		}
	}
	if err := w.overdue(ctx, w.session); err != nil {
		return true, err
	}
	w.show(&w.session.at)
	initial := w.session.at.Phase != PhaseFollowing
	if err := w.round(ctx, w.session); err != nil {
		return initial, err
	}
	return initial, w.reread(ctx, w.session)
}

// staleTries is how often a stale answer is put down to a replica before the
// checkpoint is read again: what is behind for ever may be a stream that lost it.
const staleTries = 3

// fail rules on a failure, shows it, and waits as long as it takes. It returns
// an error only when the table must halt or ctx ended.
func (w *Worker) fail(ctx context.Context, err error) error {
	if errors.Is(err, errPaused) {
		return err
	}
	r := judge(err)
	if r.resync != nil {
		if err = w.beginResync(ctx, r.resync); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r = judge(err)
	}
	w.measures.failure(ctx, r.reason)
	if r.reason == failBatch {
		w.session = nil
		if w.shrink() {
			return nil
		}
		r = haltRuling(failBatch, fmt.Errorf("%w: raise the server's limit of messages in a batch, then resume the table", err))
	}
	if r.lost || r.reason == failStale && w.failures >= staleTries {
		w.session = nil
	}
	if r.fenced {
		w.measures.fenced.Add(ctx, 1)
		w.fences++
		w.board.update(func(b *board) { b.s.Fenced++ })
		w.logger.Info("outbound: another writer was first, starting over from its checkpoint")
		if w.fences == 1 {
			return nil
		}
		// Fenced again without a commit in between: leave the field to the other.
		return sleep(ctx, w.cfg.Backoff.wait(w.fences-2, 0, w.jitter))
	}
	w.board.failed(err, time.Now())
	if r.halt != nil {
		return r.halt
	}
	wait := w.cfg.Backoff.wait(w.failures, r.after, w.jitter)
	w.failures++
	w.delayed(err, r.reason, wait)
	return sleep(ctx, wait)
}

// shrink halves the batch after the server took fewer messages than it was given.
// It reports false when it cannot be smaller.
func (w *Worker) shrink() bool {
	if w.maxBatch <= 2 {
		return false
	}
	w.maxBatch = max(2, w.maxBatch/2)
	w.logger.Warn("outbound: the server takes smaller batches than expected", "messages", w.maxBatch)
	return true
}

// delayed shows why the table waits. One log line tells of a failure, however
// often it repeats.
func (w *Worker) delayed(err error, reason string, wait time.Duration) {
	w.board.detail(fmt.Sprintf("trying again in %s: %v", wait.Round(time.Millisecond), err))
	if w.lastWarn != reason {
		w.lastWarn = reason
		w.logger.Warn("outbound: table is delayed", "reason", reason, "retry_in", wait, "error", err)
	}
}

// succeeded forgets failures.
func (w *Worker) succeeded(now time.Time) {
	if w.lastWarn != "" {
		w.logger.Info("outbound: table goes on")
	}
	w.failures, w.lastWarn = 0, ""
	w.board.update(func(b *board) {
		b.success = now
		b.s.Detail = ""
	})
}

// round walks from the position to the next delta link. While one page is
// compared, encoded and committed the next one is fetched already; on any
// trouble that one is thrown away.
func (w *Worker) round(ctx context.Context, s *session) (err error) {
	w.lastPoll = time.Now()
	changed := s.at.Phase != PhaseFollowing
	select {
	case <-w.poke: // this round serves it
	default:
	}
	// The poke may have been that of a wish that came after turn had looked for one.
	if need := w.requested(); need != nil {
		return need
	}
	s.begin(w.lastPoll)
	if err := s.again(); err != nil {
		return err
	}
	f := w.fetch(ctx, s, s.at.Link)
	defer func() {
		f.abandon()
		// What was submitted decides whether the session is still true.
		if lost := w.drain(ctx, s); lost != nil {
			err = lost
		}
	}()
	for {
		page, err := f.wait()
		if err != nil {
			if err = w.backToBase(ctx, s, err); err != nil {
				return err
			}
			f.abandon()
			f = w.fetch(ctx, s, s.at.Link)
			continue
		}
		this := f
		if f = nil; page.Next != "" {
			f = w.fetchAhead(ctx, s, page.Next)
		}
		if err = w.wentBack(s, page); err != nil {
			this.end(err)
			return err
		}
		err = w.settle(trace.ContextWithSpan(ctx, this.span), s, this, page)
		this.end(err)
		if err != nil {
			return err
		}
		w.succeeded(time.Now())
		w.show(&s.at)
		changed = changed || len(page.Rows) > 0
		if page.Delta != "" {
			w.rhythm.ended(changed)
			return w.complete(ctx, s)
		}
		if need := w.requested(); need != nil {
			return need
		}
		if !s.links.pass(page.Next) {
			return fmt.Errorf("%w: its link leads back to an earlier page of the round", errBadPage)
		}
	}
}

// backToBase answers a failed fetch: where only the link of a later page was
// refused, the round starts over from its base, once; else it returns the failure.
// An initial load cannot start over: a second one would not list the records that
// were published by the first and deleted since, and its token would be later than
// their deletes. A resync takes its place.
func (w *Worker) backToBase(ctx context.Context, s *session, cause error) error {
	if !refusedLink(cause) || s.at.Link == s.at.Base || s.restarted {
		return cause
	}
	reason := string(outcome.Of(cause).Reason)
	if s.at.Phase == PhaseLoading {
		return &needResync{reason: ResyncPagingLink, err: fmt.Errorf("the initial load of table %s cannot go on after page %d: %w",
			w.table, s.at.Page, cause)}
	}
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	w.logger.Warn("outbound: a page's link was refused, reading the round again from its start", "error", cause)
	w.measures.failure(ctx, reason)
	s.restart()
	return nil
}

// complete ends a round whose every event is handed to a commit.
func (w *Worker) complete(ctx context.Context, s *session) error {
	if err := w.drain(ctx, s); err != nil {
		return err
	}
	s.inRound, s.seen, s.shown, s.fresh = false, nil, nil, false
	if s.paged && s.before.Link != "" {
		s.rereads = maxRereads
	}
	if s.pass == nil {
		w.resyncs = 0
	} else {
		s.pass = nil
		w.logger.Info("outbound: resync ended", "rows", s.at.Rows, "epoch", s.at.Epoch)
	}
	w.measures.took(ctx, w.measures.poll, w.lastPoll)
	w.board.update(func(b *board) { b.published = s.began })
	return nil
}
