package jet

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// ReadStream calls fn with every message on the filter subjects (all when empty), in
// order, from sequence 1 to the end as it was when the call began; later messages may
// or may not be among them. It returns the stream's last sequence of that moment. A
// message that history limits remove while it reads may be left out. It is a Walk.
func (c *Conn) ReadStream(ctx context.Context, stream string, filter []string, fn func(outbound.Stored) error) (last uint64, err error) {
	var s jetstream.Stream
	err = patiently(ctx, func() (err error) { s, err = c.openStream(ctx, stream); return err })
	if err == nil {
		last = s.CachedInfo().State.LastSeq
		err = c.walk(ctx, Walk{Stream: stream, Filter: filter}, func(s Step) error { return fn(s.Stored) })
	}
	if err != nil {
		return last, fmt.Errorf("read stream %s: %w", stream, err)
	}
	return last, nil
}

const (
	// makeTimeout bounds the making of a consumer. One for the last message of every
	// subject makes the server look at each of them first.
	makeTimeout = 5 * time.Minute
	// readIdle is how long to wait for a message before asking whether there is any left.
	readIdle = 2 * time.Second
	// readWaits is how often in a row that is done: longer than a stream without a leader
	// takes to find one.
	readWaits = 15
	// skippedWaits is the same where the server still counts messages that it does not send.
	skippedWaits = 5
)

// lastMatch is the last message on any of the filters, as the stream's leader knows it; the
// zero value for none.
func (c *Conn) lastMatch(ctx context.Context, stream string, filter []string) (last leaderMessage, err error) {
	for _, f := range filter {
		m, err := c.lastOf(ctx, stream, f)
		if err != nil {
			return leaderMessage{}, err
		}
		if m.Seq > last.Seq {
			last = m
		}
	}
	return last, nil
}

// latestBytes bounds the same where messages are counted; a client of nats.go drops what is
// beyond 64 MiB.
const latestBytes = 48 << 20

// readBytes bounds what is in flight; one message of the largest size must fit.
func readBytes(nc *nats.Conn) int { return max(pageBytes, int(nc.MaxPayload())+sizeSlack) }
