package webapi

import (
	"context"
	"sync"
	"time"
)

// sharedFor is how much earlier than after the whole limit a request may be ended.
const sharedFor = 100 * time.Millisecond

// deadlines gives requests the time they have. Requests of one caller that begin soon
// after one another share a context and its timer, which would else be a good part of
// what a request costs beside its connection: the writes of a route are such ones.
type deadlines struct {
	limit time.Duration

	mu      sync.Mutex
	current *deadline
}

// deadline is the context of requests that began at almost the same time.
type deadline struct {
	ctx, parent context.Context
	end         context.CancelFunc
	made        time.Time
	users       int // guarded by deadlines.mu
}

// begin returns ctx with the end of a request that begins now: limit from now, or up to
// sharedFor earlier. Its cause is errTimeout. It must be given to done.
func (d *deadlines) begin(ctx context.Context) *deadline {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.current
	if l == nil || l.parent != ctx || now.Sub(l.made) >= min(sharedFor, d.limit/8) {
		if l != nil && l.users == 0 {
			l.end()
		}
		l = &deadline{parent: ctx, made: now}
		l.ctx, l.end = context.WithTimeoutCause(ctx, d.limit, errTimeout)
		d.current = l
	}
	l.users++
	return l
}

// done ends what nobody uses, but for the newest: another request may soon share it.
func (d *deadlines) done(l *deadline) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.users--; l.users == 0 && d.current != l {
		l.end()
	}
}
