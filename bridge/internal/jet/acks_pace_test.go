package jet

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// untimed is a set of acknowledgements that are held back until the test sends them.
func untimed(t *testing.T) *acks {
	c := connect(t, startServer(t))
	c.acks.pace.armed = true // as if a timer ran
	return c.acks
}

// holding puts one in that began at the given moment, and lists what is to be sent then.
func (a *acks) holding(id uint64, at time.Time, soon bool) (due []uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := &awaited{started: at, ctx: context.Background(), broken: context.Background()}
	a.awaited[id] = w
	for _, h := range a.hold(id, w, soon) {
		due = append(due, h.id)
	}
	return due
}

func TestAcknowledgementsThatComeTogetherAreSentTogether(t *testing.T) {
	t.Parallel()
	a := untimed(t)
	began := time.Now()
	for i, step := range []struct {
		after time.Duration
		soon  bool
		due   []uint64
	}{
		{0, false, []uint64{1}}, // nothing was sent for a while
		{ackEvery / 4, false, nil},
		{ackEvery / 2, false, nil},
		{ackEvery * 3 / 4, true, []uint64{2, 3, 4}}, // somebody waits for the last one
		{ackEvery, false, nil},
		{ackEvery * 2, false, []uint64{5, 6}}, // the time is up
	} {
		if got := a.holding(uint64(i+1), began.Add(step.after), step.soon); !slices.Equal(got, step.due) {
			t.Errorf("step %d: sent %v, want %v", i+1, got, step.due)
		}
	}
}

func TestABurstOfAcknowledgementsIsBounded(t *testing.T) {
	t.Parallel()
	a := untimed(t)
	began := time.Now()
	a.holding(1, began, false)
	for id := uint64(2); id <= ackBurst; id++ {
		if due := a.holding(id, began, false); due != nil {
			t.Fatalf("%d are sent after %d", len(due), id)
		}
	}
	if due := a.holding(ackBurst+1, began, false); len(due) != ackBurst {
		t.Errorf("%d are sent at once, want %d", len(due), ackBurst)
	}
}

func TestAnAcknowledgementThatEndedWhileItWasHeldBackIsNotSent(t *testing.T) {
	t.Parallel()
	a := untimed(t)
	began := time.Now()
	a.holding(1, began, false)
	a.holding(2, began, false)
	a.holding(3, began, false)
	if !a.forget(2) {
		t.Fatal("it was not awaited")
	}
	if due := a.holding(4, began, true); !slices.Equal(due, []uint64{3, 4}) {
		t.Errorf("sent %v", due)
	}
}

func TestAcknowledgementsThatNobodyWaitsForAreSentWithoutAnother(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	servant(t, c, "ack.*", func(m *nats.Msg) { _ = m.Respond(nil) })
	const n = 3*ackBurst + 7
	h := make(heard, n)
	for i := range n {
		later(c, fmt.Sprint("ack.", i)).AckLater(t.Context(), h, false)
	}
	for range n {
		if err := within(t, h, "an end"); err != nil {
			t.Fatal(err)
		}
	}
	// The timer can be set again.
	later(c, "ack.x").AckLater(t.Context(), h, false)
	later(c, "ack.y").AckLater(t.Context(), h, false)
	for range 2 {
		if err := within(t, h, "an end"); err != nil {
			t.Fatal(err)
		}
	}
}
