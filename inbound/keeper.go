package inbound

import (
	"context"
	"errors"
	"time"
)

const (
	// ticks is how many ticks make an AckWait. A message is extended when three of
	// them have passed, so every third of AckWait at the latest.
	ticks       = 12
	extendAfter = 3
	// lapseAfter leaves a running write a quarter of AckWait to notice.
	lapseAfter = 9
	// frozenAfter is how late a tick may be before the process counts as stopped
	// and started again.
	frozenAfter = 4
)

const (
	// positionEvery is how often a position is read when nothing waits for it.
	positionEvery = 15 * time.Second
	// maxReread bounds the time between two readings while the gate is closed.
	maxReread = 500 * time.Millisecond
)

func (s *session) part(n int) time.Duration {
	return s.route.cfg.AckWait * time.Duration(n) / ticks
}

// keepHeld tells the server, in good time, that everything in hand is still being
// worked on, and ends the session when that is no longer believed.
func (s *session) keepHeld() {
	ticker := time.NewTicker(s.part(1))
	defer ticker.Stop()
	for {
		select {
		case <-s.stopKeeping:
			return
		case <-ticker.C:
		}
		if !s.extendDue(time.Now()) {
			s.lapse()
			return
		}
	}
}

// extendDue extends what is due at now. It tells whether everything in hand is
// surely still this client's.
func (s *session) extendDue(now time.Time) bool {
	type held struct {
		e *entry
		d Delivery
	}
	var due []held
	s.mu.Lock()
	frozen := now.Sub(s.lastTick) >= s.part(frozenAfter)
	s.lastTick = now
	for _, e := range s.held {
		if now.Sub(e.extended) >= s.part(extendAfter) {
			due = append(due, held{e, e.delivery})
		}
	}
	s.mu.Unlock()
	if frozen {
		return false
	}
	for _, h := range due {
		err := h.d.Extend()
		s.mu.Lock()
		if err == nil && h.e.delivery == h.d {
			h.e.extended = now
		}
		s.mu.Unlock()
		if err != nil {
			s.route.failed("extend", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range due {
		if s.held[h.e.message.id()] == h.e && s.lapsed(h.e, now) {
			return false
		}
	}
	return true
}

// lapsed tells whether the server may soon give the message to somebody else.
func (s *session) lapsed(e *entry, now time.Time) bool {
	return now.Sub(e.extended) >= s.part(lapseAfter)
}

// mine tells whether an attempt may begin for this message.
func (s *session) mine(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.parked != nil {
		return true // the term is what counts for it, see apply
	}
	return !s.lapsed(e, time.Now())
}

// watchPosition reads the consumer's position: as soon and as often as the gate
// needs it, and now and then for the metrics.
func (s *session) watchPosition() {
	for {
		wait := positionEvery
		if s.readPosition() {
			wait = min(maxReread, s.part(1))
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.intake.Done():
			timer.Stop()
			return
		case <-s.gateShut:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// readPosition reads the position once and tells whether the gate waits for
// another one.
func (s *session) readPosition() bool {
	s.mu.Lock()
	epoch := s.gate.epoch
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.intake, s.route.cfg.SettleTimeout)
	defer cancel()
	p, err := s.route.Position(ctx)

	s.mu.Lock()
	handOver := err == nil && s.gate.learn(epoch, p)
	s.tryOpen()
	waits := s.gate.started && !s.gate.open
	handOver = handOver || s.stuck(time.Now())
	s.mu.Unlock()
	if handOver {
		s.end(errHandOver)
		return false
	}
	switch {
	case err == nil:
		s.route.position(p, waits)
	case s.intake.Err() != nil:
		return false
	case errors.Is(err, ErrFeedLost):
		s.end(err)
	default:
		s.route.failed("read the consumer's position", err)
	}
	return waits
}
