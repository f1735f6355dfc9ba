package inbound

import (
	"slices"
	"time"
)

// stuck tells whether messages were held back for too long: two clients that hold
// messages back could else wait for each other.
func (s *session) stuck(now time.Time) bool {
	if s.gate.open || now.Sub(s.shutAt) < maxHoldBack*s.route.cfg.AckWait {
		return false
	}
	for _, e := range s.held {
		if e.gated {
			return true
		}
	}
	return false
}

// closeGate makes everything that arrives from now on wait.
func (s *session) closeGate() {
	s.gate.close()
	s.closedGate()
}

// closedGate follows a closing of the gate. What waits from an earlier claim is
// let go of: others may have settled it since, and if not it will come again.
func (s *session) closedGate() {
	s.shutAt = time.Now()
	for _, e := range s.held {
		if e.gated && e.claim != s.gate.claim {
			s.release(e)
		}
	}
	select {
	case s.gateShut <- struct{}{}:
	default:
	}
}

// tryOpen opens the gate if that is safe now, and starts what waited in the order
// of the stream.
func (s *session) tryOpen() {
	if s.ending || s.parks() && !s.yard.open || !s.gate.tryOpen(s.inHand) {
		return
	}
	s.pokeYard() // parked messages wait for the gate, too
	var waiting []*entry
	for _, e := range s.held {
		if e.gated {
			waiting = append(waiting, e)
		}
	}
	slices.SortFunc(waiting, func(a, b *entry) int {
		if a.message.Sequence < b.message.Sequence {
			return -1
		}
		return 1
	})
	for _, e := range waiting {
		s.start(e)
	}
}

// inHand counts the messages in hand up to a sequence that are surely not settled.
func (s *session) inHand(upTo uint64) int {
	n := 0
	for id, e := range s.held {
		if id.sequence <= upTo && !e.settling {
			n++
		}
	}
	return n
}
