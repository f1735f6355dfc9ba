package inbound

import (
	"fmt"
	"sync"

	"cebridge/schema/outcome"
)

// window notices that writes are refused one after another, over distinct keys:
// then the fault is not in the messages.
type window struct {
	limit int
	// all counts every refusal, not only those about rights and configuration.
	all bool

	mu   sync.Mutex
	keys map[string]struct{}
}

func newWindow(limit int) *window {
	if limit == 0 {
		return &window{limit: DefaultStopWindow}
	}
	return &window{limit: limit, all: true}
}

// refused tells whether this refusal fills the window.
func (w *window) refused(key string, reason outcome.Reason) bool {
	if w.limit < 0 || !w.all && !general(reason) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keys == nil {
		w.keys = make(map[string]struct{}, w.limit)
	}
	w.keys[key] = struct{}{}
	return len(w.keys) >= w.limit
}

// refusals is why a route stops when its window is full.
type refusals struct {
	keys int
	last *outcome.Error
}

func (r *refusals) Error() string { return r.prefix() + r.last.Error() }

func (r *refusals) Unwrap() error { return r.last }

func (r *refusals) prefix() string {
	return fmt.Sprintf("%d keys were refused and no write was accepted in between, the last one: ", r.keys)
}

// clear begins anew: a write was accepted, or a person resumed the route.
func (w *window) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.keys)
}

// general tells whether a reason rarely concerns one record alone.
func general(r outcome.Reason) bool {
	switch r {
	case outcome.Unauthorized, outcome.Forbidden, outcome.TargetForbidden, outcome.Config, outcome.Unsupported:
		return true
	}
	return false
}
