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
// until it has half of them; what one does not want the other may have.
//
// Source: "Service protection API limits", "Send parallel requests" (the hint).
// On-premises servers have neither limits nor hint, only answers that get slow.
type governor struct {
	gate gate
	most int
	// changed and waited, if set, are told of every new limit and of every request
	// that had to wait. changed is called with the lock held.
	changed func(limit int)
	waited  func(s side, reason string, d time.Duration)

	mu      sync.Mutex
	limit   int
	running [sides]int
	waiting [sides]list.List // of *waiter
	turn    side             // who goes first when both have as many
	tuning  tuning
}

// waiter is a request without a slot. ready is closed when it has one.
type waiter struct {
	ready chan struct{}
	place *list.Element // nil once it has a slot
}

// permit is the right to one request at a time. It must be given back by done.
type permit struct {
	side  side
	epoch uint64
	sign  sign
	took  time.Duration // of a single write, else 0
	hint  int
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
)

func newGovernor(most int) *governor {
	return &governor{gate: gate{random: rand.Float64}, most: most, limit: most, tuning: tuning{starting: true}}
}

// admit waits until one more request may be sent. What waits at a closed gate
// holds no slot, so that the gate's opening lets no more through than the limit
// that the closing left.
func (g *governor) admit(ctx context.Context, s side) (*permit, error) {
	for {
		if !g.gate.open() {
			start := time.Now()
			if err := g.gate.wait(ctx); err != nil {
				return nil, err
			}
			g.tellWait(s, waitThrottle, time.Since(start))
		}
		p, err := g.slot(ctx, s)
		if err != nil {
			return nil, err
		}
		if g.gate.open() {
			return p, nil
		}
		g.done(p)
	}
}

func (g *governor) tellWait(s side, reason string, d time.Duration) {
	if g.waited != nil {
		g.waited(s, reason, d)
	}
}

// slot takes a slot, or waits for one in the order of arrival of its side.
func (g *governor) slot(ctx context.Context, s side) (*permit, error) {
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
	w := &waiter{ready: make(chan struct{})}
	w.place = g.waiting[s].PushBack(w)
	g.mu.Unlock()

	start := time.Now()
	select {
	case <-w.ready:
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if w.place != nil {
			g.waiting[s].Remove(w.place)
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
		front := g.waiting[s].Front()
		if front == nil {
			return
		}
		w := g.waiting[s].Remove(front).(*waiter)
		w.place = nil
		g.running[s]++
		g.turn = (s + 1) % sides
		close(w.ready)
	}
}

// next is the side whose turn it is: of two that wait, the one with less running.
func (g *governor) next() side {
	other := (g.turn + 1) % sides
	switch {
	case g.waiting[g.turn].Len() == 0:
		return other
	case g.waiting[other].Len() > 0 && g.running[other] < g.running[g.turn]:
		return other
	}
	return g.turn
}

// done gives a permit back and learns from how its request ended.
func (g *governor) done(p *permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[p.side]--
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
