package inbound

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema"
	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// Mapper turns an event into a write. Failures are *outcome.Error (or the
// context's). It is called by one goroutine at a time.
type Mapper interface {
	// Match evaluates the route's condition.
	Match(ctx context.Context, e *cloudevent.Event) (bool, error)
	// Map makes the write. The route owns it afterwards.
	Map(ctx context.Context, e *cloudevent.Event) (*schema.Write, error)
}

// Reviser is a Mapper that also tells how new an event is. A route whose Mapper is
// one, and which has Deps.Revisions, writes no event that is not newer than what
// was applied last to its key.
type Reviser interface {
	// Revision returns the event's revision in a form of which, among those with
	// the same first byte, the greater text is the newer one; "" when it has none.
	Revision(ctx context.Context, e *cloudevent.Event) (string, error)
}

// prepared is a message as far as it can be judged without any call.
type prepared struct {
	event *cloudevent.Event
	write *schema.Write
	// revision is "" when the order guard does not apply.
	revision string
	// expires is when the event loses its meaning, zero for never.
	expires time.Time
	// fate is set when no write is to be made.
	fate *settlement
}

// prepare reads, matches and maps a message. It fails only when ctx ends or the
// mapper says that nothing of this route can be mapped.
func (r *Route) prepare(ctx context.Context, m *Message) (prepared, error) {
	p, err := r.mapMessage(ctx, m)
	if err == nil {
		return r.shadowed(p), nil
	}
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	refusal := outcome.Of(err)
	if refusal == nil {
		refusal = &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Err: err}
	}
	if refusal.Verdict == outcome.Stop {
		return p, refusal
	}
	p.write = nil
	p.fate = &settlement{outcome: Rejected, err: refusal}
	return r.shadowed(p), nil
}

// shadowed keeps a message from having any effect when the route is in shadow mode.
func (r *Route) shadowed(p prepared) prepared {
	switch {
	case !r.cfg.Shadow:
	case p.fate == nil:
		p.fate = &settlement{outcome: Shadowed}
	case p.fate.outcome == Rejected:
		p.fate.outcome = Shadowed
	}
	return p
}

// mapMessage turns a panic into an error: the input comes from strangers, and one
// message must not be able to end the process again and again.
func (r *Route) mapMessage(ctx context.Context, m *Message) (p prepared, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("mapping panicked: %v", v)
		}
	}()
	if p.event, err = r.decode(m); err != nil {
		return p, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Err: err}
	}
	if r.foreignRetry(m) {
		p.fate = &settlement{outcome: Unmatching}
		return p, nil
	}
	matched, err := r.mapper.Match(ctx, p.event)
	if err != nil {
		return p, err
	}
	if !matched {
		p.fate = r.unmatched()
		return p, nil
	}
	if p.expires, err = expiry(p.event); err != nil {
		return p, err
	}
	if expired := p.expired(time.Now()); expired != nil {
		return p, expired
	}
	if p.write, err = r.mapper.Map(ctx, p.event); err != nil {
		return p, err
	}
	if p.write == nil {
		return p, errors.New("the mapping made no write")
	}
	if reviser, ok := r.mapper.(Reviser); ok && r.guard != nil {
		if p.revision, err = reviser.Revision(ctx, p.event); err != nil {
			return p, err
		}
	}
	p.write.WantResult = p.write.WantResult || r.cfg.Receipts != ""
	return p, nil
}

func (r *Route) decode(m *Message) (*cloudevent.Event, error) {
	if r.cfg.Format == FormatCloudEvents {
		return event.Unmarshal(m.Header, m.Data)
	}
	return event.FromPlainJSON(event.Envelope{
		ID:      m.Incarnation + "/" + strconv.FormatUint(m.Sequence, 10),
		Source:  "/nats/" + m.Stream,
		Type:    r.cfg.EventType,
		Subject: m.Subject,
		Time:    m.Stored,
	}, m.Data)
}

func (r *Route) unmatched() *settlement {
	if r.cfg.Unmatched == UnmatchedAck {
		return &settlement{outcome: Unmatching}
	}
	return &settlement{outcome: Rejected, err: &outcome.Error{
		Verdict: outcome.Reject, Reason: outcome.Invalid,
		Message: "the condition of the route is false for this event",
	}}
}
