package inbound

import (
	"context"
	"errors"
	"slices"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// stage is how far a message came.
type stage uint8

const (
	left    stage = iota // the session is ending: the message is left to redelivery
	settled              // it is at its end
	sent                 // entry.Acked settles it and goes on with its lanes
)

// workOn brings one message to its end, or so far that only the confirmation of its
// acknowledgement is missing.
func (s *session) workOn(e *entry) stage {
	ctx, span := s.route.startSpan(s.work, e)
	done := s.decide(ctx, e)
	if done && e.parked != nil && e.progress.settlement.outcome == Waiting {
		endSpan(span, e, done)
		s.stayParked(e)
		return settled
	}
	done = done && s.settleEntry(e) && s.outlast(e)
	if done && !span.IsRecording() && s.acknowledgeLater(e) {
		return sent
	}
	done = done && s.acknowledge(e)
	endSpan(span, e, done)
	if !done {
		return left
	}
	s.close(e)
	return settled
}

// close ends the work on a message whose acknowledgement is confirmed. While it is in
// hand no other delivery of it can begin, so its progress is still the caller's.
func (s *session) close(e *entry) {
	s.route.settled(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(e)
}

// decide finds the fate of a message, which is in e.progress.settlement when it
// returns true.
func (s *session) decide(ctx context.Context, e *entry) bool {
	if e.progress.settlement != nil {
		s.mu.Lock()
		e.settling = true
		s.mu.Unlock()
		return true
	}
	fate := e.fate
	if fate == nil {
		var ok bool
		if fate, ok = s.follows(e); !ok {
			return false
		}
	}
	if fate == nil && e.revision != "" {
		var ok bool
		if fate, ok = s.guarded(ctx, e); !ok {
			return false
		}
	}
	if fate == nil {
		if fate = s.apply(ctx, e); fate == nil {
			return false
		}
	}
	e.progress.settlement = fate
	s.route.remember(e)
	s.mu.Lock()
	e.settling = true
	s.mu.Unlock()
	return true
}

// remember keeps the progress of a message for its next delivery. A parked one has
// none: it was acknowledged when it was parked.
func (r *Route) remember(e *entry) {
	if e.parked == nil {
		r.memory.keep(e.message.id(), e.progress)
	}
}

// guarded asks the order guard until it answers. It returns false when the session
// is ending.
func (s *session) guarded(ctx context.Context, e *entry) (*settlement, bool) {
	for wait := s.route.cfg.RetryMin; s.intake.Err() == nil; wait = min(2*wait, s.route.cfg.RetryMax) {
		timed, cancel := context.WithTimeout(ctx, s.route.cfg.SettleTimeout)
		s.aside()
		fate, err := s.route.guard.judge(timed, e)
		s.back()
		cancel()
		if err == nil {
			return fate, true
		}
		s.route.failed("read the last revision", err)
		if !s.pause(wait) {
			break
		}
	}
	return nil, false
}

// apply makes the writes of a message, one after another. It returns nil when the
// session is ending.
func (s *session) apply(ctx context.Context, e *entry) *settlement {
	var first schema.Result
	for e.done < len(e.writes) {
		result, fate, ok := s.write(ctx, e)
		if !ok {
			return nil
		}
		if fate != nil {
			fate.done = e.done
			return fate
		}
		s.route.arrived(e.writes[e.done])
		if first = result; len(e.writes) > 1 {
			e.results = append(e.results, result)
			first = e.results[0]
		}
		e.done++
		// The next write begins anew; how long the message waits for missing records
		// counts on.
		e.progress.again, e.progress.retry = false, retryState{parkedSince: e.progress.retry.parkedSince}
	}
	return &settlement{outcome: Written, done: e.done, result: first, results: e.results}
}

// write makes the present write of a message, again and again as the verdicts say.
// Fate is nil when it was accepted. It returns false when the session is ending.
func (s *session) write(ctx context.Context, e *entry) (result schema.Result, fate *settlement, ok bool) {
	r, p, lane := s.route, e.progress, e.lane()
	for {
		left := r.late.left(lane, e.attempted())
		if left <= 0 {
			break
		}
		if e.parked != nil {
			p.rest = left
			return result, &settlement{outcome: Waiting}, true
		}
		if !s.pause(left) {
			return result, nil, false
		}
	}
	if !s.enter() {
		return result, nil, false
	}
	s.inherit(e)
	for {
		// What may already be written is followed up, expired or not.
		if expired := e.expired(); expired != nil && !p.ambiguous && e.done == 0 {
			return result, &settlement{outcome: Rejected, err: outcome.Of(expired)}, true
		}
		if e.parked != nil && !s.stillHolds() {
			p.rest = 0
			return result, &settlement{outcome: Waiting}, true
		}
		result, err, ok := s.attempt(ctx, e)
		if !ok {
			return result, nil, false
		}
		if err == nil {
			r.window.clear()
			r.accepted()
			if n := r.deps.Echoes; n != nil && result.ID != "" && result.Version > 0 {
				n.Note(Echo{Write: e.writes[e.done], Result: result, Cause: e.cause()})
			}
			return result, nil, true
		}
		p.ambiguous = p.ambiguous || err.Ambiguous
		r.noteFailure(e, err)
		act, delay := r.retry.next(&p.retry, err, time.Now())
		if act == reject && r.window.refused(lane, err.Reason) {
			s.stopOn(&refusals{r.window.limit, err})
			return result, nil, false
		}
		switch act {
		case reject:
			return result, &settlement{outcome: Rejected, err: err}, true
		case stop:
			s.stopOn(err)
			return result, nil, false
		}
		park, delay := s.patience(e, err, delay)
		if park {
			return result, &settlement{outcome: Waiting, err: err}, true
		}
		r.retried(err)
		r.remember(e)
		crowd, ok := s.crowded(e, err, delay)
		switch {
		case !ok:
			return result, nil, false
		case crowd:
			return result, &settlement{outcome: Waiting, err: err}, true
		}
	}
}

// lane is the lane of the present write.
func (e *entry) lane() string {
	if len(e.writes) == 1 {
		return e.lanes[0]
	}
	return e.writes[e.done].Lane()
}

// attempted names the present write among all attempts of a route.
func (e *entry) attempted() attemptID { return attemptID{e.message.id(), e.done} }

// attempt makes one request when there is a free slot. It returns false when no
// attempt was made, or none whose answer says anything about the message.
func (s *session) attempt(ctx context.Context, e *entry) (schema.Result, *outcome.Error, bool) {
	if e.progress.again {
		if !s.acquire(s.retrySlots) {
			return schema.Result{}, nil, false
		}
		defer func() { <-s.retrySlots }()
		if !s.awaitTurn() {
			return schema.Result{}, nil, false
		}
	}
	if !s.acquire(s.slots) {
		return schema.Result{}, nil, false
	}
	defer func() { <-s.slots }()
	if !s.mine(e) {
		s.lapse()
		return schema.Result{}, nil, false
	}
	p := e.progress
	w := e.writes[e.done]
	if w.Operation == schema.OpCreate && (p.again || e.message.Deliveries > 1 || e.message.isRetry()) {
		repeated := *w
		repeated.Repeat = true
		w = &repeated
	}
	p.last, p.again = time.Now(), true
	if p.attempts++; p.attempts == 1 {
		p.first = p.last
	}
	result, err := s.route.writer.Apply(ctx, w)
	if err == nil {
		return result, nil, true
	}
	refusal := outcome.Of(err)
	if refusal == nil && !errors.Is(err, ErrNotSent) || refusal != nil && refusal.Ambiguous {
		s.route.late.note(e.lane(), e.attempted(), time.Now())
		e.unsure = true
	}
	if s.work.Err() != nil && (refusal == nil || errors.Is(err, context.Canceled)) {
		return result, nil, false
	}
	if refusal != nil && slices.Contains(outcome.Verdicts[:], refusal.Verdict) {
		return result, refusal, true
	}
	// An error without a verdict says nothing about the message, so it is kept.
	return result, &outcome.Error{
		Verdict: outcome.Retry, Reason: outcome.BadAnswer, Ambiguous: true, Err: err,
	}, true
}

// acquire takes a slot unless the session is ending.
func (s *session) acquire(slots chan struct{}) bool {
	if s.intake.Err() != nil {
		return false
	}
	select {
	case slots <- struct{}{}: // as a rule: to look at one channel costs less than at two
	default:
		if slots == s.retrySlots { // others may write; while one waits for s.entering, nobody may
			s.aside()
			defer s.back()
		}
		select {
		case slots <- struct{}{}:
		case <-s.intake.Done():
			return false
		}
	}
	if s.intake.Err() != nil {
		<-slots
		return false
	}
	return true
}

// pause waits between two attempts.
func (s *session) pause(d time.Duration) bool {
	if d > 0 {
		s.aside()
		defer s.back()
	}
	return sleep(s.intake, d)
}

// sleep waits for d unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
