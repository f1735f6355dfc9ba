package inbound

import "slices"

// lanes keeps the messages of each key in the order of the stream. A message of
// several keys stands in all of their lanes, and is worked on when it is the first
// in each: no other message of any of its keys is then.
//
// Nobody waits in a circle. The messages being worked on wait for none. All others
// stand in every lane in one and the same order, that of their sequences and, for
// equal ones, of their arrival; so the oldest of them waits for none but those
// being worked on.
type lanes struct {
	byKey map[string]*lane
}

type lane struct {
	queue []*entry
}

// add puts a message into its lanes. It tells whether the message is to be worked
// on now.
func (l *lanes) add(e *entry) bool {
	if l.byKey == nil {
		l.byKey = make(map[string]*lane)
	}
	for _, key := range e.lanes {
		q := l.byKey[key]
		if q == nil {
			l.byKey[key] = &lane{queue: []*entry{e}}
			continue
		}
		// Deliveries come in order, so this rarely moves far. What is being worked
		// on stays where it is.
		at := len(q.queue)
		for at > 0 && !q.queue[at-1].running && q.queue[at-1].message.Sequence > e.message.Sequence {
			at--
		}
		if at == 0 {
			q.queue[0].blocked++
			e.followed = true
		} else {
			e.blocked++
			q.queue[0].followed = true
		}
		q.queue = slices.Insert(q.queue, at, e)
	}
	e.running = e.blocked == 0
	return e.running
}

// done removes a message that was worked on and is settled. It returns the messages
// that are to be worked on now; more is nil unless there are several.
func (l *lanes) done(e *entry) (next *entry, more []*entry) {
	for _, key := range e.lanes {
		q := l.byKey[key]
		q.queue[0] = nil
		if q.queue = q.queue[1:]; len(q.queue) == 0 {
			delete(l.byKey, key)
			continue
		}
		first := q.queue[0]
		first.followed = first.followed || len(q.queue) > 1
		if first.blocked--; first.blocked > 0 {
			continue
		}
		first.running = true
		if next == nil {
			next = first
		} else {
			more = append(more, first)
		}
	}
	return next, more
}

// behind is how many messages wait behind e in the longest of its lanes.
func (l *lanes) behind(e *entry) int {
	n := 0
	for _, key := range e.lanes {
		if q := l.byKey[key]; q != nil {
			n = max(n, len(q.queue)-1)
		}
	}
	return n
}
