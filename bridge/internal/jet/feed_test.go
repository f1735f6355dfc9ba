package jet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/outbound"
)

const source = "ERP"

// newSource starts a server with a source stream.
func newSource(t testing.TB, e *Embedded) *Conn {
	t.Helper()
	c := connect(t, e)
	if _, err := c.js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: source, Subjects: []string{"erp.>"}}); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t testing.TB, c *Conn, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		m := &nats.Msg{Subject: "erp.customer.changed", Header: nats.Header{"N": {fmt.Sprint(i)}}, Data: []byte(fmt.Sprint(i))}
		if _, err := c.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func feedConfig(change ...func(*FeedConfig)) FeedConfig {
	cfg := FeedConfig{Stream: source, Durable: "erp-customers", Subjects: []string{"erp.customer.>"}, Start: StartAll,
		AckWait: 2 * time.Second, Mode: ProvisionApply}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

func newFeed(t testing.TB, c *Conn, change ...func(*FeedConfig)) *Feed {
	t.Helper()
	f, err := c.Feed(t.Context(), feedConfig(change...))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// running is a feed in the background.
type running struct {
	got    chan inbound.Delivery
	stop   context.CancelFunc
	result chan error
}

// run hands every delivery to the test; a full channel blocks the handler.
func run(t testing.TB, f *Feed, room int) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{got: make(chan inbound.Delivery, room), stop: cancel, result: make(chan error, 1)}
	go func() {
		r.result <- f.Run(ctx, func(d inbound.Delivery) {
			select {
			case r.got <- d:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(cancel)
	return r
}

func (r *running) next(t testing.TB) inbound.Delivery {
	t.Helper()
	return within(t, r.got, "a delivery")
}

func (r *running) end(t testing.TB) error {
	t.Helper()
	r.stop()
	return within(t, r.result, "the feed's end")
}

func ack(t testing.TB, d inbound.Delivery) {
	t.Helper()
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAFeedDeliversInOrderWithAllFacts(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	send(t, c, 1, 300) // more than the prefetch
	f := newFeed(t, c)
	r := run(t, f, 0)
	claim := ""
	for i := 1; i <= 300; i++ {
		d := r.next(t)
		m := d.Message()
		claim = m.Claim
		if m.Sequence != uint64(i) || m.Number != uint64(i) || string(m.Data) != fmt.Sprint(i) || m.Deliveries != 1 {
			t.Fatalf("delivery %d is sequence %d, %q, delivery %d", i, m.Sequence, m.Data, m.Deliveries)
		}
		if i == 1 {
			if m.Subject != "erp.customer.changed" || m.Stream != source || m.Incarnation == "" || m.Claim == "" || m.Stored.IsZero() {
				t.Errorf("got %+v", m)
			}
			if diff := cmp.Diff(map[string][]string{"N": {"1"}}, m.Header); diff != "" {
				t.Error(diff)
			}
		}
		ack(t, d)
	}
	state, err := f.State(t.Context())
	want := inbound.FeedState{Delivered: 300, AckFloor: 300, Claim: claim, Active: inbound.ActiveSelf, ActiveSince: state.ActiveSince}
	if diff := cmp.Diff(want, state); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if err := r.end(t); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
}

func TestABlockedHandlerKeepsItsMessagesAndItsPin(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := newSource(t, e)
	send(t, c, 1, 50)
	short := func(cfg *FeedConfig) {
		cfg.AckWait, cfg.PinnedTTL, cfg.Prefetch = 3*time.Second, 3*time.Second, 10
	}
	first := run(t, newFeed(t, c, short), 0)
	one := first.next(t)
	claim := one.Message().Claim
	ack(t, one)
	rival := run(t, newFeed(t, connectAgain(t, c), short), 100)
	// The handler now blocks for several times AckWait and PinnedTTL. A rival would
	// get a message as soon as the pin was lost.
	select {
	case d := <-rival.got:
		t.Fatalf("the rival got sequence %d", d.Message().Sequence)
	case <-time.After(8 * time.Second):
	}
	for i := 2; i <= 50; i++ {
		m := first.next(t).Message()
		if m.Sequence != uint64(i) || m.Deliveries != 1 || m.Claim != claim {
			t.Fatalf("want sequence %d of claim %s, got %d, delivery %d, claim %s", i, claim, m.Sequence, m.Deliveries, m.Claim)
		}
	}
}

func TestWhatACrashedClientHeldComesToTheNext(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := newSource(t, e)
	send(t, c, 1, 5)
	short := func(cfg *FeedConfig) { cfg.AckWait, cfg.PinnedTTL = 4*time.Second, 500*time.Millisecond }
	doomed := connectAgain(t, c)
	first := run(t, newFeed(t, doomed, short), 10)
	old := first.next(t).Message().Claim
	ack(t, first.next(t)) // sequence 2
	for range 3 {
		first.next(t) // each was delivered to the one that is about to crash
	}
	second := run(t, newFeed(t, c, short), 10)
	doomed.NATS().Close() // no farewell, as in a crash
	got := map[uint64]uint64{}
	for len(got) < 4 {
		m := second.next(t).Message()
		if m.Claim == old || m.Claim == "" {
			t.Fatalf("sequence %d has claim %q, the old one was %q", m.Sequence, m.Claim, old)
		}
		got[m.Sequence] = m.Deliveries
	}
	if diff := cmp.Diff(map[uint64]uint64{1: 2, 3: 2, 4: 2, 5: 2}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAGracefulEndHandsTheActiveRoleOverAtOnce(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := newSource(t, e)
	long := func(cfg *FeedConfig) { cfg.AckWait, cfg.PinnedTTL = 2*patience, 2*patience }
	send(t, c, 1, 1)
	first := run(t, newFeed(t, c, long), 10)
	ack(t, first.next(t))
	second := run(t, newFeed(t, connectAgain(t, c), long), 10)
	if err := first.end(t); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	send(t, c, 2, 2)
	if m := second.next(t).Message(); m.Sequence != 2 { // long before the pin would have ended
		t.Errorf("got sequence %d", m.Sequence)
	}
}

func TestTheStateTellsWhoTheActiveClientIs(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	long := func(cfg *FeedConfig) { cfg.AckWait, cfg.PinnedTTL = 2*patience, 2*patience }
	one, two := newFeed(t, c, long), newFeed(t, connectAgain(t, c), long)
	told := func(when string, want ...inbound.Active) {
		t.Helper()
		for i, f := range []*Feed{one, two} {
			state, err := f.State(t.Context())
			if err != nil || state.Active != want[i] || state.ActiveSince.IsZero() != (want[i] == inbound.ActiveNobody) {
				t.Errorf("%s: feed %d: %+v, %v, want %v", when, i, state, err, want[i])
			}
		}
	}
	told("before anybody asked", inbound.ActiveNobody, inbound.ActiveNobody)
	first := run(t, one, 10)
	send(t, c, 1, 1)
	ack(t, first.next(t))
	second := run(t, two, 10)
	told("after a message", inbound.ActiveSelf, inbound.ActiveOther)
	if err := first.end(t); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	told("after the end of the first", inbound.ActiveNobody, inbound.ActiveNobody)
	send(t, c, 2, 2)
	ack(t, second.next(t))
	told("after the next message", inbound.ActiveOther, inbound.ActiveSelf)
}

func TestTheEndLeavesUnacknowledgedMessagesAlone(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	send(t, c, 1, 4)
	f := newFeed(t, c, func(cfg *FeedConfig) { cfg.AckWait, cfg.PinnedTTL = time.Minute, time.Minute })
	r := run(t, f, 10)
	d := r.next(t)
	for range 3 {
		r.next(t)
	}
	if err := r.end(t); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	state, err := f.State(t.Context())
	if err != nil || state.AckPending != 4 || state.AckFloor != 0 || state.Delivered != 4 {
		t.Errorf("got %+v, %v", state, err)
	}
	ack(t, d) // finished work may still be settled after the end
	if state, err = f.State(t.Context()); err != nil || state.AckFloor != 1 || state.AckPending != 3 {
		t.Errorf("after the ack: %+v, %v", state, err)
	}
}

func TestEveryRunHasClaimsOfItsOwn(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	send(t, c, 1, 2)
	f := newFeed(t, c, func(cfg *FeedConfig) { cfg.AckWait = 300 * time.Millisecond })
	seen := map[string]bool{}
	for range 3 {
		r := run(t, f, 0)
		claim := r.next(t).Message().Claim
		if seen[claim] {
			t.Errorf("claim %s came in two runs", claim)
		}
		seen[claim] = true
		if err := r.end(t); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

func TestExtendKeepsAMessageBeyondAckWait(t *testing.T) {
	t.Parallel()
	for ackWait := 3 * time.Second; !extended(t, ackWait); ackWait *= 2 {
		if ackWait > patience {
			t.Fatal("the machine always stood still for too long")
		}
	}
}

// extended extends one of two messages until the other is delivered again. It returns false
// where it came too late itself, so that a redelivery of the extended one proves nothing.
func extended(t *testing.T, ackWait time.Duration) bool {
	c := newSource(t, startServer(t))
	send(t, c, 1, 2)
	r := run(t, newFeed(t, c, func(cfg *FeedConfig) { cfg.AckWait = ackWait }), 10)
	last, late := time.Now(), false
	kept, left := r.next(t), r.next(t)
	if left.Message().Sequence != 2 {
		t.Fatal("out of order")
	}
	tick := time.NewTicker(ackWait / 10)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			late = late || time.Since(last) > ackWait/2
			last = time.Now()
			if err := kept.Extend(); err != nil {
				t.Fatal(err)
			}
		case d := <-r.got:
			m := d.Message()
			if late = late || time.Since(last) > ackWait/2; late && (m.Sequence != 2 || m.Deliveries != 2) {
				return false
			}
			if m.Sequence != 2 || m.Deliveries != 2 {
				t.Fatalf("redelivered: sequence %d, delivery %d", m.Sequence, m.Deliveries)
			}
			ack(t, kept)
			return true
		}
	}
}

func TestADeletedConsumerOrStreamEndsTheFeed(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(context.Context, *Conn) error{
		"consumer": func(ctx context.Context, c *Conn) error { return c.js.DeleteConsumer(ctx, source, "erp-customers") },
		"stream":   func(ctx context.Context, c *Conn) error { return c.js.DeleteStream(ctx, source) },
		"stream, then made again with its consumer": func(ctx context.Context, c *Conn) error {
			if err := c.js.DeleteStream(ctx, source); err != nil {
				return err
			}
			if _, err := c.js.CreateStream(ctx, jetstream.StreamConfig{Name: source, Subjects: []string{"erp.>"}}); err != nil {
				return err
			}
			_, err := c.Feed(ctx, feedConfig())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newSource(t, startServer(t))
			send(t, c, 1, 1)
			f := newFeed(t, c)
			r := run(t, f, 10)
			ack(t, r.next(t))
			if err := remove(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if err := within(t, r.result, "the end"); !errors.Is(err, inbound.ErrFeedLost) {
				t.Errorf("Run returned %v", err)
			}
			if _, err := f.State(t.Context()); !errors.Is(err, inbound.ErrFeedLost) {
				t.Errorf("State returned %v", err)
			}
		})
	}
}

func TestAStreamMadeAgainIsAnotherIncarnation(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	first := newFeed(t, c).incarnation
	if same := newFeed(t, c).incarnation; same != first {
		t.Errorf("incarnation %s, then %s", first, same)
	}
	if err := c.js.DeleteStream(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	if again := newFeed(t, newSource(t, embeddedOf(c))).incarnation; again == first {
		t.Error("the new stream has the old incarnation")
	}
}

func TestAServerRestartDoesNotEndTheFeed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := freePort(t)
	there := func(o *EmbeddedOptions) { o.StoreDir, o.Port = dir, port }
	e := startServer(t, there)
	url := e.URL()
	c, err := Connect(t.Context(), Config{URLs: []string{url}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: source, Subjects: []string{"erp.>"}}); err != nil {
		t.Fatal(err)
	}
	send(t, c, 1, 1)
	f := newFeed(t, c)
	r := run(t, f, 10)
	ack(t, r.next(t))
	e.Stop()
	startServer(t, there)
	again, err := Connect(t.Context(), Config{URLs: []string{url}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	send(t, again, 2, 2)
	if m := r.next(t).Message(); m.Sequence != 2 {
		t.Errorf("got sequence %d", m.Sequence)
	}
}

func TestAMessageThatLooksLikeAStatusIsDelivered(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	for _, status := range []string{"409", "404", "503"} {
		m := &nats.Msg{Subject: "erp.customer.x", Header: nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}}}
		if _, err := c.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, newFeed(t, c), 10)
	for i, status := range []string{"409", "404", "503"} {
		m := r.next(t).Message()
		if m.Sequence != uint64(i+1) || m.Header["Status"][0] != status {
			t.Errorf("got sequence %d, %v", m.Sequence, m.Header)
		}
	}
}

func TestLargeMessagesPassTheByteBound(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	const n = 4 // more than the bound of one pull
	size := int(c.NATS().MaxPayload())
	for range n {
		if _, err := c.js.Publish(t.Context(), "erp.customer.x", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, newFeed(t, c, func(cfg *FeedConfig) { cfg.AckWait = patience }), 0)
	for i := range n {
		d := r.next(t)
		if m := d.Message(); m.Sequence != uint64(i+1) || len(m.Data) != size {
			t.Fatalf("got sequence %d with %d bytes", m.Sequence, len(m.Data))
		}
		ack(t, d)
	}
}

func TestStartIsObeyedOnlyWhenTheDurableIsMade(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	send(t, c, 1, 3)
	s, err := c.js.Stream(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	third, err := s.GetMsg(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for start, want := range map[Start]uint64{
		StartAll: 3, StartNew: 0,
		// RFC 3339 with nanoseconds is RFC 3339.
		Start(third.Time.UTC().Format(time.RFC3339Nano)): 1,
	} {
		durable := strings.Map(func(r rune) rune {
			if r == ':' || r == '.' {
				return '-'
			}
			return r
		}, "start-"+string(start))
		at := func(cfg *FeedConfig) { cfg.Durable, cfg.Start = durable, start }
		if state, err := newFeed(t, c, at).State(t.Context()); err != nil || state.Pending != want {
			t.Errorf("start %s: %d pending, %v; want %d", start, state.Pending, err, want)
		}
		other := func(cfg *FeedConfig) { cfg.Durable, cfg.Start = durable, StartAll }
		if state, err := newFeed(t, c, other).State(t.Context()); err != nil || state.Pending != want {
			t.Errorf("start %s, opened again with all: %d pending, %v; want %d", start, state.Pending, err, want)
		}
	}
}

func TestAFeedNamesEverythingThatDoesNotFit(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	none := func(cfg *FeedConfig) { cfg.Mode = ProvisionNone }
	verify := func(cfg *FeedConfig) { cfg.Mode = ProvisionVerify }
	for _, tt := range []struct {
		name   string
		change []func(*FeedConfig)
		says   string
	}{
		{"no stream", []func(*FeedConfig){func(cfg *FeedConfig) { cfg.Stream = "NOPE" }}, "does not exist"},
		{"no consumer, verify", []func(*FeedConfig){verify}, "does not exist"},
		{"no consumer, none", []func(*FeedConfig){none}, "does not exist"},
		{"a start that is nothing", []func(*FeedConfig){func(cfg *FeedConfig) { cfg.Start = "yesterday" }}, "yesterday"},
		{"no start", []func(*FeedConfig){func(cfg *FeedConfig) { cfg.Start = "" }}, "start"},
		{"a durable with a dot", []func(*FeedConfig){func(cfg *FeedConfig) { cfg.Durable = "a.b" }}, "a.b"},
	} {
		_, err := c.Feed(t.Context(), feedConfig(tt.change...))
		if !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
	_, err := c.js.CreateConsumer(t.Context(), source, jetstream.ConsumerConfig{Durable: "erp-customers",
		FilterSubject: "erp.other", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 7 * time.Second, MaxDeliver: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{ProvisionVerify, ProvisionApply} {
		_, err = c.Feed(t.Context(), feedConfig(func(cfg *FeedConfig) { cfg.Mode = mode }))
		wants := []string{"filter_subjects", "priority_policy"}
		if mode == ProvisionVerify {
			wants = append(wants, "ack_wait is 7s, want 2s", "max_deliver is 3, want -1")
		}
		for _, want := range wants {
			if !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: want %s in: %v", mode, want, err)
			}
		}
	}
}

func TestApplyChangesWhatLosesNothing(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	send(t, c, 1, 5)
	r := run(t, newFeed(t, c), 10)
	ack(t, r.next(t))
	if err := r.end(t); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	change := func(cfg *FeedConfig) {
		cfg.AckWait, cfg.PinnedTTL, cfg.MaxAckPending = 9*time.Second, 8*time.Second, 77
	}
	f := newFeed(t, c, change)
	cons, err := c.js.Consumer(t.Context(), source, "erp-customers")
	if err != nil {
		t.Fatal(err)
	}
	cfg := cons.CachedInfo().Config
	if cfg.AckWait != 9*time.Second || cfg.PinnedTTL != 8*time.Second || cfg.MaxAckPending != 77 {
		t.Errorf("got %+v", cfg)
	}
	if state, err := f.State(t.Context()); err != nil || state.AckFloor != 1 {
		t.Errorf("the position moved: %+v, %v", state, err)
	}
}

func TestTwoClientsShareARouteWithoutGapOrOverlap(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := newSource(t, e)
	const n = 400
	short := func(cfg *FeedConfig) { cfg.AckWait, cfg.PinnedTTL, cfg.Prefetch = 4*time.Second, 2*time.Second, 16 }
	var mu sync.Mutex
	acked := map[uint64]int{}
	done := make(chan struct{})
	handle := func(d inbound.Delivery) {
		if d.Ack(context.Background()) != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if acked[d.Message().Sequence]++; len(acked) == n {
			close(done)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for range 2 {
		f := newFeed(t, connectAgain(t, c), short)
		wg.Go(func() {
			// Each client leaves and returns until the work is done.
			for ctx.Err() == nil {
				turn, stop := context.WithTimeout(ctx, 150*time.Millisecond)
				if err := f.Run(turn, handle); !errors.Is(err, turn.Err()) {
					t.Errorf("Run returned %v", err)
				}
				stop()
			}
		})
	}
	send(t, c, 1, n)
	within(t, done, "all messages")
	cancel()
	wg.Wait()
	for seq, times := range acked {
		if times != 1 {
			t.Errorf("sequence %d was handled %d times", seq, times)
		}
	}
}
