package jet

import (
	"context"
	"strconv"
	"time"
)

// tick extends what waits here, keeps the pin and gives up a pull without answer.
func (p *puller) tick(ctx context.Context, now time.Time) {
	cfg := &p.f.cfg
	p.expire(now)
	if now.Sub(p.extended) >= cfg.AckWait/3 {
		p.extend(now)
	}
	if p.open && now.After(p.deadline) {
		p.f.log.Warn("a pull was not answered, trying again", "consumer", cfg.Durable,
			"reported", p.f.c.async.since(p.deadline.Add(-pullGrace-pullLongest)))
		p.later(now)
		p.check(ctx)
	}
	if !p.open && p.pin != "" && now.Sub(p.pinned) >= cfg.PinnedTTL/3 {
		p.keepPin(now)
	}
}

// keepPin refreshes the pin without taking a message: no message fits in one byte.
// Only pulls refresh it, and none is made while the handler blocks.
func (p *puller) keepPin(now time.Time) {
	req := pullRequest{Batch: 1, MaxBytes: 1, NoWait: true, Group: pinGroup, PinID: p.pin}
	if p.request("k", req) == nil {
		p.pinned = now
	}
}

// extend tells the server that the queue is still wanted. The answer to the last
// one proves that all arrived.
func (p *puller) extend(now time.Time) {
	all := p.queue
	if p.current != nil && !p.current.returned.Load() {
		all = append([]*held{p.current}, all...)
	}
	if len(all) == 0 {
		p.extended = now
		return
	}
	p.round++
	nc, last := p.f.c.nc, len(all)-1
	for _, h := range all[:last] {
		if nc.Publish(h.reply, []byte("+WPI")) != nil {
			return // not connected: the next tick tries again
		}
	}
	if nc.PublishRequest(all[last].reply, p.inbox+".x"+strconv.FormatUint(p.round, 10), []byte("+WPI")) != nil {
		return
	}
	p.rounds, p.roundTime, p.extended = append([]*held(nil), all...), now, now
}

// expire drops queued messages that the server may have given to somebody else.
// They come back later than those after them, so the claim changes.
func (p *puller) expire(now time.Time) {
	kept := p.queue[:0:0]
	for _, h := range p.queue {
		if now.Sub(h.touched) >= p.f.cfg.AckWait*3/4 {
			p.bytes -= h.size
			continue
		}
		kept = append(kept, h)
	}
	if dropped := len(p.queue) - len(kept); dropped > 0 {
		p.queue = kept
		p.f.claims.Add(1)
		p.f.log.Warn("waiting messages could not be extended in time and come again", "consumer", p.f.cfg.Durable, "messages", dropped)
	}
}

// check asks, in the background, whether the consumer still exists.
func (p *puller) check(ctx context.Context) {
	if p.checking {
		return
	}
	p.checking = true
	p.checks.Go(func() {
		_, err := p.f.info(ctx)
		p.lost <- err
	})
}
