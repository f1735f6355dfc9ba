package inbound

import "sync"

// maxIdle bounds the goroutines that wait for work. What their stacks grew to is given
// back by the garbage collector when they have waited for a while.
const maxIdle = 1024

// crew are the goroutines that work on messages. As many as there are slots for writes
// take messages on, each one after another, so that a message that waits for its turn costs
// no goroutine and no change of goroutines. One that waits for anything else than a slot, and
// so does not write, steps aside for another.
//
// While messages are queued, at least so many are busy as there are slots, and each of
// them takes the next one when it is done or steps aside: so none is forgotten.
type crew struct {
	limit int

	mu    sync.Mutex
	busy  int
	queue []*entry // first in, first out
	first int      // the place of the first one in queue
}

// take tells whether e may be worked on now; it is queued else.
func (c *crew) take(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy < c.limit {
		c.busy++
		return true
	}
	c.queue = append(c.queue, e)
	return false
}

// next is called by one that is done, or begins to wait: it returns what to work on next, nil when nothing.
func (c *crew) next() *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	return c.more()
}

// more takes the next one if there is room. c.mu is held.
func (c *crew) more() *entry {
	if c.busy >= c.limit || c.first == len(c.queue) {
		return nil
	}
	e := c.queue[c.first]
	c.queue[c.first] = nil
	if c.first++; 2*c.first >= len(c.queue) { // what is left moves once for each one taken
		left := copy(c.queue, c.queue[c.first:])
		clear(c.queue[left:])
		c.queue, c.first = c.queue[:left], 0
	}
	c.busy++
	return e
}

// back ends a wait that began with next: more may be busy then than there are slots, and
// write only as slots allow.
func (c *crew) back() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy++
}

// aside lets another message be worked on while one waits for what is no slot. It is
// followed by back.
func (s *session) aside() {
	if e := s.crew.next(); e != nil {
		s.put(e)
	}
}

func (s *session) back() { s.crew.back() }

// begin works on a message, which is the first of all its lanes or has none, and on
// what waits for it, when its turn has come.
func (s *session) begin(e *entry) {
	if s.crew.take(e) {
		s.put(e)
	}
}

// put gives a message to a goroutine. One that has worked on messages before takes it if
// there is one: its stack has grown to what the steps need already, and growing a new one
// costs a good part of what a message does.
func (s *session) put(e *entry) {
	select {
	case s.idle <- e:
	default:
		s.goroutines.Go(func() { s.serve(e) })
	}
}

// serve works on e, and then on what comes as long as the session takes messages in.
func (s *session) serve(e *entry) {
	for {
		for ; e != nil; e = s.crew.next() {
			s.workLane(e)
		}
		if s.idlers.Add(1) > maxIdle || s.intake.Err() != nil {
			s.idlers.Add(-1)
			return
		}
		select {
		case e = <-s.idle:
			s.idlers.Add(-1)
		case <-s.intake.Done():
			s.idlers.Add(-1)
			return
		}
	}
}
