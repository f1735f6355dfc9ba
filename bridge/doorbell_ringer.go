package bridge

import (
	"sync"
	"time"
)

// ringer passes rings on, the first at once and further ones together when the gap
// since the last poke is over: a bulk change in Customer Engagement rings for every
// record, and each poll costs a request.
type ringer struct {
	gap  time.Duration
	poke func()

	mu     sync.Mutex
	last   time.Time
	timer  *time.Timer // set while a poke is due
	silent bool
}

func (r *ringer) ring() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent || r.timer != nil {
		return
	}
	if wait := r.gap - time.Since(r.last); !r.last.IsZero() && wait > 0 {
		r.timer = time.AfterFunc(wait, r.due)
		return
	}
	r.last = time.Now()
	r.poke()
}

func (r *ringer) due() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer = nil; r.silent {
		return
	}
	r.last = time.Now()
	r.poke()
}

// silence ends it: nothing is poked afterwards.
func (r *ringer) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = true
	if r.timer != nil {
		r.timer.Stop()
	}
}
