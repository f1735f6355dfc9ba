package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// CompareDeadStream lists how the stream of dead letters differs; exists is false
// when there is none. It changes nothing.
func (c *Conn) CompareDeadStream(ctx context.Context, name string, subjects []string, replicas int) (exists bool, diffs []Difference, err error) {
	started := time.Now()
	stream, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("read the configuration of stream %s: %w", name, c.explain(err, started))
	}
	have := stream.CachedInfo().Config
	want := wantDeadStream(name, subjects, replicas)
	return true, compareDead(&have, &want), nil
}
