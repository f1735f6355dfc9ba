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
	// Pending is how many matching messages follow where the consumer lives.
	Pending uint64
	place   uint64 // among what the consumer delivered, from 1
}

// Walk calls fn with the messages in order, up to the end as the stream's leader knew it
// when the walk began, later ones possibly included. Nothing is skipped: a broken
// connection, and a replica that lags, are waited for, but not for ever: outbound.ErrStale
// says that a replica stays behind. A message that history limits remove meanwhile may be
// left out. It returns fn's error, the context's, or says why the stream cannot be read.
func (c *Conn) Walk(ctx context.Context, w Walk, fn func(Step) error) error {
	if err := c.walk(ctx, w, fn); err != nil {
		return fmt.Errorf("read stream %s: %w", w.Stream, err)
	}
	return nil
}

func (c *Conn) walk(ctx context.Context, w Walk, fn func(Step) error) error {
	var s jetstream.Stream
	err := patiently(ctx, func() (err error) { s, err = c.openStream(ctx, w.Stream); return err })
	if err != nil {
		return err
	}
	if len(w.Filter) == 0 {
		w.Filter = []string{">"}
	}
	r := &walker{c: c, w: w}
	if !w.Follow {
		var last leaderMessage
		err := patiently(ctx, func() (err error) { last, err = c.lastMatch(ctx, w.Stream, w.Filter); return err })
		if err != nil || r.over(last) {
			return err
		}
		r.end = last.Seq
	}
	started := time.Now()
	making, cancel := context.WithTimeout(ctx, makeTimeout)
	consumer, err := s.OrderedConsumer(making, w.consumer())
	cancel()
	if err != nil {
		return c.explain(err, started)
	}
	messages, err := consumer.Messages(w.pull(c.nc))
	if err != nil {
		return c.explain(err, started)
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	return r.steps(ctx, messages, fn)
}

// openStream is a stream that must be there, with its state.
func (c *Conn) openStream(ctx context.Context, name string) (jetstream.Stream, error) {
	started := time.Now()
	s, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: %w", outbound.ErrMisconfigured, err)
	}
	if err != nil {
		return nil, c.explain(err, started)
	}
	return s, nil
}

// walker is a walk on its way. Its consumer lives on one server, whose replica may lag:
// that it has nothing more means nothing, where the stream ends is the leader's word.
type walker struct {
	c     *Conn
	w     Walk
	end   uint64 // where the stream ended when the walk began
	read  uint64 // the last message that fn got
	waits int    // in a row, without a message
	// pending is what the consumer still had behind the last message.
	pending uint64
}

// over tells by the last message that the leader has whether nothing is left to read.
// What stood at the end may have been removed since.
func (r *walker) over(last leaderMessage) bool {
	return last.Seq <= r.read || last.Time.Before(r.w.Since)
}

func (r *walker) steps(ctx context.Context, messages jetstream.MessagesContext, fn func(Step) error) error {
	for {
		m, err := messages.Next(jetstream.NextMaxWait(readIdle))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoHeartbeat):
			if r.w.Follow {
				continue
			}
			if over, err := r.idle(ctx); over || err != nil {
				return err
			}
			continue
		case err != nil:
			return r.c.explain(err, time.Now())
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		step := Step{Time: meta.Timestamp, Pending: meta.NumPending, place: meta.Sequence.Consumer, Stored: outbound.Stored{
			Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: strip(m.Headers()), Data: m.Data(),
		}}
		if r.w.HeadersOnly {
			step.Data = nil
		}
		if err := fn(step); err != nil {
			return &callerError{err}
		}
		if r.read, r.pending, r.waits = step.Sequence, step.Pending, 0; r.w.Follow {
			continue
		}
		if r.read >= r.end && (!r.w.Latest || r.pending == 0) {
			return nil
		}
		if r.pending == 0 {
			// An error is met again, and counted, when nothing comes.
			if last, err := r.c.lastMatch(ctx, r.w.Stream, r.w.Filter); err == nil && r.over(last) {
				return nil
			}
		}
	}
}

// idle asks the leader after a wait in which nothing came.
func (r *walker) idle(ctx context.Context) (over bool, err error) {
	r.waits++
	last, err := r.c.lastMatch(ctx, r.w.Stream, r.w.Filter)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err == nil && r.over(last) && r.w.Latest && r.pending > 0:
		if r.waits < skippedWaits {
			return false, nil
		}
		return false, fmt.Errorf("%w: %d messages were counted and never came", outbound.ErrUnavailable, r.pending) // see pull
	case err == nil && r.over(last):
		return true, nil
	case r.waits < readWaits:
		return false, nil
	case err != nil:
		return false, err
	}
	return false, fmt.Errorf("%w: the replica that is read stands at sequence %d, the leader's last message has %d, and nothing came for %s",
		outbound.ErrStale, r.read, last.Seq, readWaits*readIdle)
}

// pull bounds what is in flight.
//
// By bytes where that is possible: with a bound of messages too, nats.go 1.55.0 drops some
// of them when fn is slow, and has them sent again. It is not where the last messages of
// subjects are read: nats-server 2.15.2 skips a message that does not fit into the rest of
// a request's bytes (server/consumer.go: getNextMsg takes it off the list, and what
// loopAndGatherMsgs puts back is the sequence alone). What it skips stays counted as
// pending.
func (w *Walk) pull(nc *nats.Conn) jetstream.PullMessagesOpt {
	switch {
	case !w.Latest:
		return jetstream.PullMaxBytes(readBytes(nc))
	case w.HeadersOnly:
		return jetstream.PullMaxMessages(1000)
	}
	return jetstream.PullMaxMessages(max(2, min(1000, latestBytes/int(nc.MaxPayload()))))
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
