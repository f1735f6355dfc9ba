package inbound

import (
	"cmp"
	"slices"
	"time"
)

// leaveOver keeps a delivery that the session is too late for in hand, to give it back.
func (s *session) leaveOver(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepOver(d)
}

// keepOver is leaveOver; s is locked. The delivery is extended like all that is in hand,
// as the running writes may take their time.
func (s *session) keepOver(d Delivery) {
	m := d.Message()
	if e := s.held[m.id()]; e != nil {
		e.delivery, e.claim, e.extended = d, m.Claim, s.lastTick
		return
	}
	s.held[m.id()] = &entry{
		message: m, delivery: d, claim: m.Claim, arrived: time.Now(), progress: s.route.memory.recall(m.id()),
		extended: s.lastTick, gated: true,
	}
}

// giveBack releases, at the end of the session, what it will do nothing about any more
// and what nobody can be in doubt about: messages that no attempt was made for, or only
// such as certainly had no effect that is still to come. Those in doubt stay as they are,
// to come again after an AckWait; until then they keep the gate of the next client closed,
// so that nothing overtakes them. What may be somebody else's by now, as all is after a
// lapse, is not given back: the server would take it from that one, and the next client
// would count its bound from too early.
//
// It comes after leave, so that whoever takes over finds the mark.
func (s *session) giveBack(now time.Time) {
	if s.settle.Err() != nil {
		return
	}
	s.mu.Lock()
	var back []Delivery
	for _, e := range s.held {
		if s.undoubted(e, now) && !s.lapsed(e, now) {
			back = append(back, e.delivery)
		}
	}
	s.mu.Unlock()
	// They are delivered again in the order in which they are released.
	slices.SortFunc(back, func(a, b Delivery) int { return cmp.Compare(a.Message().Sequence, b.Message().Sequence) })
	for _, d := range back {
		if err := d.Release(); err != nil {
			s.route.failed("release", err) // they come again after AckWait
			return
		}
	}
}

// undoubted tells whether a message that is left was certainly not written, or only as
// its answer says. s is locked.
func (s *session) undoubted(e *entry, now time.Time) bool {
	return e.progress.settlement == nil && !s.route.late.of(e.message.id(), now) && (!e.unsure || s.route.late.bound > 0)
}
