package inbound

import (
	"sync"
	"time"
)

// stragglers remembers the keys for which a write may still be on its way inside
// the server after its answer was lost. Nothing fences such a write, and waiting
// is the only proof that it cannot come any more: until its bound has passed, only
// the same write of the same message may be made to that key. There are never more entries than
// failed attempts within one bound.
type stragglers struct {
	bound time.Duration // 0 or less: none are expected

	mu   sync.Mutex
	keys map[string]straggler
	next time.Time // when to look for entries that are over
}

type straggler struct {
	attempt attemptID
	until   time.Time
}

// attemptID names one write of one message.
type attemptID struct {
	message messageID
	// write is its place among the writes of the message.
	write int
}

// note remembers an attempt that ended at now without a certain answer.
func (s *stragglers) note(lane string, id attemptID, now time.Time) {
	if s.bound <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = make(map[string]straggler)
	}
	if !now.Before(s.next) {
		for k, v := range s.keys {
			if !now.Before(v.until) {
				delete(s.keys, k)
			}
		}
		s.next = now.Add(s.bound)
	}
	s.keys[lane] = straggler{id, now.Add(s.bound)}
}

// left is how long a write must wait before it may be made.
func (s *stragglers) left(lane string, id attemptID, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.keys[lane]
	if !ok || v.attempt == id {
		return 0
	}
	return max(v.until.Sub(now), 0)
}
