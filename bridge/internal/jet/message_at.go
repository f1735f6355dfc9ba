package jet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
)

// MessageAt reads one message of a stream, as a route of it would get it. No consumer is
// involved: nothing is delivered or acknowledged.
func (c *Conn) MessageAt(ctx context.Context, stream string, seq uint64) (*inbound.Message, error) {
	started := time.Now()
	s, err := c.js.Stream(ctx, stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("there is no stream %s", stream)
	case err != nil:
		return nil, fmt.Errorf("look for stream %s: %w", stream, c.explain(err, started))
	}
	m, err := s.GetMsg(ctx, seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		state := s.CachedInfo().State
		return nil, fmt.Errorf("stream %s has no message %d: it holds %d to %d", stream, seq, state.FirstSeq, state.LastSeq)
	case err != nil:
		return nil, fmt.Errorf("read message %d of stream %s: %w", seq, stream, c.explain(err, started))
	}
	return &inbound.Message{
		Subject: m.Subject, Header: m.Header, Data: m.Data, Stream: stream,
		Incarnation: incarnation(s.CachedInfo()), Sequence: m.Sequence, Deliveries: 1, Stored: m.Time,
	}, nil
}

// incarnation tells a stream from another that has its name later.
func incarnation(s *jetstream.StreamInfo) string {
	return strconv.FormatInt(s.Created.UnixNano(), 36)
}
