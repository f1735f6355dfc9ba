package jet

import (
	"context"
	"time"

	"cebridge/inbound"
)

// watchEvery is how often the ends of contexts are looked for: so much later than its
// deadline an acknowledgement without an answer may end.
const watchEvery = 200 * time.Millisecond

// awaited is an acknowledgement for whose confirmation nobody waits: whoever takes it
// out of acks.awaited tells of its end, so that is told once.
type awaited struct {
	d           *delivery
	then        inbound.Acked
	ctx, broken context.Context
	started     time.Time
}

func (w *awaited) end(err error) { w.then.Acked(w.d.unconfirmed(err, w.started)) }

// over tells why no answer is waited for any more, nil while it is.
func (w *awaited) over() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.broken.Err() != nil {
		return errBrokenConnection
	}
	return nil
}

// confirmLater is confirm, but tells of the end instead of returning with it. One look
// at all of them, now and then, takes the place of a goroutine for each that waits for
// an answer, the deadline and the connection. It is sent at once if soon, and within
// ackEvery else.
func (a *acks) confirmLater(w *awaited, soon bool) {
	if err := w.over(); err != nil {
		w.end(err)
		return
	}
	a.mu.Lock()
	a.last++
	id := a.last
	a.awaited[id] = w
	watch := !a.watching
	a.watching = true
	due := a.hold(id, w, soon)
	a.mu.Unlock()
	if watch {
		time.AfterFunc(watchEvery, a.watch)
	}
	a.send(due)
}

// forget tells whether the acknowledgement was awaited still.
func (a *acks) forget(id uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, there := a.awaited[id]
	delete(a.awaited, id)
	return there
}

// watch ends what has waited for too long, as long as anything waits.
func (a *acks) watch() {
	type ended struct {
		w   *awaited
		err error
	}
	var all []ended
	a.mu.Lock()
	for id, w := range a.awaited {
		if err := w.over(); err != nil {
			all = append(all, ended{w, err})
			delete(a.awaited, id)
		}
	}
	a.watching = len(a.awaited) > 0
	again := a.watching
	a.mu.Unlock()
	if again {
		time.AfterFunc(watchEvery, a.watch)
	}
	for _, e := range all {
		e.w.end(e.err)
	}
}
