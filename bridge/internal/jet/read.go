package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// ReadStream calls fn with every message on the filter subjects (all when empty), in
// order, from sequence 1 to the end as it was when the call began; later messages may
// or may not be among them. It returns the stream's last sequence of that moment. A
// message that history limits remove while it reads may be left out.
func (c *Conn) ReadStream(ctx context.Context, stream string, filter []string, fn func(outbound.Stored) error) (last uint64, err error) {
	last, err = c.readStream(ctx, stream, filter, fn)
	if err != nil {
		return last, fmt.Errorf("read stream %s: %w", stream, err)
	}
	return last, nil
}

// readIdle is how long to wait for a message before asking whether there is any left.
const readIdle = 2 * time.Second

func (c *Conn) readStream(ctx context.Context, stream string, filter []string, fn func(outbound.Stored) error) (uint64, error) {
	started := time.Now()
	s, err := c.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, fmt.Errorf("%w: %w", outbound.ErrMisconfigured, err)
	}
	if err != nil {
		return 0, c.explain(err, started)
	}
	last := s.CachedInfo().State.LastSeq
	if len(filter) == 0 {
		filter = []string{">"}
	}
	end, err := c.lastMatch(ctx, stream, filter)
	if err != nil || end == 0 {
		return last, err
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: filter})
	if err != nil {
		return last, c.explain(err, started)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(500, readBytes(c.nc)))
	if err != nil {
		return last, c.explain(err, started)
	}
	defer messages.Stop()
	var read uint64
	for {
		m, err := messages.Next(jetstream.NextMaxWait(readIdle))
		switch {
		case ctx.Err() != nil:
			return last, ctx.Err()
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoHeartbeat):
			// What stood at the end may have been removed since.
			if end, err = c.lastMatch(ctx, stream, filter); err != nil || end <= read {
				return last, err
			}
			continue
		case err != nil:
			return last, c.explain(err, started)
		}
		meta, err := m.Metadata()
		if err != nil {
			return last, err
		}
		err = fn(outbound.Stored{Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: strip(m.Headers()), Data: m.Data()})
		if err != nil {
			return last, err
		}
		if read = meta.Sequence.Stream; read >= end {
			return last, nil
		}
		if meta.NumPending == 0 {
			// Nothing is left where the consumer lives, which may be a replica that lags:
			// the leader knows.
			if end, err = c.lastMatch(ctx, stream, filter); err != nil || end <= read {
				return last, err
			}
		}
	}
}

// lastMatch is the sequence of the last message on any of the filters, 0 for none.
func (c *Conn) lastMatch(ctx context.Context, stream string, filter []string) (uint64, error) {
	var end uint64
	for _, f := range filter {
		m, err := c.lastOf(ctx, stream, f)
		if err != nil {
			return 0, err
		}
		end = max(end, m.Seq)
	}
	return end, nil
}

// readBytes bounds what is in flight; one message of the largest size must fit.
func readBytes(nc *nats.Conn) int { return max(pageBytes, int(nc.MaxPayload())+sizeSlack) }
