package jet

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"cebridge/inbound"
)

// heard is told how an acknowledgement ended.
type heard chan error

func (h heard) Acked(err error) { h <- err }

func later(c *Conn, subject string) *delivery {
	return &delivery{c: c, reply: subject, msg: &inbound.Message{Stream: source, Sequence: 7}}
}

func (a *acks) outstanding() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.awaited)
}

func TestEveryAcknowledgementThatNobodyWaitsForEndsOnce(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	servant(t, c, "ack.*", func(m *nats.Msg) {
		_ = m.Respond(nil)
		_ = m.Respond(nil) // an answer too many
	})
	const n = 200
	h := make(heard, 3*n)
	for i := range n {
		later(c, fmt.Sprint("ack.", i)).AckLater(t.Context(), h, true)
	}
	for range n {
		if err := within(t, h, "an end"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(h) != 0 || c.acks.outstanding() != 0 {
		t.Errorf("%d ends too many, %d still awaited", len(h), c.acks.outstanding())
	}
}

func TestWhatIsAcknowledgedLaterFailsAsWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := connect(t, e)
	asked := make(chan struct{}, 2)
	servant(t, c, "ack.silent", func(*nats.Msg) { asked <- struct{}{} })
	h := make(heard, 1)

	later(c, "nobody.is.here").AckLater(t.Context(), h, true)
	if err := within(t, h, "the end without anybody"); !errors.Is(err, errNobodyConfirms) {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	later(c, "ack.silent").AckLater(ctx, h, true)
	within(t, asked, "the acknowledgement")
	cancel()
	if err := within(t, h, "the end with its context"); !errors.Is(err, context.Canceled) {
		t.Errorf("context ended: %v", err)
	}
	later(c, "ack.silent").AckLater(ctx, h, true)
	if err := within(t, h, "the end of what is too late"); !errors.Is(err, context.Canceled) {
		t.Errorf("context over before: %v", err)
	}
	later(c, "ack.silent").AckLater(t.Context(), h, true)
	within(t, asked, "the acknowledgement")
	e.Stop()
	if err := within(t, h, "the end with the connection"); !errors.Is(err, errBrokenConnection) {
		t.Errorf("connection broken: %v", err)
	}
	if len(asked) != 0 {
		t.Error("what was over before was sent")
	}
	if n := c.acks.outstanding(); n != 0 {
		t.Errorf("%d acknowledgements are still awaited", n)
	}
}

func TestALateAnswerEndsNoOtherAcknowledgement(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	late := make(chan *nats.Msg, 1)
	servant(t, c, "ack.late", func(m *nats.Msg) { late <- m })
	servant(t, c, "ack.next", func(m *nats.Msg) {
		_ = within(t, late, "the late one").Respond(nil)
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"503"}}})
	})
	ctx, cancel := context.WithCancel(t.Context())
	h := make(heard, 2)
	later(c, "ack.late").AckLater(ctx, h, true)
	cancel()
	if err := within(t, h, "an end"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	later(c, "ack.next").AckLater(t.Context(), h, true)
	if err := within(t, h, "an end"); !errors.Is(err, errNobodyConfirms) {
		t.Fatalf("the answer of another acknowledgement was taken: %v", err)
	}
}
