package jet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// OutboxSettings say how receipts are named. Empty fields take defaults from the
// organization's names.
type OutboxSettings struct {
	// Source is the CloudEvents source of receipts: /crm/<org>/inbound.
	Source string
	// TypePrefix stands before .receipt.<outcome>: <prefix>.<org>.
	TypePrefix string
}

// Outbox stores dead letters in one stream and publishes receipts to whichever
// stream takes their subject. It is safe for concurrent use.
type Outbox struct {
	c        *Conn
	stream   string
	names    schema.Names
	settings OutboxSettings
}

var _ inbound.Outbox = (*Outbox)(nil)

// ErrLetterConflict: another letter is stored about the same message, with other
// content or another reason. A person must compare them and delete one.
var ErrLetterConflict = errors.New("a different dead letter is stored for this message")

// Outbox names the stream of dead letters. It does no I/O.
func (c *Conn) Outbox(stream string, names schema.Names, settings OutboxSettings) *Outbox {
	settings.Source = cmp.Or(settings.Source, "/"+names.Prefix+"/"+names.Org+"/inbound")
	settings.TypePrefix = cmp.Or(settings.TypePrefix, names.Prefix+"."+names.Org)
	return &Outbox{c: c, stream: stream, names: names, settings: settings}
}

// DeadLetter implements inbound.Outbox. It may be repeated for the same letter, also
// after an unknown outcome. Errors: inbound.ErrOutboxFull, ErrLetterConflict,
// the context's; any other may pass.
func (o *Outbox) DeadLetter(ctx context.Context, l *inbound.Letter) error {
	m := l.Message
	subject := o.names.Dead(l.Route, m.Incarnation, m.Sequence)
	if err := o.deadLetter(ctx, subject, l); err != nil {
		return fmt.Errorf("store the dead letter %s: %w", subject, err)
	}
	return nil
}

func (o *Outbox) deadLetter(ctx context.Context, subject string, l *inbound.Letter) error {
	header, body, err := encodeLetter(l, int(o.c.nc.MaxPayload()))
	if err != nil {
		return err
	}
	header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	header[jetstream.ExpectedStreamHeader] = []string{o.stream}
	_, err = o.publish(ctx, &nats.Msg{Subject: subject, Header: header, Data: body})
	if c := code(err); c != codeWrongLastSequence && c != codeWrongLastConcurrent {
		return err
	}
	return o.believe(ctx, subject, l, err)
}

// believe accepts "already there" if what is there is this letter.
func (o *Outbox) believe(ctx context.Context, subject string, l *inbound.Letter, refused error) error {
	found, err := o.c.lastOf(ctx, o.stream, subject)
	if err != nil {
		return err
	}
	if found.Seq == 0 {
		// Another publish of the same letter is on its way, or a person deleted it.
		return fmt.Errorf("it was refused, and nothing is stored yet: %w", refused)
	}
	var header nats.Header
	if len(found.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(found.Header); err != nil {
			return fmt.Errorf("read what is stored there: %w", err)
		}
	}
	stored, err := DecodeLetter(header, found.Data)
	if err != nil {
		return fmt.Errorf("%w (sequence %d of stream %s): %w", ErrLetterConflict, found.Seq, o.stream, err)
	}
	// Compare in stored form: texts are shortened there.
	own, body, err := encodeLetter(l, int(o.c.nc.MaxPayload()))
	if err != nil {
		return err
	}
	mine, err := DecodeLetter(own, body)
	if err != nil {
		return err
	}
	if !sameLetter(stored, mine) {
		return fmt.Errorf("%w (sequence %d of stream %s): compare and delete one", ErrLetterConflict, found.Seq, o.stream)
	}
	return nil
}

// receiptData is the data of a receipt.
type receiptData struct {
	Route    string        `json:"route"`
	Outcome  string        `json:"outcome"`
	Table    string        `json:"table,omitempty"`
	Effect   schema.Effect `json:"effect,omitempty"`
	RecordID string        `json:"recordid,omitempty"`
	Version  int64         `json:"version,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Text     string        `json:"text,omitempty"`
	// Writes lists the accepted writes of a message that has several.
	Writes  []receiptWrite `json:"writes,omitempty"`
	Event   receiptEvent   `json:"event"`
	Message receiptMessage `json:"message"`
}

type receiptWrite struct {
	Table    string        `json:"table"`
	Effect   schema.Effect `json:"effect,omitempty"`
	RecordID string        `json:"recordid,omitempty"`
	Version  int64         `json:"version,omitempty"`
}

type receiptEvent struct {
	ID     string `json:"id,omitempty"`
	Source string `json:"source,omitempty"`
}

type receiptMessage struct {
	Stream      string `json:"stream"`
	Incarnation string `json:"incarnation"`
	Sequence    uint64 `json:"sequence"`
	Subject     string `json:"subject"`
}

// Receipt implements inbound.Outbox: a structured CloudEvent of type
// <TypePrefix>.receipt.<outcome> whose id is the Nats-Msg-Id. Repeated within the
// stream's deduplication window it is stored once. Its time is when the source
// message was stored, so that a repetition has the same bytes.
func (o *Outbox) Receipt(ctx context.Context, r *inbound.Receipt) error {
	if err := o.receipt(ctx, r); err != nil {
		return fmt.Errorf("publish a receipt to %s: %w", r.Subject, err)
	}
	return nil
}

func (o *Outbox) receipt(ctx context.Context, r *inbound.Receipt) error {
	if err := checkSubject(r.Subject); err != nil {
		return err
	}
	m := r.Message
	var writes []receiptWrite
	for _, w := range r.Writes {
		writes = append(writes, receiptWrite(w))
	}
	id := "receipt-" + r.Route + "-" + m.Incarnation + "-" + strconv.FormatUint(m.Sequence, 10)
	data, err := json.Marshal(receiptData{
		Route: r.Route, Outcome: r.Outcome, Table: r.Table, Effect: r.Effect, RecordID: r.RecordID,
		Version: r.Version, Reason: r.Reason, Text: line(r.Text, maxText),
		Writes:  writes,
		Event:   receiptEvent{r.EventID, r.EventSource},
		Message: receiptMessage{m.Stream, m.Incarnation, m.Sequence, m.Subject},
	})
	if err != nil {
		return err
	}
	e := cloudevent.New()
	e.SetID(id)
	e.SetSource(o.settings.Source)
	e.SetType(o.settings.TypePrefix + ".receipt." + r.Outcome)
	if r.RecordID != "" {
		e.SetSubject(r.RecordID)
	}
	if !m.Stored.IsZero() {
		e.SetTime(m.Stored.UTC())
	}
	for name, value := range map[string]string{
		"causationid": r.Cause.ID, "causationsource": r.Cause.Source, "correlationid": r.Cause.Correlation,
	} {
		if value != "" {
			e.SetExtension(name, value)
		}
	}
	if err := e.SetData("application/json", json.RawMessage(data)); err != nil {
		return err
	}
	header, body, err := event.Marshal(&e, event.Structured)
	if err != nil {
		return err
	}
	header[jetstream.MsgIDHeader] = []string{id}
	_, err = o.publish(ctx, &nats.Msg{Subject: r.Subject, Header: header, Data: body})
	return err
}

// publish stores one message and waits for the confirmation.
func (o *Outbox) publish(ctx context.Context, m *nats.Msg) (publishAnswer, error) {
	return o.c.store(ctx, m)
}

// store publishes one message and waits for the confirmation. A stream without room
// is inbound.ErrOutboxFull.
func (c *Conn) store(ctx context.Context, m *nats.Msg) (publishAnswer, error) {
	var a publishAnswer
	if err := checkSubject(m.Subject); err != nil {
		return a, err
	}
	if err := checkHeader(m.Header); err != nil {
		return a, err
	}
	answer, err := c.request(ctx, m)
	if errors.Is(err, nats.ErrNoResponders) {
		return a, fmt.Errorf("%w: no stream takes the subject, or its leader is away: %w", outbound.ErrUnavailable, err)
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(answer.Data, &a); err != nil {
		return a, fmt.Errorf("unreadable confirmation: %w", err)
	}
	switch {
	case a.Error == nil && (a.Stream == "" || a.Sequence == 0):
		return a, errors.New("the confirmation names no stream: something else than JetStream answers on the subject")
	case a.Error == nil:
		return a, nil
	case full(a.Error):
		return a, fmt.Errorf("%w: %w", inbound.ErrOutboxFull, a.Error)
	}
	return a, a.Error
}

// full tells whether a refusal means that a stream or account has no room.
func full(e *jetstream.APIError) bool {
	switch int(e.ErrorCode) {
	case codeAccountResources, codeInsufficientResource, codeMemoryResources, codeStorageResources:
		return true
	case codeStoreFailed:
		return strings.Contains(e.Description, "maximum")
	}
	return false
}
