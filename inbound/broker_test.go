package inbound

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// broker is a stream with one pinned consumer, as JetStream behaves: explicit
// acknowledgement, redelivery after the ack wait and before new messages, one
// active client that stays so while it pulls.
type broker struct {
	ackWait, pinTTL time.Duration
	maxAckPending   int
	batch           int
	// before is how often each message was delivered before this history.
	before uint64

	mu         sync.Mutex
	messages   []*Message
	delivered  uint64
	number     uint64
	pending    map[uint64]*outstanding
	acked      map[uint64]int // acknowledgements that settled something, by sequence
	deliveries map[uint64]int
	released   int // calls of Release that took effect
	pinned     *client
	claim      string
	claims     int
	lastPull   time.Time
	changed    chan struct{}
	// lazy: like the server, it makes a client the active one only when it has a message.
	lazy bool
	// onAck is called with every acknowledgement that settles a message, b locked.
	onAck func(seq uint64)
}

type outstanding struct {
	deadline time.Time
	count    uint64
	released bool // it is to be delivered again, extended or not
}

func newBroker() *broker {
	return &broker{
		ackWait: 3 * time.Second, pinTTL: 3 * time.Second, maxAckPending: 200, batch: 20,
		pending: map[uint64]*outstanding{}, acked: map[uint64]int{}, deliveries: map[uint64]int{},
		changed: make(chan struct{}),
	}
}

// publish stores a message about a key and returns its sequence.
func (b *broker) publish(key string) uint64 {
	return b.publishRaw(fmt.Sprintf(`{"key":%q}`, key))
}

func (b *broker) publishRaw(data string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	seq := uint64(len(b.messages) + 1)
	b.messages = append(b.messages, &Message{
		Subject: "erp.customer", Data: []byte(data), Stream: "ERP", Incarnation: "i1",
		Sequence: seq, Stored: time.Now(),
	})
	b.rouse()
	return seq
}

func (b *broker) rouse() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// unsettled lists the sequences that are not acknowledged, ascending.
func (b *broker) unsettled() []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []uint64
	for i := range b.messages {
		if seq := uint64(i + 1); b.acked[seq] == 0 {
			left = append(left, seq)
		}
	}
	return left
}

// client is one instance's connection to the broker; it implements Feed.
type client struct {
	b *broker
	// faults, all guarded by b.mu
	down      bool  // no connection: nothing arrives, calls fail
	ackFails  int   // so many acknowledgements fail before they reach the server
	ackMute   int   // so many reach the server but are never confirmed
	lost      bool  // the consumer is gone
	stateErr  error // State fails
	mute      bool  // Extend fails
	noClaims  bool  // the adapter does not tell who is active
	noNumbers bool
	latency   time.Duration // of each delivery; set before Run
	wire      int           // connection count: deliveries of an older one never arrive
}

// deliveriesOf is how often a message was delivered in this history.
func (b *broker) deliveriesOf(seq uint64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deliveries[seq]
}

// releases counts the messages that were given back.
func (b *broker) releases() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.released
}

func (b *broker) client() *client { return &client{b: b} }

// cut takes the connection down or up. What was on the wire is lost.
func (c *client) cut(down bool) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.down = down
	c.wire++
	c.b.rouse()
}

func (c *client) set(f func(*client)) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	f(c)
	c.b.rouse()
}

func (c *client) Run(ctx context.Context, handle func(Delivery)) error {
	timer := time.NewTicker(20 * time.Millisecond)
	defer timer.Stop()
	for {
		batch, wire, changed, lost := c.pull()
		if lost {
			return fmt.Errorf("consumer of ERP: %w", ErrFeedLost)
		}
		for _, d := range batch {
			if c.latency > 0 && ctx.Err() == nil {
				sleep(ctx, c.latency)
			}
			c.b.mu.Lock()
			arrives := c.wire == wire
			c.b.mu.Unlock()
			if arrives {
				handle(d)
			}
		}
		if len(batch) > 0 && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			c.leave()
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		}
	}
}

// leave gives the pin back.
func (c *client) leave() {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.b.pinned == c && !c.down {
		c.b.pinned = nil
		c.b.rouse()
	}
}

// pull is one pull request with its answer.
func (c *client) pull() (batch []Delivery, wire int, changed chan struct{}, lost bool) {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.lost || c.down {
		return nil, c.wire, b.changed, c.lost
	}
	now := time.Now()
	if b.pinned != c {
		if b.pinned != nil && now.Sub(b.lastPull) <= b.pinTTL {
			return nil, c.wire, b.changed, false
		}
		if b.pinned = nil; b.lazy && !b.due(now) {
			return nil, c.wire, b.changed, false
		}
		b.claims++
		b.pinned, b.claim = c, "pin"+strconv.Itoa(b.claims)
	}
	b.lastPull = now
	for _, seq := range slices.Sorted(maps.Keys(b.pending)) {
		if len(batch) < b.batch && !now.Before(b.pending[seq].deadline) {
			batch = append(batch, b.deliver(c, seq, now))
		}
	}
	for len(batch) < b.batch && len(b.pending) < b.maxAckPending && b.delivered < uint64(len(b.messages)) {
		b.delivered++
		b.pending[b.delivered] = &outstanding{}
		batch = append(batch, b.deliver(c, b.delivered, now))
	}
	return batch, c.wire, b.changed, false
}

// due tells whether there is something to deliver.
func (b *broker) due(now time.Time) bool {
	for _, p := range b.pending {
		if !now.Before(p.deadline) {
			return true
		}
	}
	return b.delivered < uint64(len(b.messages))
}

func (b *broker) deliver(c *client, seq uint64, now time.Time) Delivery {
	p := b.pending[seq]
	p.deadline, p.released = now.Add(b.ackWait), false
	p.count++
	b.number++
	b.deliveries[seq]++
	m := *b.messages[seq-1]
	m.Deliveries, m.Claim, m.Number = b.before+p.count, b.claim, b.number
	if c.noNumbers {
		m.Number = 0
	}
	d := &delivery{c: c, m: &m}
	if seq%2 == 0 { // both kinds in every test
		return laterDelivery{d}
	}
	return d
}

func (c *client) State(ctx context.Context) (FeedState, error) {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case c.lost:
		return FeedState{}, fmt.Errorf("state: %w", ErrFeedLost)
	case c.stateErr != nil:
		return FeedState{}, c.stateErr
	case c.down:
		return FeedState{}, errors.New("state: no connection")
	}
	s := FeedState{
		Delivered: b.delivered, AckFloor: b.delivered, AckPending: len(b.pending),
		Pending: uint64(len(b.messages)) - b.delivered, Claim: b.claim,
	}
	for seq := range b.pending {
		s.AckFloor = min(s.AckFloor, seq-1)
	}
	s.Active = ActiveNobody
	if b.pinned != nil && time.Since(b.lastPull) <= b.pinTTL {
		s.Active, s.ActiveSince = ActiveOther, b.lastPull
		if b.pinned == c {
			s.Active = ActiveSelf
		}
	}
	if c.noClaims {
		s.Claim, s.Active = "", ActiveUnknown
	}
	return s, nil
}

type delivery struct {
	c *client
	m *Message
}

func (d *delivery) Message() *Message { return d.m }

func (d *delivery) Ack(ctx context.Context) error {
	b := d.c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case d.c.down:
		return errors.New("ack: no connection")
	case d.c.ackFails > 0:
		d.c.ackFails--
		return errors.New("ack: timeout")
	}
	if b.pending[d.m.Sequence] != nil {
		delete(b.pending, d.m.Sequence)
		b.acked[d.m.Sequence]++
		if b.onAck != nil {
			b.onAck(d.m.Sequence)
		}
		b.rouse()
	}
	if d.c.ackMute > 0 {
		d.c.ackMute--
		return errors.New("ack: no confirmation")
	}
	return nil
}

// laterDelivery is a delivery whose confirmation comes by itself.
type laterDelivery struct{ *delivery }

func (d laterDelivery) AckLater(ctx context.Context, then Acked, _ bool) {
	go func() { then.Acked(d.Ack(ctx)) }()
}

func (d *delivery) Extend() error {
	b := d.c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.c.down || d.c.mute {
		return errors.New("extend: no connection")
	}
	if p := b.pending[d.m.Sequence]; p != nil && !p.released {
		p.deadline = time.Now().Add(b.ackWait)
	}
	return nil
}

// Release takes effect whichever delivery it names, as the server does it.
func (d *delivery) Release() error {
	b := d.c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.c.down {
		return errors.New("release: no connection")
	}
	if p := b.pending[d.m.Sequence]; p != nil {
		p.deadline, p.released = time.Now(), true
		b.released++
		b.rouse()
	}
	return nil
}
