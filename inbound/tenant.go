package inbound

import (
	"context"
	"errors"
	"time"
)

// tenantKey is where Revisions keeps who works on the route; it is no lane's hash.
var tenantKey = KeyHash("")

// What stands there.
const (
	tenantHere = "here" // somebody writes, or did and was stopped
	tenantLeft = "left" // the last one left nothing behind that may still take effect
)

// tenancy is one session's turn as the one who writes, under one claim.
type tenancy struct {
	claim string
	place uint64
	// at is when it began: everything that another client left behind was in hand
	// then, since the gate opens only over that.
	at time.Time
	// clean: whoever was here before left nothing on its way.
	clean bool
}

// enter begins the tenancy before the first write under a claim. It returns false when
// the session is ending.
func (s *session) enter() bool {
	here := func() bool {
		t := s.tenancy.Load()
		return t != nil && t.claim == s.currentClaim()
	}
	if here() {
		return true
	}
	if !s.acquire(s.entering) {
		return false
	}
	defer func() { <-s.entering }()
	if here() {
		return true
	}
	claim := s.currentClaim()
	store := s.route.deps.Revisions
	if store == nil || s.route.late.bound <= 0 {
		s.tenancy.Store(&tenancy{claim: claim, at: time.Now()})
		return true
	}
	for wait := s.route.cfg.RetryMin; s.intake.Err() == nil; wait = min(2*wait, s.route.cfg.RetryMax) {
		began := time.Now()
		t, err := s.moveIn(store)
		switch {
		case err == nil:
			t.claim, t.at = claim, began
			s.tenancy.Store(&t)
			return true
		case errors.Is(err, ErrStateFull):
			s.end(err)
			return false
		case !errors.Is(err, ErrOutdated):
			s.route.failed("store who works on the route", err)
		}
		if !s.pause(wait) {
			break
		}
	}
	return false
}

func (s *session) moveIn(store Revisions) (tenancy, error) {
	ctx, cancel := context.WithTimeout(s.work, s.route.cfg.SettleTimeout)
	defer cancel()
	before, err := store.Applied(ctx, tenantKey)
	if err != nil {
		return tenancy{}, err
	}
	place, err := store.Advance(ctx, tenantKey, Applied{Revision: tenantHere, Place: before.Place})
	return tenancy{place: place, clean: before.Revision == tenantLeft}, err
}

// leave tells the next tenant that nothing of this one may still take effect, if that
// is so. Whoever came meanwhile makes it void.
func (s *session) leave(ctx context.Context) {
	t, store := s.tenancy.Load(), s.route.deps.Revisions
	if t == nil || t.place == 0 || s.settle.Err() != nil || s.route.late.any(time.Now()) || !s.inherited(t) {
		return
	}
	if _, err := store.Advance(ctx, tenantKey, Applied{Revision: tenantLeft, Place: t.place}); err != nil && !errors.Is(err, ErrOutdated) {
		// The next tenant waits then, as after a crash.
		s.route.failed("store that the route was left in order", err)
	}
}

// inherit makes the next message of the key wait for what an earlier client may have
// sent of this one: it stopped sending three quarters of an AckWait after it last said
// that it works on the message, and the message came here a whole AckWait after that.
func (s *session) inherit(e *entry) {
	t := s.tenancy.Load()
	if e.parked != nil || t.clean || e.message.Deliveries < 2 || e.arrived.After(t.at) {
		return
	}
	s.route.late.inherit(e.lane(), e.attempted(), e.arrived.Add(-s.part(ticks-lapseAfter)), time.Now())
}

// inheritSettled is inherit for a message whose fate was decided here, and whose
// acknowledgement was not confirmed: when it was delivered to somebody else since, that one
// may have sent it again. It runs where deliveries are taken in.
func (s *session) inheritSettled(e *entry) {
	p, m := e.progress, e.message
	if p.settlement != nil && m.Deliveries > p.delivered+1 {
		for _, lane := range e.lanes {
			s.route.late.inherit(lane, attemptID{message: m.id()}, e.arrived.Add(-s.part(ticks-lapseAfter)), time.Now())
		}
	}
	p.delivered = m.Deliveries
}

// inherited tells whether nothing is left of what earlier clients may have sent: they left
// in order, or every message of theirs was written again here, and what they parked was
// left alone for as long as they may try it.
func (s *session) inherited(t *tenancy) bool {
	if t.clean {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parks() && time.Now().Before(s.yard.quiet) {
		return false
	}
	for _, e := range s.held {
		if e.message.Deliveries > 1 && !e.arrived.After(t.at) {
			return false
		}
	}
	return true
}

// outlast keeps the acknowledgement of a message back until none of its attempts can
// take effect any more: were this process killed meanwhile, only the redelivery would
// make others wait for that. The next messages of its keys would wait anyway. At most
// half of what may be in hand is kept so. It returns false when the session is ending.
func (s *session) outlast(e *entry) bool {
	left := s.route.late.own(e.lanes, e.message.id())
	if left <= 0 || e.parked != nil || e.progress.settlement.outcome == Waiting {
		return true
	}
	s.mu.Lock()
	if !e.running || s.unsure >= s.route.cfg.MaxHeld/2 {
		s.mu.Unlock()
		return true
	}
	s.unsure++
	// It is surely unacknowledged so long, so the gate may count on it.
	e.settling = false
	s.tryOpen()
	s.mu.Unlock()
	over := s.pause(left)
	s.mu.Lock()
	s.unsure--
	e.settling = true
	s.mu.Unlock()
	return over
}
