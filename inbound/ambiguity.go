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
	s.keep(lane, straggler{id, now.Add(s.bound)}, now)
}

// inherit remembers an attempt that another instance may have made, until ended at the
// latest.
func (s *stragglers) inherit(lane string, id attemptID, ended, now time.Time) {
	if until := ended.Add(s.bound); until.After(now) {
		s.keep(lane, straggler{id, until}, now)
	}
}

func (s *stragglers) keep(lane string, v straggler, now time.Time) {
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
	s.keys[lane] = v
}

// own is how long attempts of a message may still be on their way.
func (s *stragglers) own(lanes []string, id messageID) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) == 0 { // as a rule
		return 0
	}
	now, left := time.Now(), time.Duration(0)
	for _, lane := range lanes {
		if v, ok := s.keys[lane]; ok && v.attempt.message == id {
			left = max(left, v.until.Sub(now))
		}
	}
	return left
}

// of tells whether attempts of a message may still be on their way, to whichever key.
func (s *stragglers) of(id messageID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.keys {
		if v.attempt.message == id && now.Before(v.until) {
			return true
		}
	}
	return false
}

// any tells whether anything may still be on its way.
func (s *stragglers) any(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.keys {
		if now.Before(v.until) {
			return true
		}
	}
	return false
}

// left is how long a write must wait before it may be made.
func (s *stragglers) left(lane string, id attemptID) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.keys[lane]
	if !ok || v.attempt == id {
		return 0
	}
	return max(time.Until(v.until), 0)
}
