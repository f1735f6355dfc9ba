package inbound

import (
	"sync"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// memorySize is how many messages a route remembers after it let go of them.
const memorySize = 8192

// messageID names a message of a route's stream for ever.
type messageID struct {
	incarnation string
	sequence    uint64
}

func (m *Message) id() messageID { return messageID{m.Incarnation, m.Sequence} }

// progress is how far a message came. Only whoever holds the message may touch it.
type progress struct {
	attempts    int
	first, last time.Time
	retry       retryState
	// ambiguous: an attempt failed whose write may have been made all the same.
	ambiguous bool
	// again: the present write was attempted before, without success.
	again bool
	// rest is how long a parked message is left alone after this try.
	rest time.Duration
	// settlement is nil until the message's fate is decided.
	settlement *settlement
	// delivered is the number of the last delivery that came here.
	delivered uint64
}

// settlement is a decided fate and how much of it is confirmed.
type settlement struct {
	outcome string
	err     *outcome.Error
	// done counts the writes that were accepted. Result is the answer to the first;
	// results are all of them when the message has several writes.
	done    int
	result  schema.Result
	results []schema.Result

	revised, parked, lettered, receipted, acked bool
}

// memory remembers the progress of messages across redeliveries, so that one
// whose acknowledgement was lost is not written twice. It is bounded: the oldest
// are forgotten, and a forgotten message is written again, which is harmless
// because it comes again in its place.
type memory struct {
	mu    sync.Mutex
	known map[messageID]*progress
	order []messageID // a ring; order[at] is the oldest when full
	at    int
	size  int
}

func newMemory(size int) *memory {
	return &memory{known: make(map[messageID]*progress), size: size}
}

// recall returns what is known of a message, or a blank progress.
func (m *memory) recall(id messageID) *progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.known[id]; p != nil {
		return p
	}
	return &progress{}
}

// keep remembers the progress of a message.
func (m *memory) keep(id messageID, p *progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.known[id]; ok {
		m.known[id] = p
		return
	}
	if len(m.order) < m.size {
		m.order = append(m.order, id)
	} else {
		delete(m.known, m.order[m.at])
		m.order[m.at] = id
		m.at = (m.at + 1) % m.size
	}
	m.known[id] = p
}
