package webapi

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"cebridge/schema/outcome"
)

const (
	// MaxBatch is the most requests that the service takes in one $batch. Source:
	// "Execute batch operations using the Web API".
	MaxBatch = 1000
	// DefaultLinger is how long a write waits for others to share a request with.
	DefaultLinger = 2 * time.Millisecond
	// maxBatchBytes bounds the body of one $batch request.
	maxBatchBytes = 4 << 20
	// maxBatchedBody is the largest single body that is packed.
	maxBatchedBody = 1 << 20
	// batchesOff is how long writes go one by one after the server refused $batch itself.
	batchesOff = 10 * time.Minute
)

// BatchConfig says how writes share requests. The zero value sends each alone.
type BatchConfig struct {
	// Max is the most writes in one request; 0 and 1 switch batches off.
	Max int
	// Linger bounds how long a write waits for others; 0 is DefaultLinger. Nothing
	// waits while no other write is under way.
	Linger time.Duration
}

// batcher packs writes that are under way at the same time into $batch requests
// without change sets: each has its own outcome, as if it had been sent alone. Its
// callers see to it that no two of them write to one record.
//
// A write is sent at once when no other is under way. Else it waits for company:
// until a request is full, or the linger is over, which is never longer than a
// quarter of what a request took lately; and for as long as there is no slot, more
// can join. One write alone is a plain request. The size follows the server: it
// is halved by a batch that was too large or took too long, and grows back.
type batcher struct {
	client *Client
	most   int
	linger time.Duration
	// tickets of passengers that left, for others: a good part of what a write takes.
	tickets sync.Pool

	mu       sync.Mutex
	queue    []*passenger
	inside   int // callers of do
	flying   int // writes in requests that run
	starting int // requests that wait for a slot
	size     int // 1 to most
	took     time.Duration
	timer    *time.Timer
	offUntil time.Time
	// life ends when there is no caller left.
	life context.Context
	end  context.CancelFunc
}

// passenger is one write in a batch.
type passenger struct {
	ctx  context.Context
	call *call
	// ticket has room for the one answer.
	ticket chan arrival

	// Guarded by batcher.mu.
	left bool
	trip *trip // nil while it waits
}

// trip is one request with its passengers.
type trip struct {
	aboard int // callers that still wait
	cancel context.CancelFunc
}

// arrival is what became of a write. Without anything set it asks the caller to
// send its write alone.
type arrival struct {
	// permit is the right to send it alone at once.
	permit *permit
	// answer is the write's own, and verdict that on it if it is a failure. A verdict
	// without an answer is that on the whole batch.
	answer  *answer
	verdict *outcome.Error
	// err: nothing was sent.
	err error
}

func newBatcher(c *Client, cfg BatchConfig) *batcher {
	b := &batcher{client: c, most: cfg.Max, linger: cfg.Linger, size: cfg.Max}
	b.tickets.New = func() any { return make(chan arrival, 1) }
	if b.linger == 0 {
		b.linger = DefaultLinger
	}
	return b
}

// do is Client.do for a write that may share a request.
func (b *batcher) do(ctx context.Context, call *call) error {
	if len(call.body) > maxBatchedBody {
		return b.client.do(ctx, call)
	}
	p := &passenger{ctx: ctx, call: call, ticket: b.tickets.Get().(chan arrival)}
	if !b.enter(p) {
		b.tickets.Put(p.ticket)
		return b.client.do(ctx, call)
	}
	defer b.leave(p)
	select {
	case a := <-p.ticket:
		return b.finish(p, a)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", call.title(), ctx.Err())
	}
}

// finish reads the answer in the caller's own goroutine: nobody else touches what
// the call's functions close over.
func (b *batcher) finish(p *passenger, a arrival) error {
	c, call := b.client, p.call
	switch {
	case a.permit != nil:
		defer b.landed(1)
		defer c.governor.done(a.permit)
		return c.exchange(p.ctx, call, a.permit)
	case a.err != nil:
		return a.err
	case a.answer == nil && a.verdict == nil:
		return c.do(p.ctx, call)
	}
	if call.sending != nil {
		call.sending()
	}
	if a.answer == nil {
		return a.verdict
	}
	if a.answer.accepted {
		err := call.accept(a.answer.status, a.answer.fields(), bytes.NewReader(a.answer.body))
		if err == nil {
			return nil
		}
		a.answer.refuse(err)
	}
	verdict := a.verdict
	if verdict == nil {
		verdict = c.judge(call, *a.answer, nil)
	}
	if verdict.Verdict == outcome.Reauthenticate {
		return c.do(p.ctx, call) // which renews the credentials
	}
	return verdict
}

// enter queues a write, unless batches are off.
func (b *batcher) enter(p *passenger) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.offUntil.IsZero() {
		if time.Now().Before(b.offUntil) {
			return false
		}
		b.offUntil = time.Time{}
	}
	if b.inside++; b.inside == 1 {
		b.life, b.end = context.WithCancel(context.Background())
	}
	b.queue = append(b.queue, p)
	b.depart(false)
	return true
}

// leave ends a call. A permit that nobody will use is given back.
func (b *batcher) leave(p *passenger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.left = true
	unused := false
	select {
	case a := <-p.ticket:
		if unused = a.permit != nil; unused {
			b.flying--
			b.client.governor.done(a.permit)
		}
	default:
	}
	b.tickets.Put(p.ticket) // empty, and nobody writes to it: see answer
	if p.trip != nil {
		if p.trip.aboard--; p.trip.aboard == 0 {
			p.trip.cancel()
		}
	}
	if b.inside--; b.inside == 0 {
		b.end()
		b.queue = nil
	}
	if unused {
		b.depart(false) // what waits may have waited for this write's company
	}
}

// depart starts as many requests as the queue is worth. due: the linger is over.
func (b *batcher) depart(due bool) {
	for {
		waiting := len(b.queue) - b.starting*b.size
		lonely := b.flying == 0 && b.starting == 0
		switch {
		case waiting <= 0:
			return
		case waiting >= b.size, lonely, due:
			b.starting++
			go b.run(b.life)
		default:
			b.await()
			return
		}
	}
}

// await sets the timer for the oldest write that no request waits for.
func (b *batcher) await() {
	if b.timer != nil {
		return
	}
	linger := b.linger
	if b.took > 0 {
		linger = min(linger, b.took/4)
	}
	b.timer = time.AfterFunc(linger, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.timer = nil
		b.depart(true)
	})
}

// landed counts writes whose request ended.
func (b *batcher) landed(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying -= n
	b.depart(false)
}

// run waits for a slot and sends what waits by then.
func (b *batcher) run(life context.Context) {
	permit, err := b.client.governor.admit(life, inboundSide)
	b.fill(permit, err)
}

// fill sends with a permit what waits, or lets others try where there is none.
func (b *batcher) fill(permit *permit, err error) {
	b.mu.Lock()
	b.starting--
	var riders []*passenger
	life := b.life // of those who wait now: the callers for whom the slot was asked may have left
	if err == nil {
		riders = b.board()
		b.flying += len(riders)
		b.depart(false) // what did not fit
	}
	b.mu.Unlock()
	if err != nil {
		b.landed(0) // its callers left, but others may have come since
		return
	}
	if len(riders) == 0 {
		b.client.governor.done(permit)
		return
	}
	b.carry(life, riders, permit)
}

// board takes the next writes off the queue.
func (b *batcher) board() []*passenger {
	var riders []*passenger
	bytes, i, seats := 0, 0, b.size
	if budget := b.client.governor.budget; budget != nil {
		seats = budget.seats(seats)
	}
	for ; i < len(b.queue) && len(riders) < seats; i++ {
		p := b.queue[i]
		if p.left || p.ctx.Err() != nil {
			continue
		}
		if bytes += len(p.call.body) + len(p.call.path); bytes > maxBatchBytes && len(riders) > 0 {
			break
		}
		riders = append(riders, p)
	}
	clear(b.queue[:i])
	if b.queue = b.queue[i:]; len(b.queue) == 0 {
		b.queue = nil
	}
	return riders
}

// carry brings writes to their answers with a permit, which it gives back.
func (b *batcher) carry(life context.Context, riders []*passenger, permit *permit) {
	if len(riders) == 1 {
		b.sendAlone(riders[0], permit)
		return
	}
	start := time.Now()
	rest, reason := b.send(life, riders, permit)
	b.client.governor.done(permit)
	b.learn(reason, time.Since(start), len(riders))
	switch reason {
	case unserved:
		for _, p := range rest {
			b.answer(p, arrival{})
		}
		b.landed(len(riders))
	case refused:
		b.landed(len(riders) - len(rest))
		half := len(rest) / 2
		b.again(life, rest[:half])
		b.again(life, rest[half:])
	default:
		b.landed(len(riders) - len(rest))
		b.again(life, rest)
	}
}

// again sends writes that were surely not done.
func (b *batcher) again(life context.Context, riders []*passenger) {
	if len(riders) == 0 {
		return
	}
	permit, err := b.client.governor.admit(life, inboundSide)
	if err != nil {
		b.landed(len(riders))
		return
	}
	b.carry(life, riders, permit)
}

// sendAlone leaves a single write to its caller, together with the permit.
func (b *batcher) sendAlone(p *passenger, permit *permit) {
	if b.answer(p, arrival{permit: permit}) {
		return
	}
	b.client.governor.done(permit)
	b.landed(1)
}

// answer hands a write's answer to its caller, and tells whether there is one.
func (b *batcher) answer(p *passenger, a arrival) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.left {
		return false
	}
	p.ticket <- a
	return true
}
