package inbound

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// settleEntry makes the fate of a message known and then acknowledges it, in that
// order: a message is acknowledged only when nothing of it can be lost. It
// returns false when the session ended before all was confirmed; what is
// confirmed is remembered.
func (s *session) settleEntry(e *entry) bool {
	fate := e.progress.settlement
	if fate.outcome == Waiting && !fate.parked && !fate.acked {
		if !s.park(e, fate) {
			return false
		}
		fate.parked = true
	}
	if fate.outcome == Written && e.revision != "" && !fate.revised && !fate.acked {
		if !s.insist("store the revision", func(ctx context.Context) error {
			return s.route.guard.advance(ctx, e)
		}) {
			return false
		}
		fate.revised = true
	}
	if fate.outcome == Rejected && !fate.lettered && !fate.acked {
		l := s.route.letter(e)
		if !s.insist("store a dead letter", func(ctx context.Context) error {
			return s.route.outbox.DeadLetter(ctx, l)
		}) {
			return false
		}
		fate.lettered = true
	}
	if rc := s.route.receipt(e); rc != nil && !fate.receipted && !fate.acked {
		if !s.insist("store a receipt", func(ctx context.Context) error {
			return s.route.outbox.Receipt(ctx, rc)
		}) {
			return false
		}
		fate.receipted = true
	}
	return s.insist("acknowledge", func(ctx context.Context) error {
		s.mu.Lock()
		d := e.delivery
		s.mu.Unlock()
		return d.Ack(ctx)
	})
}

// insist repeats a call, which must be idempotent, until it succeeds or the
// session has no more time.
func (s *session) insist(what string, call func(context.Context) error) bool {
	var wait *backoff.ExponentialBackOff
	for s.settle.Err() == nil {
		ctx, cancel := context.WithTimeout(s.settle, s.route.cfg.SettleTimeout)
		err := call(ctx)
		cancel()
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrOutboxFull), errors.Is(err, ErrStateFull):
			s.end(err)
			return false
		case s.settle.Err() != nil:
			return false
		}
		s.route.failed(what, err)
		if wait == nil {
			wait = backoff.NewExponentialBackOff()
			wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
		}
		if !sleep(s.settle, wait.NextBackOff()) {
			return false
		}
	}
	return false
}

// letter is the dead letter of a rejected message.
func (r *Route) letter(e *entry) *Letter {
	p, err := e.progress, e.progress.settlement.err
	l := &Letter{
		Route: r.cfg.Name, Message: e.message,
		Verdict: string(err.Verdict), Reason: string(err.Reason),
		Code: err.Code, Status: err.Status, Text: err.Message,
		Attempts: p.attempts, First: p.first, Last: p.last,
	}
	if e.write != nil {
		l.Key, l.Revision = KeyHash(e.write.Lane()), e.revision
	}
	if err.Reason == outcome.MissingReference && e.write != nil {
		l.Waits = references(e.write)
	}
	if l.Text == "" && err.Err != nil {
		l.Text = err.Err.Error()
	}
	if p.attempts > 0 && e.write != nil {
		l.Method, l.Path, l.Body = "PATCH", e.write.Path(), e.write.Body
		if e.write.Operation == schema.OpDelete {
			l.Method = "DELETE"
		}
	}
	return l
}

// receipt is the receipt of a message, nil when it gets none.
func (r *Route) receipt(e *entry) *Receipt {
	fate := e.progress.settlement
	if r.cfg.Receipts == "" || fate.outcome != Written && fate.outcome != Rejected && fate.outcome != Superseded {
		return nil
	}
	rc := &Receipt{
		Route: r.cfg.Name, Subject: r.cfg.Receipts, Message: e.message, Outcome: fate.outcome,
		Effect: fate.result.Effect, RecordID: fate.result.ID, Version: fate.result.Version,
	}
	if e.event != nil {
		rc.EventID, rc.EventSource, rc.Cause = e.event.ID(), e.event.Source(), e.cause()
	}
	if e.write != nil {
		rc.Table = e.write.Table
		rc.RecordID = cmp.Or(rc.RecordID, e.write.ID)
	}
	if fate.err != nil {
		rc.Reason, rc.Text = string(fate.err.Reason), fate.err.Message
	}
	return rc
}
