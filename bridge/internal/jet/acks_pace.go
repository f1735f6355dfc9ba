package jet

import (
	"strconv"
	"time"
)

const (
	// ackEvery is how long an acknowledgement that nobody waits for may wait for others to be
	// sent with: to write to the connection, and for the server to read from it and to
	// answer, costs as much as several acknowledgements do.
	ackEvery = 2 * time.Millisecond
	// ackBurst is how many are sent at once at most.
	ackBurst = 256
)

// pace holds acknowledgements back to send several at once. It is guarded by acks.mu.
type pace struct {
	held   []heldAck
	sentAt time.Time // when the last ones were sent
	timer  *time.Timer
	armed  bool
}

type heldAck struct {
	id uint64
	w  *awaited
}

// hold takes an acknowledgement in and returns those that are to be sent now: after a
// while without any, those so far that are not to wait; else what came within ackEvery.
// a.mu is held.
func (a *acks) hold(id uint64, w *awaited, soon bool) []heldAck {
	p := &a.pace
	p.held = append(p.held, heldAck{id, w})
	wait := ackEvery - w.started.Sub(p.sentAt)
	switch {
	case soon, wait <= 0, len(p.held) >= ackBurst:
		return a.unhold(w.started)
	case p.armed:
	case p.timer == nil:
		p.armed, p.timer = true, time.AfterFunc(wait, a.sendHeld)
	default:
		p.armed = true
		p.timer.Reset(wait)
	}
	return nil
}

// unhold returns what is still awaited of those that were held back. a.mu is held.
func (a *acks) unhold(now time.Time) []heldAck {
	p := &a.pace
	due := p.held[:0]
	for _, h := range p.held {
		if a.awaited[h.id] != nil {
			due = append(due, h)
		}
	}
	p.held, p.sentAt = make([]heldAck, 0, cap(due)), now
	return due
}

// sendHeld sends what waited for long enough.
func (a *acks) sendHeld() {
	a.mu.Lock()
	a.pace.armed = false
	due := a.unhold(time.Now())
	a.mu.Unlock()
	a.send(due)
}

// send sends acknowledgements, one after another, so that they leave together.
func (a *acks) send(due []heldAck) {
	for _, h := range due {
		err := a.nc.PublishRequest(h.w.d.reply, a.inbox+strconv.FormatUint(h.id, 36), ackBody)
		if err != nil && a.forget(h.id) {
			h.w.end(err)
		}
	}
}
