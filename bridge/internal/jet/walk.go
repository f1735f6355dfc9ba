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

// Walk says which messages of a stream to read.
type Walk struct {
	Stream string
	// Filter names the subjects, wildcards allowed; none means all.
	Filter []string
	// Since leaves out what was stored before; zero leaves out nothing.
	Since time.Time
	// Latest reads only the last message of each subject, in the order in which
	// those stand on the stream. It excludes Since. A subject that moves on meanwhile
	// may come twice, the later one last.
	Latest bool
	// HeadersOnly leaves Data nil.
	HeadersOnly bool
	// Follow goes on with new messages until ctx ends. Without Since and Latest it
	// begins with the next message.
	Follow bool
}

// Step is one message of a walk.
type Step struct {
	outbound.Stored
	// Time is when the stream stored it.
	Time time.Time
	// Pending is how many matching messages follow.
	Pending uint64
}

// Walk calls fn with the messages in order, up to the end as it was when the walk
// began, later ones possibly included. Nothing is skipped: a broken connection is
// waited for. A message that history limits remove meanwhile may be left out. It
// returns fn's error, the context's, or says why the stream cannot be read.
func (c *Conn) Walk(ctx context.Context, w Walk, fn func(Step) error) error {
	if err := c.walk(ctx, w, fn); err != nil {
		return fmt.Errorf("read stream %s: %w", w.Stream, err)
	}
	return nil
}

func (c *Conn) walk(ctx context.Context, w Walk, fn func(Step) error) error {
	started := time.Now()
	s, err := c.js.Stream(ctx, w.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", outbound.ErrMisconfigured, err)
	}
	if err != nil {
		return c.explain(err, started)
	}
	if len(w.Filter) == 0 {
		w.Filter = []string{">"}
	}
	var end uint64
	if !w.Follow {
		if end, err = c.lastMatch(ctx, w.Stream, w.Filter); err != nil || end == 0 {
			return err
		}
	}
	consumer, err := s.OrderedConsumer(ctx, w.consumer())
	if err != nil {
		return c.explain(err, started)
	}
	if !w.Follow && !w.Since.IsZero() {
		// When nothing is that young, the end would be waited for in vain.
		info, err := consumer.Info(ctx)
		if err != nil {
			return c.explain(err, started)
		}
		if info.NumPending == 0 {
			return nil
		}
	}
	// Bounded by bytes alone: with a bound of messages too, nats.go 1.55.0 drops some
	// of them when fn is slow, and has them sent again.
	messages, err := consumer.Messages(jetstream.PullMaxBytes(readBytes(c.nc)))
	if err != nil {
		return c.explain(err, started)
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	return c.steps(ctx, w, messages, end, fn)
}

func (c *Conn) steps(ctx context.Context, w Walk, messages jetstream.MessagesContext, end uint64, fn func(Step) error) error {
	var read uint64
	for {
		m, err := messages.Next(jetstream.NextMaxWait(readIdle))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoHeartbeat):
			if w.Follow {
				continue
			}
			// What stood at the end may have been removed since.
			if end, err = c.lastMatch(ctx, w.Stream, w.Filter); err != nil || end <= read {
				return err
			}
			continue
		case err != nil:
			return c.explain(err, time.Now())
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		step := Step{Time: meta.Timestamp, Pending: meta.NumPending, Stored: outbound.Stored{
			Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: strip(m.Headers()), Data: m.Data(),
		}}
		if w.HeadersOnly {
			step.Data = nil
		}
		if err := fn(step); err != nil {
			return err
		}
		if read = step.Sequence; !w.Follow && (step.Pending == 0 || read >= end) {
			return nil
		}
	}
}

func (w *Walk) consumer() jetstream.OrderedConsumerConfig {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: w.Filter, HeadersOnly: w.HeadersOnly}
	switch {
	case w.Latest:
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	case !w.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &w.Since
	case w.Follow:
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	default:
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	return cfg
}
