package jet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// servant answers acknowledgements as a test wants.
func servant(t *testing.T, c *Conn, subject string, answer func(*nats.Msg)) {
	t.Helper()
	if _, err := c.nc.Subscribe(subject, answer); err != nil {
		t.Fatal(err)
	}
	if err := c.nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheAnsweredAcknowledgementCountsAsConfirmed(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	// Every second one is answered, in another order than they came.
	var mu sync.Mutex
	var kept []*nats.Msg
	servant(t, c, "ack.*.*", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(m.Subject, ".0") {
			return
		}
		if kept = append(kept, m); len(kept) == 50 {
			for i := len(kept) - 1; i >= 0; i-- {
				_ = kept[i].Respond(nil)
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type result struct {
		id  int
		err error
	}
	results := make(chan result, 100)
	for i := range 100 {
		go func() {
			err := c.acks.confirm(ctx, t.Context(), fmt.Sprintf("ack.%d.%d", i, i%2), ackBody)
			results <- result{i, err}
		}()
	}
	for range 50 {
		if r := within(t, results, "a confirmation"); r.err != nil || r.id%2 == 0 {
			t.Fatalf("acknowledgement %d ended with %v; only odd ones were answered", r.id, r.err)
		}
	}
	cancel()
	for range 50 {
		if r := within(t, results, "an end"); !errors.Is(r.err, context.Canceled) {
			t.Fatalf("acknowledgement %d without an answer: %v", r.id, r.err)
		}
	}
	c.acks.mu.Lock()
	defer c.acks.mu.Unlock()
	if n := len(c.acks.waiting); n != 0 {
		t.Errorf("%d acknowledgements are still remembered", n)
	}
}

func TestAnAcknowledgementThatNobodyTakesFails(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	if err := c.acks.confirm(t.Context(), t.Context(), "nobody.is.here", ackBody); !errors.Is(err, errNobodyConfirms) {
		t.Fatal(err)
	}
}

func TestABrokenConnectionEndsTheWaitForAConfirmation(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := connect(t, e)
	asked := make(chan struct{}, 1)
	servant(t, c, "ack.*", func(*nats.Msg) { asked <- struct{}{} })
	result := make(chan error, 1)
	go func() {
		result <- c.acks.confirm(t.Context(), c.session.Load().ctx, "ack.1", ackBody)
	}()
	within(t, asked, "the acknowledgement")
	e.Stop()
	if err := within(t, result, "an end"); !errors.Is(err, errBrokenConnection) {
		t.Fatal(err)
	}
}

func TestALateAnswerIsNobodyElses(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	late := make(chan *nats.Msg, 1)
	servant(t, c, "ack.late", func(m *nats.Msg) { late <- m })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.acks.confirm(ctx, t.Context(), "ack.late", ackBody); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	servant(t, c, "ack.next", func(m *nats.Msg) {
		// The late answer comes first; only the second is this one's.
		_ = within(t, late, "the late one").Respond([]byte("late"))
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"503"}}})
	})
	if err := c.acks.confirm(t.Context(), t.Context(), "ack.next", ackBody); !errors.Is(err, errNobodyConfirms) {
		t.Fatalf("the answer of another acknowledgement was taken: %v", err)
	}
}
