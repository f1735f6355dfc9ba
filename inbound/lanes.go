package inbound

import "slices"

// lanes keeps the messages of each key in the order of the stream. The first
// message of a lane is the one being worked on; no other of its key may be.
type lanes struct {
	byKey map[string]*lane
}

type lane struct {
	key   string
	queue []*entry
}

// add puts a message into its lane. It returns the lane when it is a new one,
// which the caller must then work through from this message on, and nil otherwise.
func (l *lanes) add(e *entry) *lane {
	if q := l.byKey[e.lane]; q != nil {
		// Deliveries come in order, so this rarely moves far. The first is being
		// worked on and stays where it is.
		at := len(q.queue)
		for at > 1 && q.queue[at-1].message.Sequence > e.message.Sequence {
			at--
		}
		q.queue = slices.Insert(q.queue, at, e)
		return nil
	}
	if l.byKey == nil {
		l.byKey = make(map[string]*lane)
	}
	q := &lane{key: e.lane, queue: []*entry{e}}
	l.byKey[e.lane] = q
	return q
}

// done removes the first message, which is settled, and returns the next one. It
// returns nil when the lane is empty; the lane is gone then.
func (l *lanes) done(q *lane) *entry {
	q.queue[0] = nil
	if q.queue = q.queue[1:]; len(q.queue) == 0 {
		delete(l.byKey, q.key)
		return nil
	}
	return q.queue[0]
}
