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
	// Map makes the writes, in the order in which they are to be made. The same
	// event gives the same writes. Without any, the event counts as unmatched. The
	// route owns them afterwards.
	Map(ctx context.Context, e *cloudevent.Event) ([]*schema.Write, error)
}

// Reviser is a Mapper that also tells how new an event is. A route whose Mapper is
// one, and which has Deps.Revisions, writes no event that is not newer than what
// was applied last to the key of its first write.
type Reviser interface {
	// Revision returns the event's revision in a form of which, among those with
	// the same first byte, the greater text is the newer one; "" when it has none.
	Revision(ctx context.Context, e *cloudevent.Event) (string, error)
}

// prepared is a message as far as it can be judged without any call.
type prepared struct {
	event  *cloudevent.Event
	writes []*schema.Write
	// revision is "" when the order guard does not apply.
	revision string
	// expires is when the event loses its meaning, zero for never.
	expires time.Time
	// fate is set when no write is to be made.
	fate *settlement
}

// lanes lists the keys of the writes, each once, in their order.
func (p *prepared) lanes() []string {
	if len(p.writes) == 1 {
		return []string{p.writes[0].Lane()}
	}
	keys := make([]string, 0, len(p.writes))
	seen := make(map[string]bool, len(p.writes))
	for _, w := range p.writes {
		if key := w.Lane(); !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
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
	p.writes = nil
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
		p.fate = r.unmatched("the condition of the route is false for this event")
		return p, nil
	}
	if p.expires, err = expiry(p.event); err != nil {
		return p, err
	}
	if expired := p.expired(); expired != nil {
		return p, expired
	}
	if p.writes, err = r.mapper.Map(ctx, p.event); err != nil {
		return p, err
	}
	if len(p.writes) == 0 {
		p.fate = r.unmatched("the mapping makes no write of this event")
		return p, nil
	}
	for _, w := range p.writes {
		if w == nil {
			return p, errors.New("the mapping made an empty write")
		}
		w.WantResult = w.WantResult || r.cfg.Receipts != "" || r.deps.Echoes != nil && r.deps.Echoes.Wants(w.Table)
	}
	if reviser, ok := r.mapper.(Reviser); ok && r.guard != nil {
		if p.revision, err = reviser.Revision(ctx, p.event); err != nil {
			return p, err
		}
	}
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

func (r *Route) unmatched(why string) *settlement {
	if r.cfg.Unmatched == UnmatchedAck {
		return &settlement{outcome: Unmatching}
	}
	return &settlement{outcome: Rejected, err: &outcome.Error{
		Verdict: outcome.Reject, Reason: outcome.Invalid,
		Message: why,
	}}
}
