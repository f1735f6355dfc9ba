package sim

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// hookQueue bounds the calls that wait; further ones are dropped and counted.
	hookQueue = 10_000
	// hookWorkers is how many calls run at once. Their order is not promised, as
	// with the asynchronous service.
	hookWorkers = 8
)

// WebhookStats counts webhook calls.
type WebhookStats struct {
	// Sent were answered with 2xx; Failed were not, after their retry if they had one.
	Sent   int `json:"sent"`
	Failed int `json:"failed"`
	// Retried were sent a second time.
	Retried int `json:"retried"`
	// Dropped found the queue full.
	Dropped int `json:"dropped"`
	// Pending wait or are under way.
	Pending int `json:"pending"`
}

// webhooks are the registered steps and the calls they caused.
type webhooks struct {
	// steps and compiled are guarded by the server's lock. A write to the tables
	// of registrations makes compiled false.
	steps    []hookStep
	compiled bool

	mu     sync.Mutex
	stats  WebhookStats
	idle   *sync.Cond // Pending became 0
	queue  chan hookCall
	cancel context.CancelFunc
	done   sync.WaitGroup
	closed bool
}

// hookCall is one call to make. What it points to does not change any more.
type hookCall struct {
	step    *hookStep
	message string
	def     *tableDef
	row     *row  // the new version; the last one for a delete
	columns []int // of Target
	caller  uuid.UUID
	at      time.Time
	id      uuid.UUID // operation
	// correlation is that of the request that caused it.
	correlation uuid.UUID
}

// announce notes the webhook calls that a write causes. They are sent when the
// write is certain: now, or when its change set succeeds.
func (x *tx) announce(message string, q *writeRequest, r *row) {
	h := &x.s.hooks
	d := q.table.def.Load()
	if hookTables(d.LogicalName) {
		h.compiled = false
		return
	}
	if !h.compiled {
		h.steps, h.compiled = x.s.compileSteps(), true
	}
	if len(h.steps) == 0 {
		return
	}
	written := q.columns()
	for i := range h.steps {
		step := &h.steps[i]
		if step.message != message || step.table != "" && step.table != d.LogicalName || message == messageUpdate && !step.watches(d, written) {
			continue
		}
		call := hookCall{step: step, message: message, def: d, row: r, caller: q.caller, at: x.now, id: x.s.newGUID(), columns: written}
		call.correlation = call.id
		if id, err := uuid.Parse(x.request); err == nil {
			call.correlation = id
		}
		if x.undo != nil {
			x.announced = append(x.announced, call)
			continue
		}
		h.send(x.s, call)
	}
}

// watches tells whether an update that writes these columns concerns the step.
func (h *hookStep) watches(d *tableDef, written []int) bool {
	return len(h.attributes) == 0 || slices.ContainsFunc(written, func(i int) bool {
		return slices.Contains(h.attributes, d.Columns[i].LogicalName)
	})
}

// columns are those that the body of a write names.
func (q *writeRequest) columns() []int {
	var list []int
	for _, set := range q.body.sets {
		list = append(list, set.column)
	}
	for _, b := range q.body.binds {
		if !slices.Contains(list, b.column) {
			list = append(list, b.column)
		}
	}
	return list
}

// send queues calls without waiting: the caller holds the server's lock.
func (h *webhooks) send(s *Server, calls ...hookCall) {
	if len(calls) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if h.queue == nil {
		h.begin(s)
	}
	for _, call := range calls {
		select {
		case h.queue <- call:
			h.stats.Pending++
		default:
			h.stats.Dropped++
		}
	}
}

// begin starts the workers.
func (h *webhooks) begin(s *Server) {
	ctx, cancel := context.WithCancel(context.Background())
	h.queue, h.cancel, h.idle = make(chan hookCall, hookQueue), cancel, sync.NewCond(&h.mu)
	caller := newHookCaller(s)
	for range hookWorkers {
		h.done.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case call := <-h.queue:
					h.finished(caller.call(ctx, call))
				}
			}
		})
	}
}

func (h *webhooks) finished(sent, retried bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if retried {
		h.stats.Retried++
	}
	if sent {
		h.stats.Sent++
	} else {
		h.stats.Failed++
	}
	if h.stats.Pending--; h.stats.Pending == 0 {
		h.idle.Broadcast()
	}
}

// close ends the calls under way and forgets those that wait.
func (h *webhooks) close() {
	h.mu.Lock()
	h.closed = true
	if h.cancel != nil {
		h.cancel()
		h.stats.Pending = 0
		h.idle.Broadcast()
	}
	h.mu.Unlock()
	h.done.Wait()
}

// Webhooks counts the webhook calls since the start.
func (s *Server) Webhooks() WebhookStats {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	return s.hooks.stats
}

// WaitWebhooks returns when every webhook call caused so far has ended, or the
// server is closed.
func (s *Server) WaitWebhooks() {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	for s.hooks.stats.Pending > 0 {
		s.hooks.idle.Wait()
	}
}
