package webapi

import (
	"container/list"
	"context"
	"sync"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// maxReferences bounds the answers that are remembered.
const maxReferences = 4096

// references remembers which record a search found. Only what was found is kept:
// what is missing is asked for again, since it is what a message waits for.
type references struct {
	ttl time.Duration // 0: nothing is remembered

	mu      sync.Mutex
	known   map[string]*list.Element // by query
	order   *list.List               // of *remembered, the latest used first
	flights map[string]*flight
}

type remembered struct {
	query, id string
	until     time.Time
}

// flight is a search under way, which others wait for.
type flight struct {
	done chan struct{}
	id   string
	err  error
}

// ownError is the flight's failure for one of those who share it: each may be given
// another verdict by its route.
func (f *flight) ownError() error {
	e := outcome.Of(f.err)
	if e == nil {
		return f.err
	}
	own := *e
	return &own
}

func newReferences(ttl time.Duration) *references {
	return &references{ttl: ttl, known: map[string]*list.Element{}, order: list.New(), flights: map[string]*flight{}}
}

// lookUp returns what is remembered.
func (r *references) lookUp(query string) (id string, ok bool) {
	e := r.known[query]
	if e == nil {
		return "", false
	}
	m := e.Value.(*remembered)
	if time.Now().After(m.until) {
		r.drop(e)
		return "", false
	}
	r.order.MoveToFront(e)
	return m.id, true
}

func (r *references) keep(query, id string) {
	if r.ttl <= 0 {
		return
	}
	if e := r.known[query]; e != nil {
		r.drop(e)
	}
	r.known[query] = r.order.PushFront(&remembered{query, id, time.Now().Add(r.ttl)})
	if r.order.Len() > maxReferences {
		r.drop(r.order.Back())
	}
}

func (r *references) drop(e *list.Element) {
	delete(r.known, e.Value.(*remembered).query)
	r.order.Remove(e)
}

// forget drops an answer that turned out to be wrong, unless it was renewed since.
func (r *references) forget(query, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.known[query]; e != nil && e.Value.(*remembered).id == id {
		r.drop(e)
	}
}

// refer finds the record that a reference means. old tells that the answer is an
// earlier one. Callers that want the same at the same time share one request.
func (c *Client) refer(ctx context.Context, ref *schema.Reference, sending func()) (id string, old bool, err error) {
	if !ref.Cached {
		id, err = c.search(ctx, &ref.Search, sending)
		if err == nil && id == "" {
			err = notFound(&ref.Search)
		}
		return id, false, err
	}
	r, query := c.references, ref.Query()
	for {
		r.mu.Lock()
		if id, ok := r.lookUp(query); ok {
			r.mu.Unlock()
			return id, true, nil
		}
		f := r.flights[query]
		if f == nil {
			f = &flight{done: make(chan struct{})}
			r.flights[query] = f
			r.mu.Unlock()
			c.fly(ctx, ref, query, f, sending)
			return f.id, false, f.ownError()
		}
		r.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", false, ctx.Err()
		}
		// A caller that gave up says nothing to the others.
		if f.err == nil {
			return f.id, false, nil
		}
		if outcome.Of(f.err) != nil {
			return "", false, f.ownError()
		}
	}
}

// fly makes the search of a flight.
func (c *Client) fly(ctx context.Context, ref *schema.Reference, query string, f *flight, sending func()) {
	r := c.references
	f.err = context.Canceled // should find panic, nobody takes "" for an answer
	defer func() {
		r.mu.Lock()
		if f.err == nil {
			r.keep(query, f.id)
		}
		delete(r.flights, query)
		r.mu.Unlock()
		close(f.done)
	}()
	f.id, f.err = c.search(ctx, &ref.Search, sending)
	if f.err == nil && f.id == "" {
		f.err = notFound(&ref.Search)
	}
}
