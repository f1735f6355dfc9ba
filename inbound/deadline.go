package inbound

import (
	"context"
	"sync"
	"time"
)

// deadlines hands out contexts that end limit after now at the latest, and seven
// eighths of it after now at the earliest. Calls that begin soon after one another
// share one: a context and a timer of its own for each acknowledgement would be a good
// part of what that costs. All end with parent, which frees them.
type deadlines struct {
	parent context.Context
	limit  time.Duration

	mu     sync.Mutex
	shared context.Context
	end    context.CancelFunc
	made   time.Time
}

// context returns the context of a call that begins now.
func (d *deadlines) context() context.Context {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared == nil || now.Sub(d.made) > d.limit/8 {
		// The one before is in use still, and ends by itself.
		d.shared, d.end = context.WithTimeout(d.parent, d.limit)
		d.made = now
	}
	return d.shared
}
