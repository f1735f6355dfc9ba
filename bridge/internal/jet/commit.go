package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"cebridge/outbound"
)

const (
	// commitTimeout bounds a commit whose context has no deadline.
	commitTimeout = 10 * time.Second
	// commitGrace is how long the answer to a commit is still awaited after the
	// caller gave up: it costs the next start a read of the checkpoint otherwise.
	commitGrace = 2 * time.Second
	// flowEvery is how many messages are sent before the server is asked whether it
	// has them, which keeps its input queue short.
	flowEvery = 250
)

// Commit implements outbound.Log. Without a deadline in ctx it takes at most ten
// seconds. b is not changed; its errors are those of the package's table.
func (l *Log) Commit(ctx context.Context, b outbound.Batch) (uint64, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, commitTimeout)
		defer cancel()
	}
	if err := l.c.usable(); err != nil {
		return 0, fmt.Errorf("commit to stream %s: %w", l.stream, err)
	}
	lim, err := l.config(ctx)
	if err != nil {
		return 0, fmt.Errorf("commit to stream %s: %w", l.stream, err)
	}
	msgs, err := l.batch(lim, b)
	if err != nil {
		return 0, fmt.Errorf("commit to stream %s: %w", l.stream, err)
	}
	seq, err := l.send(ctx, msgs)
	if err != nil {
		if !errors.Is(err, outbound.ErrFenced) {
			l.limits.Store(nil) // the refusal may come from a changed stream
		}
		return 0, fmt.Errorf("commit %d messages to stream %s: %w", len(msgs), l.stream, err)
	}
	return seq, nil
}

// batch builds the messages with the headers of the protocol and checks each one
// against the limits.
func (l *Log) batch(lim *streamLimits, b outbound.Batch) ([]*nats.Msg, error) {
	n := len(b.Messages) + 1
	if n > outbound.MaxBatch {
		return nil, fmt.Errorf("%w: %d messages in one batch, the server takes %d", outbound.ErrTooLarge, n, outbound.MaxBatch)
	}
	limit := int(l.c.nc.MaxPayload())
	if lim.maxMessage >= 0 {
		limit = min(limit, lim.maxMessage)
	}
	id := nuid.Next()
	msgs := make([]*nats.Msg, 0, n)
	subjects := make(map[string]struct{}, n)
	add := func(m outbound.Message, more map[string]string) error {
		if _, twice := subjects[m.Subject]; twice {
			return fmt.Errorf("%w: subject %s stands twice in one batch", outbound.ErrMisconfigured, m.Subject)
		}
		subjects[m.Subject] = struct{}{}
		msg, err := l.message(lim, m, id, len(msgs)+1, more)
		if err != nil {
			return err
		}
		if size := headerSize(msg.Header) + len(msg.Data); size > limit {
			return fmt.Errorf("%w: %s has %d bytes with headers, the limit is %d", outbound.ErrTooLarge, m.Subject, size, limit)
		}
		msgs = append(msgs, msg)
		return nil
	}
	for _, m := range b.Messages {
		var more map[string]string
		if m.Alone {
			more = map[string]string{jetstream.MsgRollup: jetstream.MsgRollupSubject, jetstream.MsgTTLHeader: "never"}
		}
		if err := add(m, more); err != nil {
			return nil, err
		}
	}
	err := add(b.Checkpoint, map[string]string{
		jetstream.MsgRollup:                 jetstream.MsgRollupSubject,
		jetstream.MsgTTLHeader:              "never",
		jetstream.ExpectedLastSubjSeqHeader: strconv.FormatUint(b.Expected, 10),
		"Nats-Batch-Commit":                 "1",
	})
	return msgs, err
}

// message copies m into a message of batch id, with its place in it.
func (l *Log) message(lim *streamLimits, m outbound.Message, id string, place int, more map[string]string) (*nats.Msg, error) {
	if err := checkSubject(m.Subject); err != nil {
		return nil, err
	}
	if !lim.takes(m.Subject) {
		return nil, fmt.Errorf("%w: stream %s does not listen on %s", outbound.ErrMisconfigured, l.stream, m.Subject)
	}
	if err := checkHeader(m.Header); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Subject, err)
	}
	for k := range m.Header {
		if reserved[k] || k == jetstream.MsgIDHeader {
			return nil, fmt.Errorf("%w: %s carries the header %s, which belongs to the batch", outbound.ErrMisconfigured, m.Subject, k)
		}
	}
	h := make(nats.Header, len(m.Header)+3+len(more))
	maps.Copy(h, m.Header)
	h["Nats-Batch-Id"] = []string{id}
	h["Nats-Batch-Sequence"] = []string{strconv.Itoa(place)}
	for k, v := range more {
		h[k] = []string{v}
	}
	if n := headerSize(h); n > maxHeader {
		return nil, fmt.Errorf("%w: %s has %d bytes of headers, the limit is %d", outbound.ErrTooLarge, m.Subject, n, maxHeader)
	}
	return &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data}, nil
}

// send runs the protocol. Nothing is stored before the last request.
func (l *Log) send(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	last := len(msgs) - 1
	for i, m := range msgs[:last] {
		if i%flowEvery != 0 {
			if err := l.c.nc.PublishMsg(m); err != nil {
				return 0, l.notSent(ctx, err)
			}
			continue
		}
		answer, err := l.c.roundTrip(ctx, m)
		if err != nil {
			return 0, l.notSent(ctx, err)
		}
		if err := l.staged(answer.Data); err != nil {
			return 0, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, l.notSent(ctx, err)
	}
	wait, cancel := outlive(ctx)
	defer cancel()
	answer, err := l.c.roundTrip(wait, msgs[last])
	if err != nil {
		return 0, l.notAnswered(ctx, last == 0, err)
	}
	return l.committed(answer.Data, msgs)
}

// outlive is ctx with its deadline, ended commitGrace after ctx was cancelled.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(commitTimeout)
	}
	wait, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(commitGrace, cancel) })
	return wait, func() { stop(); cancel() }
}

// notSent is the error of a batch whose last message never left.
func (l *Log) notSent(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: %w", outbound.ErrMisconfigured, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", outbound.ErrTooLarge, err)
	case errors.Is(err, nats.ErrNoResponders):
		return l.absent(context.WithoutCancel(ctx), err)
	}
	return fmt.Errorf("%w: %w", outbound.ErrUnavailable, err)
}

// notAnswered is the error of a batch whose last message may have arrived. Nobody
// listening is a certain answer only for a batch of one: a longer one may have lost
// its stream's leader in the middle of the commit.
func (l *Log) notAnswered(ctx context.Context, single bool, err error) error {
	switch {
	case single && errors.Is(err, nats.ErrNoResponders):
		return l.absent(context.WithoutCancel(ctx), err)
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", outbound.ErrUnknown, ctx.Err())
	}
	return fmt.Errorf("%w: %w", outbound.ErrUnknown, err)
}

// publishAnswer is an acknowledgement of the stream. The library's type lacks the
// two members of a batch.
type publishAnswer struct {
	Stream    string              `json:"stream"`
	Sequence  uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Batch     string              `json:"batch"`
	Count     int                 `json:"count"`
	Error     *jetstream.APIError `json:"error"`
}

// staged reads the answer to a message that is not the last one: zero bytes.
func (l *Log) staged(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var a publishAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("%w: unreadable answer within a batch: %w", outbound.ErrUnavailable, err)
	}
	if a.Error != nil {
		return refusal(a.Error)
	}
	return fmt.Errorf("%w: the server stored a part of a batch by itself: it does not know atomic batches", outbound.ErrMisconfigured)
}

// committed reads the answer to the last message and checks that it speaks of the
// whole batch.
func (l *Log) committed(data []byte, msgs []*nats.Msg) (uint64, error) {
	var a publishAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return 0, fmt.Errorf("%w: unreadable answer: %w", outbound.ErrUnknown, err)
	}
	if a.Error != nil {
		return 0, refusal(a.Error)
	}
	id := msgs[0].Header.Get("Nats-Batch-Id")
	if a.Stream != l.stream || a.Batch != id || a.Count != len(msgs) || a.Sequence == 0 {
		return 0, fmt.Errorf("%w: asked stream %s for %d messages, the answer says stream %s, %d messages",
			outbound.ErrUnknown, l.stream, len(msgs), a.Stream, a.Count)
	}
	return a.Sequence, nil
}

// refusal gives an error answer its sentinel: see the table of the package.
func refusal(e *jetstream.APIError) error {
	sentinel := outbound.ErrUnknown
	switch int(e.ErrorCode) {
	case codeWrongLastSequence, codeWrongLastConcurrent:
		sentinel = outbound.ErrFenced
	case codeAccountResources, codeInsufficientResource, codeMemoryResources, codeStorageResources:
		sentinel = outbound.ErrFull
	case codeStoreFailed:
		// One code for several faults; the text is all there is to tell them apart.
		switch {
		case strings.Contains(e.Description, "maximum"):
			sentinel = outbound.ErrFull
		case strings.Contains(e.Description, "too large"):
			sentinel = outbound.ErrTooLarge
		}
	case codeMessageTooLarge, codeHeaderTooLarge:
		sentinel = outbound.ErrTooLarge
	case codeStreamMismatch, codeStreamNotFound, codeTTLInvalid, codeTTLDisabled, codeBatchDisabled,
		codeBatchHeader, codeBatchID, codeSealed, codeRollupRefused:
		sentinel = outbound.ErrMisconfigured
	case codeBatchTooLarge:
		sentinel = outbound.ErrBatchTooLong
	case codeNoLeader, codeNotLeader, codeNotEnabled, codeOffline, codeTooManyBatches:
		sentinel = outbound.ErrUnavailable
	case codeBatchIncomplete:
	default:
		if e.Code == 429 || e.Code == 503 {
			sentinel = outbound.ErrUnavailable
		}
	}
	return fmt.Errorf("%w: %w", sentinel, e)
}
