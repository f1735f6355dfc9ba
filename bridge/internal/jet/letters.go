package jet

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/outbound"
)

// ErrMarked: the mark is there already.
var ErrMarked = errors.New("it is marked already")

// Resend publishes a message to the stream that its subject must belong to. The id
// makes a repetition within the stream's deduplication window harmless; the sequence
// is then that of the first. Headers of the server's own are left out.
func (c *Conn) Resend(ctx context.Context, stream, id string, m outbound.Message) (seq uint64, err error) {
	header := nats.Header{}
	for k, v := range m.Header {
		if !strings.HasPrefix(k, "Nats-") {
			header[k] = v
		}
	}
	header[jetstream.MsgIDHeader] = []string{id}
	header[jetstream.ExpectedStreamHeader] = []string{stream}
	answer, err := c.store(ctx, &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data})
	if errors.Is(err, inbound.ErrOutboxFull) {
		err = fmt.Errorf("stream %s is full", stream)
	}
	if err != nil {
		return 0, fmt.Errorf("send a message to %s again: %w", m.Subject, err)
	}
	return answer.Sequence, nil
}

// Mark stores a message on a subject that has none; ErrMarked when it has.
func (c *Conn) Mark(ctx context.Context, stream, subject string, data []byte) error {
	_, err := c.store(ctx, &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		jetstream.ExpectedStreamHeader:      {stream},
		jetstream.ExpectedLastSubjSeqHeader: {"0"},
	}})
	if refused(err) {
		err = ErrMarked
	}
	if err != nil {
		return fmt.Errorf("mark %s: %w", subject, err)
	}
	return nil
}
