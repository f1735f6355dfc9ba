package outbound

import (
	"context"
	"strings"
	"sync/atomic"
	"time"
)

// Model shows the stream of these tests to the conformance suite, which a package of
// its own has to run.
type Model struct{ *streamModel }

// NewModel returns an empty stream.
func NewModel() Model {
	m := newStream()
	m.lag = travel
	return Model{m}
}

// travel is how long a call takes: rivals would not meet if it took no time.
func travel() time.Duration { return time.Millisecond }

// Events are the messages on the table's subjects.
func (m Model) Events(prefix string) (list []Stored) {
	for _, msg := range m.snapshot() {
		if strings.HasPrefix(msg.Subject, prefix) {
			list = append(list, msg)
		}
	}
	return list
}

// Refuse makes every commit fail; nil ends it.
func (m Model) Refuse(err error) {
	m.set(func(op string) streamFault {
		if op == "commit" {
			return streamFault{err: err}
		}
		return streamFault{}
	}, travel)
}

// Behind makes every read come from a replica without the last batches.
func (m Model) Behind(batches int) {
	m.set(func(string) streamFault { return streamFault{behind: batches} }, travel)
}

// Limits bounds a batch and a message.
func (m Model) Limits(messages, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.maxBatch, m.maxMessage = messages, bytes
}

// Stall returns a writer whose batch gets stuck.
func (m Model) Stall() (s Stream, held <-chan struct{}, release func()) {
	v := &stalled{streamModel: m.streamModel, held: make(chan struct{}), free: make(chan struct{})}
	return v, v.held, func() { close(v.free) }
}

type stalled struct {
	*streamModel
	held, free chan struct{}
}

func (s *stalled) Commit(_ context.Context, b Batch) (uint64, error) {
	close(s.held)
	<-s.free
	return s.store(b)
}

// Mute returns a writer that hears no answer.
func (m Model) Mute() (s Stream, hear func()) {
	v := &mute{streamModel: m.streamModel}
	return v, func() { v.hears.Store(true) }
}

type mute struct {
	*streamModel
	hears atomic.Bool
}

func (s *mute) Commit(_ context.Context, b Batch) (uint64, error) {
	seq, err := s.store(b)
	if !s.hears.Load() {
		return 0, ErrUnknown
	}
	return seq, err
}
