package inbound

import "sync"

// Arrivals tells the routes of a process which records were written, so that
// messages that wait for one of them are tried at once. It is safe for concurrent
// use; a nil one tells nothing.
type Arrivals struct {
	mu    sync.Mutex
	next  int
	heard map[int]func(path string)
}

// NewArrivals makes one for the routes of one organization.
func NewArrivals() *Arrivals { return &Arrivals{heard: make(map[int]func(string))} }

// Announce tells that the record with that address below the API root is there:
// contacts(emailaddress1='a%40contoso.com').
func (a *Arrivals) Announce(path string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	listeners := make([]func(string), 0, len(a.heard))
	for _, fn := range a.heard {
		listeners = append(listeners, fn)
	}
	a.mu.Unlock()
	path = foldPath(path)
	for _, fn := range listeners {
		fn(path)
	}
}

// subscribe calls fn with each folded path until the returned function is called.
func (a *Arrivals) subscribe(fn func(path string)) (unsubscribe func()) {
	if a == nil {
		return func() {}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id := a.next
	a.next++
	a.heard[id] = fn
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.heard, id)
	}
}
