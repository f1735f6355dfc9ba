package inbound

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Arrivals tells the routes of a process which records were written, so that
// messages that wait for one of them are tried at once. It is safe for concurrent
// use; a nil one tells nothing.
type Arrivals struct {
	mu      sync.Mutex
	next    int
	heard   map[int]listener
	list    []listener // the values of heard; replaced, never changed
	changed chan struct{}
}

// listener is one session of a route.
type listener struct {
	// arrived is called with each folded path while waits tells that anything waits for
	// one; expects returns the folded entity sets of the records that messages wait for.
	arrived func(path string)
	waits   func() bool
	expects func() []string
}

// NewArrivals makes one for the routes of one organization.
func NewArrivals() *Arrivals {
	return &Arrivals{heard: make(map[int]listener), changed: make(chan struct{}, 1)}
}

// Announce tells that the record with that address below the API root is there:
// contacts(emailaddress1='a%40contoso.com').
func (a *Arrivals) Announce(path string) {
	if a == nil {
		return
	}
	folded := ""
	for _, l := range a.listeners() {
		if !l.waits() {
			continue
		}
		if folded == "" {
			folded = foldPath(path)
		}
		l.arrived(folded)
	}
}

// Expected returns the entity sets, in lower case, of the records that parked
// messages wait for. Whoever can tell that one of them arrived has reason to look
// while there are any.
func (a *Arrivals) Expected() []string {
	if a == nil {
		return nil
	}
	sets := map[string]bool{}
	for _, l := range a.listeners() {
		for _, set := range l.expects() {
			sets[set] = true
		}
	}
	return slices.Sorted(maps.Keys(sets))
}

// Changed yields when Expected may return something else than before. It has one
// reader.
func (a *Arrivals) Changed() <-chan struct{} { return a.changed }

// note makes Changed yield. It never blocks.
func (a *Arrivals) note() {
	if a == nil {
		return
	}
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *Arrivals) listeners() []listener {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list
}

// subscribe makes a listener known until the returned function is called.
func (a *Arrivals) subscribe(l listener) (unsubscribe func()) {
	if a == nil {
		return func() {}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id := a.next
	a.next++
	a.heard[id] = l
	a.list = slices.Collect(maps.Values(a.heard))
	a.note()
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.heard, id)
		a.list = slices.Collect(maps.Values(a.heard))
		a.note()
	}
}

// foldPath is the form under which two addresses count as the same record: without
// case, blanks at the end of a text, or an order of the key's columns.
func foldPath(path string) string {
	set, predicate, keyed := strings.Cut(path, "(")
	predicate, closed := strings.CutSuffix(predicate, ")")
	if !keyed || !closed {
		return strings.ToLower(path)
	}
	// A comma within a value is percent-encoded.
	parts := strings.Split(predicate, ",")
	for i, p := range parts {
		if plain, err := url.PathUnescape(p); err == nil {
			p = plain
		}
		if text, quoted := strings.CutSuffix(p, "'"); quoted {
			p = strings.TrimRight(text, " ") + "'"
		}
		parts[i] = strings.ToLower(p)
	}
	slices.Sort(parts)
	return strings.ToLower(set) + "(" + strings.Join(parts, "\x00") + ")"
}
