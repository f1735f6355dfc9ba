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
	// has them, and flowOpen how many such questions may be open.
	flowEvery = 250
	flowOpen  = 2
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
	id := nuid.Next()
	if err := l.checkBatch(lim, b, id); err != nil {
		return 0, fmt.Errorf("commit to stream %s: %w", l.stream, err)
	}
	seq, err := l.send(ctx, b, id)
	if err != nil {
		if !errors.Is(err, outbound.ErrFenced) {
			l.limits.Store(nil) // the refusal may come from a changed stream
		}
		return 0, fmt.Errorf("commit %d messages to stream %s: %w", len(b.Messages)+1, l.stream, err)
	}
	return seq, nil
}

// eventHeader is what the protocol asks of a message before the last one: nothing, but of
// one that stands alone on its subject.
func eventHeader(m *outbound.Message) map[string][]string {
	if !m.Alone {
		return nil
	}
	return map[string][]string{
		jetstream.MsgRollup:    {jetstream.MsgRollupSubject},
		jetstream.MsgTTLHeader: {"never"},
	}
}

// checkpointHeader is what the protocol asks of the last message.
func checkpointHeader(expected uint64) map[string][]string {
	return map[string][]string{
		jetstream.MsgRollup:                 {jetstream.MsgRollupSubject},
		jetstream.MsgTTLHeader:              {"never"},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(expected, 10)},
		headerBatchCommit:                   {"1"},
	}
}

const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// checkBatch holds every message, with the headers that it will get, against the
// limits, before anything is sent.
func (l *Log) checkBatch(lim *streamLimits, b outbound.Batch, id string) error {
	n := len(b.Messages) + 1
	if n > outbound.MaxBatch {
		return fmt.Errorf("%w: %d messages in one batch, the server takes %d", outbound.ErrTooLarge, n, outbound.MaxBatch)
	}
	limit := int(l.c.nc.MaxPayload())
	if lim.maxMessage >= 0 {
		limit = min(limit, lim.maxMessage)
	}
	subjects := make(map[string]struct{}, n)
	check := func(m *outbound.Message, place int, more map[string][]string) error {
		if _, twice := subjects[m.Subject]; twice {
			return fmt.Errorf("%w: subject %s stands twice in one batch", outbound.ErrMisconfigured, m.Subject)
		}
		subjects[m.Subject] = struct{}{}
		if err := l.checkMessage(lim, m); err != nil {
			return err
		}
		header := hdrLine + hdrEnd + headerLines(m.Header) + headerLines(more) +
			len(headerBatchID+": \r\n"+headerBatchSequence+": \r\n") + len(id) + len(strconv.Itoa(place))
		if header > maxHeader {
			return fmt.Errorf("%w: %s has %d bytes of headers, the limit is %d", outbound.ErrTooLarge, m.Subject, header, maxHeader)
		}
		if size := header + len(m.Data); size > limit {
			return fmt.Errorf("%w: %s has %d bytes with headers, the limit is %d", outbound.ErrTooLarge, m.Subject, size, limit)
		}
		return nil
	}
	for i := range b.Messages {
		if err := check(&b.Messages[i], i+1, eventHeader(&b.Messages[i])); err != nil {
			return err
		}
	}
	return check(&b.Checkpoint, n, checkpointHeader(b.Expected))
}

// checkMessage refuses what would not arrive as it is.
func (l *Log) checkMessage(lim *streamLimits, m *outbound.Message) error {
	if err := checkSubject(m.Subject); err != nil {
		return err
	}
	if !lim.takes(m.Subject) {
		return fmt.Errorf("%w: stream %s does not listen on %s", outbound.ErrMisconfigured, l.stream, m.Subject)
	}
	if err := checkHeader(m.Header); err != nil {
		return fmt.Errorf("%s: %w", m.Subject, err)
	}
	for k := range m.Header {
		if reserved[k] || k == jetstream.MsgIDHeader {
			return fmt.Errorf("%w: %s carries the header %s, which belongs to the batch", outbound.ErrMisconfigured, m.Subject, k)
		}
	}
	return nil
}

// parcel is a message on its way. The client library has copied it when it returns, so
// that one serves for a whole batch.
type parcel struct {
	msg   nats.Msg
	id    []string
	place []string
}

// fill makes it the message m at a place of the batch.
func (e *parcel) fill(m *outbound.Message, place int, more map[string][]string) *nats.Msg {
	clear(e.msg.Header)
	maps.Copy(e.msg.Header, m.Header)
	maps.Copy(e.msg.Header, more)
	e.place[0] = strconv.Itoa(place)
	e.msg.Header[headerBatchID], e.msg.Header[headerBatchSequence] = e.id, e.place
	e.msg.Subject, e.msg.Reply, e.msg.Data = m.Subject, "", m.Data
	return &e.msg
}

// send runs the protocol. Nothing is stored before the last request.
func (l *Log) send(ctx context.Context, b outbound.Batch, id string) (uint64, error) {
	e := parcel{msg: nats.Msg{Header: make(nats.Header, 24)}, id: []string{id}, place: []string{""}}
	f := flow{c: l.c, session: l.c.session.Load(), started: time.Now()}
	defer f.drop()
	for i := range b.Messages {
		msg := e.fill(&b.Messages[i], i+1, eventHeader(&b.Messages[i]))
		if i%flowEvery != 0 {
			if err := l.c.nc.PublishMsg(msg); err != nil {
				return 0, l.notSent(ctx, err)
			}
			continue
		}
		answer, err := f.ask(ctx, msg)
		if err == nil && i == 0 {
			// The first answer tells whether the stream takes the batch at all.
			answer, err = f.next(ctx)
		}
		if err != nil {
			return 0, l.notSent(ctx, err)
		}
		if err := l.staged(answer); err != nil {
			return 0, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, l.notSent(ctx, err)
	}
	wait, cancel := outlive(ctx)
	defer cancel()
	n := len(b.Messages) + 1
	answer, err := l.c.roundTrip(wait, e.fill(&b.Checkpoint, n, checkpointHeader(b.Expected)))
	if err != nil {
		return 0, l.notAnswered(ctx, n == 1, err)
	}
	seq, err := l.committed(answer.Data, id, n)
	if err == nil {
		return seq, nil
	}
	// Where an earlier message was refused, that says why the batch was not complete.
	for _, earlier := range f.answers() {
		if refused := l.staged(earlier); refused != nil {
			return 0, refused
		}
	}
	return 0, err
}

// flow asks the server now and then whether it has what was sent, and lets at most
// flowOpen questions be open: the server's input queue stays short, and still never runs
// empty while an answer is on its way.
type flow struct {
	c       *Conn
	session *session
	started time.Time
	open    []question
}

// ask sends m as a question. It returns the answer to an earlier one, nil when none had
// to be waited for.
func (f *flow) ask(ctx context.Context, m *nats.Msg) (answer []byte, err error) {
	if len(f.open) == flowOpen {
		if answer, err = f.next(ctx); err != nil {
			return nil, err
		}
	}
	q, err := f.c.acks.ask(m)
	if err != nil {
		return nil, f.c.explain(err, f.started)
	}
	f.open = append(f.open, q)
	return answer, nil
}

// next waits for the answer to the oldest open question.
func (f *flow) next(ctx context.Context) ([]byte, error) {
	first := f.open[0]
	f.open = f.open[1:]
	res, err := first.wait(ctx, f.session.ctx)
	if err != nil {
		return nil, f.c.explain(err, f.started)
	}
	return res.Data, nil
}

// answers returns those to open questions that are here. The server answers in order,
// so all are once the last message of the batch was answered.
func (f *flow) answers() (list [][]byte) {
	for _, q := range f.open {
		select {
		case m := <-q.answer:
			list = append(list, m.Data)
		default:
		}
	}
	return list
}

func (f *flow) drop() {
	for _, q := range f.open {
		q.drop()
	}
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
func (l *Log) committed(data []byte, id string, n int) (uint64, error) {
	var a publishAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return 0, fmt.Errorf("%w: unreadable answer: %w", outbound.ErrUnknown, err)
	}
	if a.Error != nil {
		return 0, refusal(a.Error)
	}
	if a.Stream != l.stream || a.Batch != id || a.Count != n || a.Sequence == 0 {
		return 0, fmt.Errorf("%w: asked stream %s for %d messages, the answer says stream %s, %d messages",
			outbound.ErrUnknown, l.stream, n, a.Stream, a.Count)
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
