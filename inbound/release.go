package inbound

import (
	"context"
	"errors"
	"slices"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// releaseDue puts parked messages whose time has come to work, and tells when to
// look again; the zero time when nothing calls for that.
func (s *session) releaseDue() (next time.Time) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	y := &s.yard
	if y.count == 0 || s.ending || s.gate.started && !s.gate.open || !s.holds(now) {
		return next
	}
	next = y.ripen(now)
	for _, p := range y.next(max(1, s.route.cfg.Concurrency/4) - y.out) {
		s.goroutines.Go(func() { s.tryParked(p) })
	}
	return next
}

// tryParked reads a parked message again and sends it through all steps, in the
// lanes of its keys.
func (s *session) tryParked(p *Parked) {
	id := p.Letter.Message.id()
	ctx, cancel := context.WithTimeout(s.work, s.route.cfg.SettleTimeout)
	whole, err := s.route.deps.Parking.Fetch(ctx, p)
	cancel()
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer s.pokeYard()
		if errors.Is(err, ErrNotParked) {
			s.yard.leave(id, time.Now()) // a person removed it
			return
		}
		s.yard.stay(id, time.Now(), s.route.cfg.RetryMax, p.Letter.Waits)
		s.route.failed("read a parked message", err)
		return
	}
	m := whole.Letter.Message
	e := &entry{
		session: s, message: m, arrived: time.Now(), parked: p, claim: s.currentClaim(),
		delivery: &parkedDelivery{s: s, message: m, parked: p},
		progress: &progress{
			attempts: whole.Letter.Attempts, first: whole.Letter.First, last: whole.Letter.Last, again: whole.Letter.Attempts > 0,
		},
	}
	e.progress.retry.parkedSince = whole.Letter.First
	prepared, err := s.prepareOne(m)
	if err != nil {
		s.stopOn(err)
		return
	}
	e.prepared = prepared
	if e.fate == nil {
		e.lanes = e.prepared.lanes()
		if p.done < len(e.writes) {
			e.done, e.results = p.done, accepted(p.done)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return
	}
	s.start(e)
}

func (s *session) currentClaim() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gate.claim
}

// stayParked keeps a message parked that still cannot be written.
func (s *session) stayParked(e *entry) {
	id, waits, now := e.message.id(), "", time.Now()
	if len(e.writes) > 0 {
		waits = references(e.writes[e.done])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.parked.done = s.kept(e)
	wait := e.progress.rest
	if err := e.progress.settlement.err; err != nil && err.Verdict == outcome.Park {
		// The longer it waits already, the longer it can wait for the next try.
		wait = s.route.cfg.RetryMin
		if b := s.yard.berths[id]; b != nil {
			wait = min(max(now.Sub(b.first)/2, wait), maxParkWait)
		}
		if left := e.parked.Letter.First.Add(s.route.cfg.GiveUpParked).Sub(now); left > 0 {
			wait = min(wait, left)
		}
	}
	s.yard.stay(id, now, wait, waits)
	s.pokeYard() // its next try has a time, and the index may wait for its end to be read
}

// accepted stands for the answers to the first n writes, which are not kept.
func accepted(n int) []schema.Result {
	if n == 0 {
		return nil
	}
	return slices.Repeat([]schema.Result{{Effect: schema.EffectWritten}}, n)
}

// parkedDelivery settles a parked message by removing it from where it is stored.
type parkedDelivery struct {
	s       *session
	message *Message
	parked  *Parked
}

func (d *parkedDelivery) Message() *Message { return d.message }

func (d *parkedDelivery) Ack(ctx context.Context) error {
	return d.s.route.deps.Parking.Remove(ctx, d.parked)
}

// Extend has nothing to do: nobody else is given what is parked.
func (d *parkedDelivery) Extend() error { return nil }

// Release has nothing to do: it is still parked.
func (d *parkedDelivery) Release() error { return nil }
