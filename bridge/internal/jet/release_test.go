package jet

import (
	"context"
	"sync"
	"testing"
	"time"

	"cebridge/inbound"
)

// slowAckWait is longer than any test: what comes again sooner was released.
func slowAckWait(cfg *FeedConfig) { cfg.AckWait, cfg.PinnedTTL = 10*time.Minute, 10*time.Minute }

// ended runs a feed whose handler takes some messages and then blocks until the end, and
// returns everything that was handed over.
func ended(t *testing.T, f *Feed, taken int) []inbound.Delivery {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var got []inbound.Delivery
	enough := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- f.Run(ctx, func(d inbound.Delivery) {
			mu.Lock()
			got = append(got, d)
			n := len(got)
			mu.Unlock()
			if n == taken {
				close(enough)
			}
			if n >= taken {
				<-ctx.Done()
			}
		})
	}()
	within(t, enough, "the messages")
	cancel()
	within(t, result, "the feed's end")
	mu.Lock()
	defer mu.Unlock()
	return got
}

func TestWhatTheEndHandsOverAndIsReleasedComesToTheNextClientAtOnceInOrder(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := newSource(t, e)
	send(t, c, 1, 500)
	f := newFeed(t, c, slowAckWait)
	got := ended(t, f, 5)
	state, err := f.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if state.AckPending != len(got) || len(got) <= 5 {
		t.Fatalf("%d messages are unacknowledged, but %d were handed over", state.AckPending, len(got))
	}
	for i, d := range got {
		if d.Message().Sequence != uint64(i+1) {
			t.Fatalf("message %d was handed over in place %d", d.Message().Sequence, i+1)
		}
		if i == 1 {
			continue // this one is in doubt
		}
		if err := d.Release(); err != nil {
			t.Fatal(err)
		}
	}
	next := newFeed(t, connect(t, e), slowAckWait)
	r := run(t, next, 0)
	last := map[uint64]uint64{} // by how often they were delivered
	for i := range 499 {
		d := r.next(t)
		m := d.Message()
		again := uint64(1)
		if m.Sequence <= uint64(len(got)) {
			again = 2
		}
		if m.Sequence == 2 || m.Deliveries != again || m.Sequence <= last[again] {
			t.Fatalf("message %d came for the %d. time, after message %d", m.Sequence, m.Deliveries, last[again])
		}
		last[again] = m.Sequence
		if i == 0 {
			// Whoever has them waits for all that is unacknowledged, released or not.
			if s, err := next.State(t.Context()); err != nil || s.AckPending < len(got) {
				t.Errorf("%d count as unacknowledged, want at least %d (%v)", s.AckPending, len(got), err)
			}
		}
		ack(t, d)
	}
	if s, err := next.State(t.Context()); err != nil || s.AckPending != 1 {
		t.Errorf("%d are unacknowledged, want the one in doubt (%v)", s.AckPending, err)
	}
}

func TestAReleaseOfWhatIsAcknowledgedDoesNothing(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := newSource(t, e)
	send(t, c, 1, 1)
	f := newFeed(t, c, slowAckWait)
	r := run(t, f, 0)
	d := r.next(t)
	ack(t, d)
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	send(t, c, 2, 2)
	if m := r.next(t).Message(); m.Sequence != 2 {
		t.Errorf("message %d came", m.Sequence)
	}
	if err := r.end(t); err == nil {
		t.Error("the feed ended without the context's error")
	}
}
