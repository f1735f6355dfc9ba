package inbound

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// settleEntry makes the fate of a message known, before it is acknowledged: that is
// done only when nothing of it can be lost. It returns false when the session ended
// before all was confirmed; what is confirmed is remembered.
func (s *session) settleEntry(e *entry) bool {
	fate := e.progress.settlement
	if fate.outcome == Waiting && !fate.parked && !fate.acked {
		if !s.park(e, fate) {
			return false
		}
		fate.parked = true
	}
	if e.revision != "" && fate.done > 0 && fate.outcome != Waiting && !fate.revised && !fate.acked {
		// Also when a later write was rejected: older events must not follow now.
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
	return true
}

// insist repeats a call, which must be idempotent, until it succeeds or the
// session has no more time.
func (s *session) insist(what string, call func(context.Context) error) bool {
	if s.settle.Err() != nil {
		return false
	}
	s.aside()
	defer s.back()
	return s.insistOn(call(s.settling.context()), what, call)
}

// insistOn is insist after a first call, which ended with err.
func (s *session) insistOn(err error, what string, call func(context.Context) error) bool {
	var wait *backoff.ExponentialBackOff
	for ; ; err = call(s.settling.context()) {
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
}

// letter is the dead letter of a rejected message.
func (r *Route) letter(e *entry) *Letter {
	p, err := e.progress, e.progress.settlement.err
	l := &Letter{
		Route: r.cfg.Name, Message: e.message,
		Verdict: string(err.Verdict), Reason: string(err.Reason),
		Code: err.Code, Status: err.Status, Text: letterText(e, err),
		Attempts: p.attempts, First: p.first, Last: p.last,
	}
	if len(e.writes) == 0 {
		return l
	}
	l.Key, l.Revision = KeyHash(e.writes[0].Identity()), e.revision
	done := e.progress.settlement.done
	if len(e.writes) > 1 {
		l.Writes, l.Done, l.Accepted = len(e.writes), done, paths(e.writes[:done])
	}
	w := e.writes[done]
	if err.Reason == outcome.MissingReference {
		l.Waits = references(w)
	}
	if p.attempts > 0 {
		l.Method, l.Path, l.Body = "PATCH", w.Path(), redact(w.Body, r.cfg.Redact)
		if w.Operation == schema.OpDelete {
			l.Method = "DELETE"
		}
	}
	return l
}

// maxPaths bounds a list of paths, in bytes.
const maxPaths = 2 << 10

// paths lists the addresses of writes, separated by blanks, as many as fit.
func paths(writes []*schema.Write) string {
	var b strings.Builder
	for _, w := range writes {
		path := w.Path()
		if b.Len()+1+len(path) > maxPaths {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(path)
	}
	return b.String()
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
	if len(e.writes) > 0 {
		rc.Table = e.writes[0].Table
		rc.RecordID = cmp.Or(rc.RecordID, e.writes[0].ID)
	}
	if len(e.writes) > 1 {
		for i, result := range e.results {
			w := e.writes[i]
			rc.Writes = append(rc.Writes, ReceiptWrite{
				Table: w.Table, Effect: result.Effect, RecordID: cmp.Or(result.ID, w.ID), Version: result.Version,
			})
		}
	}
	if fate.err != nil {
		rc.Reason, rc.Text = string(fate.err.Reason), fate.err.Message
	}
	return rc
}
