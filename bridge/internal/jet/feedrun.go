package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"cebridge/inbound"
)

const (
	// pullLongest and pullGrace bound how long one pull may stay without an answer.
	pullLongest = 10 * time.Second
	pullGrace   = 5 * time.Second
	retryFirst  = 100 * time.Millisecond
	retryLast   = 5 * time.Second
	leaveWait   = 2 * time.Second
	tickShort   = 20 * time.Millisecond
	tickLong    = time.Second
	// sizeSlack covers what the server counts in a message's size besides headers
	// and body: subject and reply.
	sizeSlack = 64 << 10
)

// Run implements inbound.Feed: it returns the context's error, or one that wraps
// inbound.ErrFeedLost. At the end the pin is given back, so that another instance
// takes over at once instead of after PinnedTTL.
func (f *Feed) Run(ctx context.Context, handle func(inbound.Delivery)) error {
	f.claims.Add(1)
	f.pin.Store(nil)
	p := &puller{
		f:     f,
		inbox: f.c.nc.NewInbox(),
		in:    make(chan *nats.Msg, f.cfg.Prefetch+256),
		out:   make(chan *held),
		lost:  make(chan error, 1),
	}
	sub, err := f.c.nc.ChanSubscribe(p.inbox+".*", p.in)
	if err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", f.cfg.Durable, f.cfg.Stream, err)
	}
	ended := make(chan error, 1)
	go func() {
		defer close(p.out)
		ended <- p.loop(ctx)
	}()
	for h := range p.out { // until the loop noticed the end of ctx
		f.hand(h, handle)
	}
	err = <-ended
	p.finish(ctx, sub)
	if ctx.Err() != nil {
		p.expire(time.Now())
		for _, h := range p.queue {
			h.handed = h.touched
			h.msg.Claim = f.claim(h.pin)
			f.hand(h, handle)
		}
	}
	p.checks.Wait()
	f.leave(ctx, p.pin)
	p.pinnedAs("")
	return err
}

// finish ends the subscription and queues what the server had sent until then. What it
// sends while the subscription ends is lost, to come again after AckWait; so the open pull
// is let run empty before: the answer to a request that nothing fits into comes behind
// everything that was sent so far (nats-server 2.15.2, consumer.go: one queue of answers).
func (p *puller) finish(ctx context.Context, sub *nats.Subscription) {
	if p.f.c.Connected() && p.open && p.request("q", pullRequest{Batch: 1, MaxBytes: 1, NoWait: true, Group: pinGroup, PinID: p.pin}) == nil {
		bound := time.NewTimer(leaveWait)
		defer bound.Stop()
		for p.open {
			select {
			case m := <-p.in:
				if p.receive(ctx, m); m.Subject == p.inbox+".q" {
					p.open = false
				}
			case <-bound.C:
				p.open = false
			}
		}
	}
	// Without a connection nothing more arrives, and there is nothing to undo.
	if !p.f.c.Connected() || sub.Drain() != nil || p.f.c.nc.FlushTimeout(leaveWait) != nil {
		_ = sub.Unsubscribe()
	}
	for {
		select {
		case m := <-p.in:
			p.receive(ctx, m)
		default:
			return
		}
	}
}

// hand calls handle unless the message may belong to another client by now.
func (f *Feed) hand(h *held, handle func(inbound.Delivery)) {
	defer h.returned.Store(true)
	if time.Since(h.handed) >= f.cfg.AckWait {
		f.claims.Add(1)
		return
	}
	handle(&delivery{c: f.c, msg: h.msg, reply: h.reply})
}

// leave gives the pin back if it is still ours. Failing costs a wait of PinnedTTL at
// the next take-over, nothing else.
func (f *Feed) leave(ctx context.Context, pin string) {
	if pin == "" || !f.c.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer cancel()
	info, err := f.info(ctx)
	if err != nil || len(info.PriorityGroups) == 0 || info.PriorityGroups[0].PinnedClientID != pin {
		return
	}
	in := map[string]string{"group": pinGroup}
	if err := f.c.api(ctx, "CONSUMER.UNPIN."+f.cfg.Stream+"."+f.cfg.Durable, in, &struct{}{}); err != nil {
		f.log.Debug("the pin was not given back", "consumer", f.cfg.Durable, "error", err)
	}
}

// held is a message in this process. The loop owns it, except for returned.
type held struct {
	msg     *inbound.Message
	message inbound.Message // what msg points to as a rule: one place for both
	reply   string
	size    int
	pin     string
	// touched is when the server certainly still counted the message as ours.
	touched time.Time
	// handed is touched at the moment of handing out.
	handed time.Time
	// returned is set when handle returned: from then on the engine extends.
	returned atomic.Bool
}

// pullRequest is the body of a request for messages. Source: ADR-42, ADR-13.
type pullRequest struct {
	Expires  time.Duration `json:"expires,omitempty"`
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
	NoWait   bool          `json:"no_wait,omitempty"`
	Group    string        `json:"group"`
	PinID    string        `json:"id,omitempty"`
}

// puller pulls, extends and hands out, all in one goroutine. At most one pull is
// open, so that what was asked for never exceeds the room for it.
type puller struct {
	f     *Feed
	inbox string
	in    chan *nats.Msg
	out   chan *held
	// lost gets the verdict of a check for the consumer's existence.
	lost     chan error
	checking bool
	checks   sync.WaitGroup

	pin string
	// claimed is the claim of claimedPin when claims was claimedAt.
	claimed, claimedPin string
	claimedAt           uint64

	queue   []*held
	bytes   int
	current *held // handed out, perhaps still with a blocking handler

	number    uint64 // of the last request
	open      bool
	left      int
	deadline  time.Time
	pinned    time.Time // when the server last heard of our pin
	retryAt   time.Time
	retryWait time.Duration

	round     uint64 // of extensions
	rounds    []*held
	roundTime time.Time
	extended  time.Time
}

// loop runs until ctx ends or the consumer is lost.
func (p *puller) loop(ctx context.Context) error {
	nc := p.f.c.nc
	status := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(status)
	every := min(max(min(p.f.cfg.AckWait, p.f.cfg.PinnedTTL)/6, tickShort), tickLong)
	tick := time.NewTicker(every)
	defer tick.Stop()
	p.extended, p.pinned = time.Now(), time.Now()
	for {
		p.pull(time.Now())
		var head *held
		var out chan *held
		if len(p.queue) > 0 {
			head, out = p.queue[0], p.out
			head.handed = head.touched
			head.msg.Claim = p.claim(head.pin)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-p.lost:
			p.checking = false
			if errors.Is(err, inbound.ErrFeedLost) {
				return err
			}
		case m := <-p.in:
			p.receive(ctx, m)
		case out <- head:
			p.queue, p.bytes, p.current = p.queue[1:], p.bytes-head.size, head
		case <-tick.C:
			p.tick(ctx, time.Now())
		case <-status:
			// Open pulls died with the old connection.
			p.open, p.extended, p.retryAt = false, time.Time{}, time.Time{}
			p.check(ctx)
		}
	}
}

// claim is Feed.claim, which makes a new text each time.
func (p *puller) claim(pin string) string {
	if at := p.f.claims.Load(); p.claimed == "" || p.claimedPin != pin || p.claimedAt != at {
		p.claimed, p.claimedPin, p.claimedAt = claimOf(pin, at), pin, at
	}
	return p.claimed
}

// pinnedAs notes the pin under which this client receives, "" for none.
func (p *puller) pinnedAs(pin string) {
	switch {
	case pin == p.pin:
		return
	case pin == "":
		p.f.pin.Store(nil)
	default:
		own := pin // the parameter itself would cost each message an allocation
		p.f.pin.Store(&own)
	}
	p.pin = pin
}

// pull asks for messages when there is room for half of the prefetch.
func (p *puller) pull(now time.Time) {
	cfg := &p.f.cfg
	if p.open || now.Before(p.retryAt) || len(p.queue) > cfg.Prefetch/2 || p.bytes > prefetchBytes/2 {
		return
	}
	expires := min(max(cfg.PinnedTTL/3, tickShort), pullLongest)
	req := pullRequest{
		Expires:  expires,
		Batch:    cfg.Prefetch - len(p.queue),
		MaxBytes: max(prefetchBytes-p.bytes, int(p.f.c.nc.MaxPayload())+sizeSlack),
		Group:    pinGroup,
		PinID:    p.pin,
	}
	p.number++
	if err := p.request(strconv.FormatUint(p.number, 10), req); err != nil {
		p.later(now)
		return
	}
	p.open, p.left, p.deadline, p.pinned = true, req.Batch, now.Add(expires+pullGrace), now
}

func (p *puller) request(id string, req pullRequest) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	return p.f.c.nc.PublishRequest(apiPrefix+"CONSUMER.MSG.NEXT."+p.f.cfg.Stream+"."+p.f.cfg.Durable, p.inbox+"."+id, body)
}

// later delays the next pull, longer each time until a pull was answered.
func (p *puller) later(now time.Time) {
	p.open = false
	p.retryWait = min(max(2*p.retryWait, retryFirst), retryLast)
	p.retryAt = now.Add(p.retryWait)
}

// receive takes a message or a status.
func (p *puller) receive(ctx context.Context, m *nats.Msg) {
	now := time.Now()
	// A status has no reply. A message of a producer that looks like one has.
	if strings.HasPrefix(m.Reply, "$JS.ACK.") {
		if p.left--; p.left <= 0 {
			p.open = false
		}
		p.retryWait = 0
		p.keep(m, now)
		return
	}
	switch id := strings.TrimPrefix(m.Subject, p.inbox+"."); {
	case id == "x"+strconv.FormatUint(p.round, 10):
		for _, h := range p.rounds {
			h.touched = p.roundTime
		}
		p.rounds = nil
	case p.open && id == strconv.FormatUint(p.number, 10):
		p.status(ctx, m, now)
	}
}

// keep queues a message. A later delivery of one that is queued replaces it.
func (p *puller) keep(m *nats.Msg, now time.Time) {
	meta, err := m.Metadata()
	if err != nil {
		p.f.log.Error("a delivery has an unreadable reply subject; it comes again after ack_wait", "error", err)
		return
	}
	h := &held{
		reply:   m.Reply,
		size:    len(m.Data) + headerSize(m.Header),
		pin:     m.Header.Get("Nats-Pin-Id"),
		touched: now,
		message: inbound.Message{
			Subject: m.Subject, Header: m.Header, Data: m.Data,
			Stream: meta.Stream, Incarnation: p.f.incarnation, Sequence: meta.Sequence.Stream,
			Deliveries: meta.NumDelivered, Number: meta.Sequence.Consumer, Stored: meta.Timestamp,
		},
	}
	h.msg = &h.message
	delete(m.Header, "Nats-Pin-Id")
	p.pinnedAs(h.pin)
	if meta.NumDelivered > 1 {
		for i, old := range p.queue {
			if old.msg.Sequence == h.msg.Sequence {
				p.bytes += h.size - old.size
				p.queue[i] = h
				return
			}
		}
	}
	p.queue = append(p.queue, h)
	p.bytes += h.size
}

// status ends the open pull. Source: ADR-13, nats-server consumer.go.
func (p *puller) status(ctx context.Context, m *nats.Msg, now time.Time) {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case code == "100":
		return
	case code == "404", code == "408", code == "409" && strings.Contains(text, "MaxBytes"),
		code == "409" && strings.Contains(text, "Batch Completed"):
		p.open, p.retryWait = false, 0
	case code == "423":
		p.open, p.retryWait = false, 0
		p.pinnedAs("")
	default:
		// Leadership change, shutdown, deletion, nobody listening.
		p.later(now)
		p.check(ctx)
	}
}

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
