package webapi

import (
	"container/list"
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"cebridge/schema/outcome"
)

// side is the direction of the bridge that a request serves.
type side uint8

const (
	outboundSide side = iota // pages and metadata
	inboundSide              // writes, and the reads that a write needs
	sides
)

func (s side) String() string {
	if s == inboundSide {
		return "inbound"
	}
	return "outbound"
}

// governor decides when a request of the one user may be sent. Service protection
// limits count per user, so both directions share it.
//
// A request needs an open gate and a slot. There are at most limit slots, which
// follows what the server says: it starts at the server's hint of parallelism if
// there is one, else at the configured most; grows after a clean window, which is
// as many answers as there are slots; and is halved by a throttled or overdue
// request, once for all that were running together. It never leaves 1 to most.
// While both directions want slots, each gets every second one that is freed
// until it has half of them; what one does not want the other may have. Of outbound's
// the polls come first, and after pollsAhead of them one page of a long read.
//
// Source: "Service protection API limits", "Send parallel requests" (the hint).
// On-premises servers have neither limits nor hint, only answers that get slow.
type governor struct {
	gate   gate
	budget *Budget // nil for none
	most   int
	// changed and waited, if set, are told of every new limit and of every request
	// that had to wait. changed is called with the lock held.
	changed func(limit int)
	waited  func(s side, reason string, d time.Duration)

	mu      sync.Mutex
	limit   int
	running [sides]int
	waiting [sides]list.List // of *waiter
	bulk    list.List        // outbound's long reads, behind waiting
	passed  int              // how many were let past the front of bulk
	turn    side             // who goes first when both have as many
	hint    int              // the last one
	tuning  tuning
}

// waiter is a request without a slot. ready is closed when it has one.
type waiter struct {
	ready chan struct{}
	queue *list.List
	place *list.Element // nil once it has a slot
}

// permit is the right to one request at a time. It must be given back by done.
type permit struct {
	side  side
	epoch uint64
	sign  sign
	took  time.Duration // of a single write, else 0
	hint  int
	paid  bool  // the budget counts a request that was not made yet
	day   int64 // the day in which it was counted
}

// sign is what the end of a request says about the server's load.
type sign uint8

const (
	silent    sign = iota // nothing: no answer, or the caller gave up
	clean                 // an answer
	congested             // throttled, unavailable, or no answer in time
)

// The reasons of a wait.
const (
	waitSlot     = "slot"
	waitThrottle = "throttle"
	waitBudget   = "budget"
)

// pollsAhead is how many polls may overtake a page of a long read.
const pollsAhead = 3

func newGovernor(most int) *governor {
	return &governor{gate: gate{random: rand.Float64}, most: most, limit: most, tuning: tuning{starting: true}}
}

// admit waits until one more request may be sent.
func (g *governor) admit(ctx context.Context, s side) (*permit, error) {
	return g.admitRead(ctx, s, false)
}

// admitRead is admit for a request that may be a part of a long read. What waits at
// a closed gate, or for the budget, holds no slot, so that the gate's opening lets no
// more through than the limit that the closing left.
func (g *governor) admitRead(ctx context.Context, s side, bulk bool) (*permit, error) {
	for {
		if g.budget != nil {
			waited, err := g.budget.admit(ctx, s, bulk)
			if err != nil {
				return nil, err
			}
			if waited > time.Millisecond {
				g.tellWait(s, waitBudget, waited)
			}
		}
		if !g.gate.open() {
			start := time.Now()
			if err := g.gate.wait(ctx); err != nil {
				return nil, err
			}
			g.tellWait(s, waitThrottle, time.Since(start))
		}
		p, err := g.slot(ctx, s, bulk)
		if err != nil {
			return nil, err
		}
		if g.gate.open() && g.pay(p, bulk) {
			return p, nil
		}
		g.done(p)
	}
}

// pay counts the request in the budget, before it is made: what only looked would find
// the same room as many others. It tells whether there was room.
func (g *governor) pay(p *permit, bulk bool) bool {
	if g.budget == nil {
		return true
	}
	return g.budget.pay(p, bulk)
}

func (g *governor) tellWait(s side, reason string, d time.Duration) {
	if g.waited != nil {
		g.waited(s, reason, d)
	}
}

// slot takes a slot, or waits for one in the order of arrival of its side.
func (g *governor) slot(ctx context.Context, s side, bulk bool) (*permit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	if g.total() < g.limit {
		p := g.take(s)
		g.mu.Unlock()
		return p, nil
	}
	g.tuning.pressed = true
	w := &waiter{ready: make(chan struct{}), queue: &g.waiting[s]}
	if bulk && s == outboundSide {
		w.queue = &g.bulk
	}
	w.place = w.queue.PushBack(w)
	g.mu.Unlock()

	start := time.Now()
	select {
	case <-w.ready:
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if w.place != nil {
			w.queue.Remove(w.place)
			return nil, ctx.Err()
		}
		// It was given a slot at the same moment.
		g.running[s]--
		g.grant()
		return nil, ctx.Err()
	}
	g.tellWait(s, waitSlot, time.Since(start))
	g.mu.Lock()
	defer g.mu.Unlock()
	return &permit{side: s, epoch: g.tuning.epoch}, nil
}

func (g *governor) total() int { return g.running[outboundSide] + g.running[inboundSide] }

func (g *governor) take(s side) *permit {
	g.running[s]++
	g.turn = (s + 1) % sides
	if g.total() == g.limit {
		g.tuning.pressed = true
	}
	return &permit{side: s, epoch: g.tuning.epoch}
}

// grant gives free slots to those who wait.
func (g *governor) grant() {
	for g.total() < g.limit {
		s := g.next()
		queue := g.queue(s)
		front := queue.Front()
		if front == nil {
			return
		}
		w := queue.Remove(front).(*waiter)
		w.place = nil
		g.running[s]++
		g.turn = (s + 1) % sides
		close(w.ready)
	}
}

// queue is what of a side is next.
func (g *governor) queue(s side) *list.List {
	switch {
	case s != outboundSide || g.bulk.Len() == 0:
		return &g.waiting[s]
	case g.waiting[s].Len() == 0 || g.passed >= pollsAhead:
		g.passed = 0
		return &g.bulk
	}
	g.passed++
	return &g.waiting[s]
}

// wants tells whether a side waits for a slot.
func (g *governor) wants(s side) bool {
	return g.waiting[s].Len() > 0 || s == outboundSide && g.bulk.Len() > 0
}

// next is the side whose turn it is: of two that wait, the one with less running.
func (g *governor) next() side {
	other := (g.turn + 1) % sides
	switch {
	case !g.wants(g.turn):
		return other
	case g.wants(other) && g.running[other] < g.running[g.turn]:
		return other
	}
	return g.turn
}

// done gives a permit back and learns from how its request ended.
func (g *governor) done(p *permit) {
	if p.paid {
		g.budget.giveBack(p)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[p.side]--
	if p.hint > 0 {
		g.hint = p.hint
	}
	before := g.limit
	g.limit = g.tuning.next(g.limit, g.most, p)
	if g.limit != before && g.changed != nil {
		g.changed(g.limit)
	}
	g.grant()
}

// note reads the load from an answer, or from the lack of one (status 0).
func (p *permit) note(c *call, status int, header http.Header, verdict *outcome.Error, took time.Duration) {
	if n, err := strconv.Atoi(strings.TrimSpace(header.Get("X-Ms-Dop-Hint"))); err == nil && n > 0 {
		p.hint = n
	}
	switch {
	case verdict == nil:
		p.sign = clean
	case verdict.Verdict == outcome.RetryAfter, verdict.Reason == outcome.Timeout, verdict.Reason == outcome.Throttled,
		status == http.StatusServiceUnavailable:
		p.sign = congested
	case status != 0:
		p.sign = clean
	default:
		p.sign = silent
	}
	p.took = 0
	if p.sign == clean && isSingleWrite(c.op) {
		p.took = took
	}
}

// isSingleWrite tells the requests whose time may be compared: pages and batches
// take as long as they are large.
func isSingleWrite(op string) bool {
	switch op {
	case opUpsert, opCreate, opUpdate, opDelete:
		return true
	}
	return false
}
