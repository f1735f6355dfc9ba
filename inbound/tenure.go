package inbound

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// keepYard reads the index whenever a claim begins, holds the term while anything
// is parked, and tries parked messages again when they are due.
func (s *session) keepYard() {
	if !s.parks() {
		return
	}
	s.mu.Lock()
	s.yard.changed = s.route.deps.Arrivals.note
	s.mu.Unlock()
	unsubscribe := s.route.deps.Arrivals.subscribe(listener{s.parentArrived, s.parentsAwaited, s.expected})
	defer unsubscribe()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var renewal time.Time
	again := s.route.cfg.RetryMin
	for {
		if now := time.Now(); !now.Before(renewal) {
			renewal = now.Add(s.part(extendAfter))
			s.holdYard()
			s.watchYard()
		}
		known := s.openYard()
		next := s.releaseDue()
		wait := time.Until(renewal)
		if known {
			again = s.route.cfg.RetryMin
		} else {
			wait, again = min(wait, again), min(2*again, s.route.cfg.RetryMax)
		}
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer.Reset(max(wait, 10*time.Millisecond))
		select {
		case <-s.intake.Done():
			return
		case <-s.yardPoke:
		case <-timer.C:
		}
	}
}

// parentArrived is called with the folded path of each record that was written.
func (s *session) parentArrived(path string) {
	s.mu.Lock()
	found := s.yard.arrived(path)
	s.mu.Unlock()
	if found {
		s.pokeYard()
	}
}

// parentsAwaited tells whether a parked message waits for any record.
func (s *session) parentsAwaited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.yard.waiting) > 0
}

// expected lists the entity sets of the records that parked messages wait for.
func (s *session) expected() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.yard.sets))
}

// holds tells whether this instance is surely still the one that may try parked
// messages. s.mu is held.
func (s *session) holds(now time.Time) bool {
	return s.yard.open && now.Sub(s.yard.held) < s.part(lapseAfter)
}

func (s *session) stillHolds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds(time.Now())
}

// holdYard renews the term while anything is parked.
func (s *session) holdYard() {
	s.mu.Lock()
	due := s.yard.open && s.yard.count > 0
	s.mu.Unlock()
	if !due {
		return
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(s.intake, s.route.cfg.SettleTimeout)
	err := s.route.deps.Parking.Hold(ctx)
	cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.yard.held = asked
	case errors.Is(err, ErrFenced):
		s.yard.shut(asked.Add(s.route.cfg.AckWait))
	case s.intake.Err() == nil:
		s.route.failed("hold the parked messages", err)
	}
}

// watchYard looks after the parked messages of a route to which nothing is
// delivered, so that no instance is the consumer's active client: whoever sees the
// term ended, or unchanged for two AckWaits, takes it.
func (s *session) watchYard() {
	s.mu.Lock()
	idle := !s.gate.started && !s.yard.open
	s.mu.Unlock()
	if !idle {
		return
	}
	ctx, cancel := context.WithTimeout(s.intake, s.route.cfg.SettleTimeout)
	term, ended, err := s.route.deps.Parking.Term(ctx)
	cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch now := time.Now(); {
	case err != nil:
		if s.intake.Err() == nil {
			s.route.failed("read the parked messages", err)
		}
	case ended:
		s.yard.abandoned = true
	case term != s.yard.term || term == 0:
		s.yard.term, s.yard.seen = term, now
	case now.Sub(s.yard.seen) >= 2*s.route.cfg.AckWait:
		s.yard.abandoned = true
	}
}

// openYard reads the index when it is unknown and nothing changes it. It returns false
// when that failed.
func (s *session) openYard() bool {
	s.mu.Lock()
	y := &s.yard
	due := (s.gate.started || y.abandoned) && !y.open && y.busy == 0 && y.out == 0 && !s.ending
	epoch := s.gate.epoch
	s.mu.Unlock()
	if !due {
		return true
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(s.intake, s.route.cfg.AckWait)
	opened, err := s.route.deps.Parking.Open(ctx)
	cancel()
	if err != nil {
		if s.intake.Err() == nil {
			s.route.failed("read the parked messages", err)
		}
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	y.settle(opened, now, s.route.cfg.AckWait)
	if epoch != s.gate.epoch || y.open {
		s.pokeYard() // the gate closed meanwhile: it is read again
		return true
	}
	y.fill(opened.Parked, now)
	y.held, y.quiet, y.abandoned = asked, y.calm, false
	s.tryOpen()
	return true
}

// endTerm tells whoever opens the index next that nobody tries anything of it any more.
// It is called when all that ran has ended, and says so only if nothing parked or else may
// still take effect, and if the clients before this one have surely stopped, too.
func (s *session) endTerm(ctx context.Context) {
	if !s.parks() || s.settle.Err() != nil || s.route.late.bound <= 0 || s.route.late.any(time.Now()) {
		return
	}
	s.mu.Lock()
	sure := s.yard.open && s.yard.count > 0 && !time.Now().Before(s.yard.quiet)
	s.mu.Unlock()
	if !sure {
		return
	}
	if err := s.route.deps.Parking.End(ctx); err != nil && !errors.Is(err, ErrFenced) {
		// Whoever comes next waits then, as after a crash.
		s.route.failed("end the term of the parked messages", err)
	}
}
