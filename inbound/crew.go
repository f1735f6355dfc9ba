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
	queue []queued // first in, first out
	first int      // the place of the first one in queue
}

// queued is a message that nobody works on yet, or the turn of somebody who waits.
type queued struct {
	e    *entry
	turn *turn
}

// turn is a place in the queue of one who has begun already.
type turn struct {
	come chan struct{} // closed when it comes
	gone bool          // nobody waits for it any more
}

// take tells whether e may be worked on now; it is queued else.
func (c *crew) take(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy < c.limit {
		c.busy++
		return true
	}
	c.queue = append(c.queue, queued{e: e})
	return false
}

// inTurn is called by one that is done, and hands in what comes next in its lanes, so that
// no lane goes before all the others. It returns what to work on next, nil when nothing.
func (c *crew) inTurn(e *entry) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, queued{e: e})
	c.busy--
	return c.more()
}

// next is called by one that is done, or begins to wait: it returns what to work on next, nil when nothing.
func (c *crew) next() *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	return c.more()
}

// more takes the next one if there is room. Where it is the turn of somebody who waits,
// that one goes on, and there is nothing to return. c.mu is held.
func (c *crew) more() *entry {
	for c.busy < c.limit && c.first < len(c.queue) {
		q := c.queue[c.first]
		c.queue[c.first] = queued{}
		if c.first++; 2*c.first >= len(c.queue) { // what is left moves once for each one taken
			left := copy(c.queue, c.queue[c.first:])
			clear(c.queue[left:])
			c.queue, c.first = c.queue[:left], 0
		}
		if q.turn != nil && q.turn.gone {
			continue
		}
		c.busy++
		if q.turn == nil {
			return q.e
		}
		close(q.turn.come)
		return nil
	}
	return nil
}

// behind puts one who has begun behind all that wait, and returns its turn and what
// to work on instead of it, both nil when nobody waits.
func (c *crew) behind() (t *turn, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == len(c.queue) {
		return nil, nil
	}
	t = &turn{come: make(chan struct{})}
	c.queue = append(c.queue, queued{turn: t})
	c.busy--
	return t, c.more()
}

// giveUp ends the wait for a turn.
func (c *crew) giveUp(t *turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-t.come: // it is counted
	default:
		t.gone = true
		c.busy++
	}
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

// awaitTurn lets all that wait be worked on before a repeated attempt. It returns false
// when the session is ending.
func (s *session) awaitTurn() bool {
	t, e := s.crew.behind()
	if e != nil {
		s.put(e)
	}
	if t == nil {
		return true
	}
	select {
	case <-t.come:
		return true
	case <-s.intake.Done():
		s.crew.giveUp(t)
		return false
	}
}

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
		for e != nil {
			e = s.after(e, s.workOn(e))
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
