package inbound

import "context"

// acknowledge settles the message on the stream.
func (s *session) acknowledge(e *entry) bool { return s.insist("acknowledge", s.acknowledging(e)) }

// acknowledging is the call that does so.
func (s *session) acknowledging(e *entry) func(context.Context) error {
	return func(ctx context.Context) error { return s.latest(e).Ack(ctx) }
}

// latest is the delivery that the server waits for now.
func (s *session) latest(e *entry) Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.delivery
}

// latestOf is latest, and tells whether other messages of its keys wait for its end.
func (s *session) latestOf(e *entry) (d Delivery, awaited bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.delivery, e.followed
}

// acknowledgeLater is acknowledge for a message whose end is nothing but a count, which
// may be made by whoever hears of the confirmation: it sends the acknowledgement and
// leaves the rest to Acked. It returns false, and does nothing, for every other message.
// The message stays in its lanes until then, and its lanes go on only after that.
func (s *session) acknowledgeLater(e *entry) bool {
	switch e.progress.settlement.outcome {
	case Written, Superseded, Unmatching:
	default:
		return false
	}
	// A message that is settled beside its lanes, see accept, has none to go on with.
	beside := len(e.lanes) > 0 && !e.running
	latest, awaited := s.latestOf(e)
	d, ok := latest.(Later)
	if !ok || beside || s.route.deps.Observe != nil || s.settle.Err() != nil {
		return false
	}
	s.goroutines.Add(1) // the session ends only after Acked
	d.AckLater(s.settling.context(), e, awaited)
	return true
}

// Acked implements Acked.
func (e *entry) Acked(err error) {
	s := e.session
	defer s.goroutines.Done()
	if err == nil {
		s.goOn(e)
		return
	}
	s.goroutines.Go(func() {
		if s.insistOn(err, "acknowledge", s.acknowledging(e)) {
			s.goOn(e)
		}
	})
}

// goOn closes a message and lets what waited for it begin.
func (s *session) goOn(e *entry) {
	s.close(e)
	if next := s.advance(e); next != nil {
		s.begin(next)
	}
}
