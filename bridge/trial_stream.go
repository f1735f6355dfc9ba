package bridge

import (
	"context"

	"cebridge/inbound"
)

// TrialMessage is a message as a route gets it.
type TrialMessage = inbound.Message

// Message reads one message of a stream, for a Trial. It only looks: no consumer is
// involved, and nothing is acknowledged.
func (o *Operator) Message(ctx context.Context, stream string, sequence uint64) (*TrialMessage, error) {
	return o.b.conn.MessageAt(ctx, stream, sequence)
}
