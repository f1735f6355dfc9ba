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

// CompareSourceStream lists how a stream for messages of other systems differs; exists
// is false when there is none. It changes nothing.
func (c *Conn) CompareSourceStream(ctx context.Context, name string, subjects []string) (exists bool, diffs []Difference, err error) {
	started := time.Now()
	stream, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("read the configuration of stream %s: %w", name, c.explain(err, started))
	}
	have := stream.CachedInfo().Config
	return true, compareSource(&have, &jetstream.StreamConfig{Subjects: subjects}), nil
}

// CompareConsumer lists how a durable differs from what the configuration needs;
// exists is false when it or its stream is missing. It changes nothing.
func (c *Conn) CompareConsumer(ctx context.Context, cfg FeedConfig) (exists bool, diffs []Difference, err error) {
	f := &Feed{c: c, cfg: cfg.withDefaults()}
	want, err := f.want()
	if err != nil {
		return false, nil, fmt.Errorf("consumer %s of stream %s: %w", cfg.Durable, cfg.Stream, err)
	}
	started := time.Now()
	consumer, err := c.js.Consumer(ctx, cfg.Stream, cfg.Durable)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("read the configuration of consumer %s of stream %s: %w", cfg.Durable, cfg.Stream, c.explain(err, started))
	}
	have := consumer.CachedInfo().Config
	return true, compareConsumer(&have, &want), nil
}
