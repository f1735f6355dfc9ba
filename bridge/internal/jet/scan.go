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

// scanWaits is how often in a row a scan waits readIdle for a replica that has not
// reached the fence.
const scanWaits = 5

// Scan implements outbound.Scanner: headers only, through an ephemeral consumer that
// delivers the last message of every subject. The consumer may live on a replica
// that is behind; the scan goes on until it has delivered the fence.
func (l *Log) Scan(ctx context.Context, filter, fenceSubject string, fence uint64, fn func(outbound.Stored) error) error {
	if err := errors.Join(checkFilter(filter), checkSubject(fenceSubject)); err != nil {
		return fmt.Errorf("scan stream %s: %w", l.stream, err)
	}
	if err := l.scan(ctx, filter, fenceSubject, fence, fn); err != nil {
		return l.readError(ctx, "scan stream "+l.stream, err)
	}
	return nil
}

func (l *Log) scan(ctx context.Context, filter, fenceSubject string, fence uint64, fn func(outbound.Stored) error) error {
	started := time.Now()
	s, err := l.c.js.Stream(ctx, l.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", outbound.ErrMisconfigured, err)
	}
	if err != nil {
		return l.c.explain(err, started)
	}
	filters := []string{filter}
	if fence > 0 {
		filters = append(filters, fenceSubject)
	}
	if end, err := l.c.lastMatch(ctx, l.stream, filters); err != nil || end == 0 {
		if err == nil && fence > 0 {
			err = fmt.Errorf("%w: %s holds nothing, sequence %d was expected", outbound.ErrFenced, fenceSubject, fence)
		}
		return err
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: true,
	})
	if err != nil {
		return l.c.explain(err, started)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1000))
	if err != nil {
		return l.c.explain(err, started)
	}
	defer messages.Stop()
	reached, read, waits := fence == 0, uint64(0), 0
	for {
		m, err := messages.Next(jetstream.NextMaxWait(readIdle))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoHeartbeat):
			if waits++; waits < scanWaits {
				continue
			}
			return fmt.Errorf("%w: the scan did not come to sequence %d", outbound.ErrStale, fence)
		case err != nil:
			return l.c.explain(err, started)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		// A consumer that was made anew goes on with every message, not only the last.
		if read++; meta.Sequence.Consumer != read {
			return fmt.Errorf("%w: the scan was interrupted", outbound.ErrUnavailable)
		}
		waits = 0
		if m.Subject() == fenceSubject {
			reached = reached || meta.Sequence.Stream >= fence
		} else if err := fn(outbound.Stored{Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: strip(m.Headers())}); err != nil {
			return &callerError{err}
		}
		if reached && meta.NumPending == 0 {
			return nil
		}
	}
}
