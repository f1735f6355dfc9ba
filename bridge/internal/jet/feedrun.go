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
		more:  make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		lost:  make(chan error, 1),
	}
	sub, err := f.c.nc.ChanSubscribe(p.inbox+".*", p.in)
	if err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", f.cfg.Durable, f.cfg.Stream, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = p.loop(ctx)
	}()
	p.handOut(ended, handle)
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

// hand calls handle unless the message may belong to another client by now.
func (f *Feed) hand(h *held, handle func(inbound.Delivery)) {
	defer h.returned.Store(true)
	if time.Since(h.handed) >= f.cfg.AckWait {
		f.claims.Add(1)
		return
	}
	handle(&delivery{c: f.c, msg: h.msg, reply: h.reply})
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

// puller pulls and extends in one goroutine, its loop, while another one hands out what
// came. At most one pull is open, so that what was asked for never exceeds the room for it.
type puller struct {
	f     *Feed
	inbox string
	in    chan *nats.Msg
	// more tells whoever hands out that there is something, room the loop that there
	// is room for a pull: a message costs neither a change of goroutines as a rule.
	more, room chan struct{}
	// lost gets the verdict of a check for the consumer's existence.
	lost     chan error
	checking bool
	checks   sync.WaitGroup

	// mu guards the rest: the loop holds it but while it waits.
	mu  sync.Mutex
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
	p.mu.Lock()
	defer p.mu.Unlock()
	p.extended, p.pinned = time.Now(), time.Now()
	for {
		p.pull(time.Now())
		if len(p.queue) > 0 {
			poke(p.more)
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			p.mu.Lock()
			return ctx.Err()
		case err := <-p.lost:
			p.mu.Lock()
			p.checking = false
			if errors.Is(err, inbound.ErrFeedLost) {
				return err
			}
		case m := <-p.in:
			p.mu.Lock()
			now := time.Now()
			p.receive(ctx, m, now)
			for range len(p.in) { // nobody else takes from it
				p.receive(ctx, <-p.in, now)
			}
		case <-p.room:
			p.mu.Lock()
		case <-tick.C:
			p.mu.Lock()
			p.tick(ctx, time.Now())
		case <-status:
			p.mu.Lock()
			// Open pulls died with the old connection.
			p.open, p.extended, p.retryAt = false, time.Time{}, time.Time{}
			p.check(ctx)
		}
	}
}

// handOut calls handle for each message that comes, until the loop has ended.
func (p *puller) handOut(ended <-chan struct{}, handle func(inbound.Delivery)) {
	for {
		select {
		case <-ended: // what is left is Run's to decide about
			return
		default:
		}
		if h := p.next(); h != nil {
			p.f.hand(h, handle)
			continue
		}
		select {
		case <-p.more:
		case <-ended:
			return
		}
	}
}

// next takes the first message of the queue, nil when there is none.
func (p *puller) next() *held {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil
	}
	h := p.queue[0]
	h.handed = h.touched
	h.msg.Claim = p.claim(h.pin)
	p.queue, p.bytes, p.current = p.queue[1:], p.bytes-h.size, h
	if !p.open && p.roomy() {
		poke(p.room)
	}
	return h
}

// poke wakes whoever waits on the channel, or will.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
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

// roomy tells whether there is room for half of the prefetch.
func (p *puller) roomy() bool {
	return len(p.queue) <= p.f.cfg.Prefetch/2 && p.bytes <= prefetchBytes/2
}

// pull asks for messages when there is room for half of the prefetch.
func (p *puller) pull(now time.Time) {
	cfg := &p.f.cfg
	if p.open || now.Before(p.retryAt) || !p.roomy() {
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

// receive takes a message or a status that came at now, or a little later.
func (p *puller) receive(ctx context.Context, m *nats.Msg, now time.Time) {
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
