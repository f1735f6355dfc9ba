package inbound

import (
	"context"
	"errors"
	"time"

	"cebridge/schema/outcome"
)

const (
	// laneCap is how many messages of one key may wait behind a failing one before
	// the key is parked.
	laneCap = 100
	// patientTries is how many attempts a message keeps its place in hand for when
	// there is little room left.
	patientTries = 4
	// maxParked is how many messages may be parked, each counted once for every key it
	// has, before no further key is.
	maxParked = 100_000
	// reasonOrder is why a message is parked that waits for an older one of its key.
	reasonOrder = "order"
	// maxParkWait bounds the time between two tries of a parked message.
	maxParkWait = 5 * time.Minute
)

// parks tells whether this route can park messages.
func (s *session) parks() bool { return s.route.deps.Parking != nil }

// shutYard makes the index of parked messages be read again.
func (s *session) shutYard() {
	if !s.parks() {
		return
	}
	s.yard.shut(time.Now().Add(s.route.cfg.AckWait))
	s.pokeYard()
}

func (s *session) pokeYard() {
	select {
	case s.yardPoke <- struct{}{}:
	default:
	}
}

// awaitYard waits until the index is known; false when the session is ending.
func (s *session) awaitYard() bool {
	for {
		s.mu.Lock()
		open, opened := s.yard.open, s.yard.opened
		s.mu.Unlock()
		if open {
			return true
		}
		s.aside()
		select {
		case <-opened:
		case <-s.intake.Done():
		}
		s.back()
		if s.intake.Err() != nil {
			return false
		}
	}
}

// follows tells whether a message must be parked because older ones of its key are.
func (s *session) follows(e *entry) (fate *settlement, ok bool) {
	if !s.parks() || e.parked != nil || len(e.lanes) == 0 {
		return nil, true
	}
	if !s.awaitYard() {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.yard.count == 0 {
		return nil, true
	}
	if s.yard.berths[e.message.id()] != nil {
		// Only its acknowledgement was lost.
		return &settlement{outcome: Waiting, parked: true}, true
	}
	for _, lane := range e.lanes {
		if s.yard.bays[KeyHash(lane)] != nil {
			return &settlement{outcome: Waiting}, true
		}
	}
	return nil, true
}

// patience tells whether a message whose attempt failed is to be parked now, and
// else how long it may wait at most before that is looked at again.
func (s *session) patience(e *entry, err *outcome.Error, delay time.Duration) (park bool, wait time.Duration) {
	if !s.parks() {
		return false, delay
	}
	missing := err.Verdict == outcome.Park
	if e.parked != nil {
		// It goes back where it came from, so that no try outlives a claim by much.
		e.progress.rest = delay
		return err.Verdict != outcome.RetryRace, delay
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.yard.open || s.yard.full() {
		return false, delay
	}
	if about(err) && s.crowds(e) {
		return true, 0
	}
	if !missing {
		return false, delay
	}
	left := time.Until(e.progress.retry.parkedSince.Add(s.route.cfg.ParkAfter))
	return left <= 0, min(delay, max(left, 0))
}

// crowds tells whether a message that fails for a reason of its own takes room that
// others need: many of its key wait behind it; or half of what may be in hand is
// taken, while writes are accepted that began later. s is locked.
func (s *session) crowds(e *entry) bool {
	switch {
	case !s.yard.open || s.yard.full():
		return false
	case s.lanes.behind(e) >= laneCap:
		return true
	}
	return 2*len(s.held) >= s.route.cfg.MaxHeld && e.progress.attempts >= patientTries &&
		s.route.lastAccepted.Load() > e.progress.first.UnixNano()
}

// crowded waits for d, or until the message should be parked for the sake of others.
func (s *session) crowded(e *entry, err *outcome.Error, d time.Duration) (crowd, ok bool) {
	if !s.parks() || e.parked != nil || !about(err) {
		return false, s.pause(d)
	}
	for until := time.Now().Add(d); ; {
		step := min(time.Until(until), time.Second)
		if !s.pause(step) {
			return false, false
		}
		s.mu.Lock()
		crowd = s.crowds(e)
		s.mu.Unlock()
		if crowd || !time.Now().Before(until) {
			return crowd, true
		}
	}
}

// parkedLetter is how a message of this entry is stored.
func (s *session) parkedLetter(e *entry, fate *settlement) *Parked {
	l := &Letter{
		Route: s.route.cfg.Name, Message: e.message, Verdict: string(outcome.Park), Reason: reasonOrder,
		Key: KeyHash(e.lanes[0]), Revision: e.revision, First: time.Now(), Last: time.Now(), Attempts: e.progress.attempts,
	}
	if err := fate.err; err != nil {
		l.Reason, l.Code, l.Status, l.Text = string(err.Reason), err.Code, err.Status, err.Message
		l.First, l.Last = e.progress.first, e.progress.last
		l.Waits = references(e.writes[e.done])
	}
	for _, lane := range e.lanes[1:] {
		l.Keys = append(l.Keys, KeyHash(lane))
	}
	return &Parked{Letter: l, done: s.kept(e)}
}

// kept is how many accepted writes need not be made again when a parked message is
// tried again. With receipts all are, since the receipt tells their answers.
func (s *session) kept(e *entry) int {
	if s.route.cfg.Receipts != "" {
		return 0
	}
	return e.done
}

// park stores a message among the parked ones. It returns false when the session
// ended before that was confirmed.
func (s *session) park(e *entry, fate *settlement) bool {
	p := s.parkedLetter(e, fate)
	if !s.enterYard() {
		return false
	}
	fenced := false
	stored := s.insist("park a message", func(ctx context.Context) error {
		if !s.mine(e) {
			fenced = true
			return nil
		}
		err := s.route.deps.Parking.Park(ctx, p)
		if errors.Is(err, ErrFenced) {
			fenced = true
			return nil
		}
		return err
	})
	s.mu.Lock()
	s.yard.busy--
	if stored && !fenced {
		light := *p.Letter.Message
		light.Header, light.Data = nil, nil
		l := *p.Letter
		l.Message = &light
		s.yard.add(&Parked{Letter: &l, Place: p.Place, done: p.done}, time.Now(), min(s.route.cfg.ParkAfter, maxParkWait))
	}
	s.mu.Unlock()
	s.pokeYard()
	if fenced {
		s.lapse()
		return false
	}
	return stored
}

// enterYard begins a change of the index.
func (s *session) enterYard() bool {
	for s.awaitYard() {
		s.mu.Lock()
		open := s.yard.open
		if open {
			s.yard.busy++
		}
		s.mu.Unlock()
		if open {
			return true
		}
	}
	return false
}
