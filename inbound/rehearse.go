package inbound

import (
	"context"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// Rehearsal is what a route makes of a message before it calls anybody.
type Rehearsal struct {
	// Event is nil when the message is none.
	Event *cloudevent.Event
	// Outcome is Written when Writes would be made, Rejected or Unmatching.
	Outcome  string
	Writes   []*schema.Write
	Revision string
	// Err says why the message would be rejected.
	Err *outcome.Error
}

// Rehearse takes a message through the steps of a route up to the first call: decode,
// match, map. wants tells for which tables Deps.Echoes would ask for the written record;
// it may be nil. Shadow has no meaning here. It fails only when ctx ends or nothing of
// this route can be mapped.
func Rehearse(ctx context.Context, cfg RouteConfig, mapper Mapper, m *Message, wants func(table string) bool) (Rehearsal, error) {
	cfg.Shadow = false
	r := &Route{cfg: cfg.withDefaults(), mapper: mapper}
	if wants != nil {
		r.deps.Echoes = asking(wants)
	}
	p, err := r.prepare(ctx, m)
	if err != nil {
		return Rehearsal{}, err
	}
	if p.fate == nil {
		if reviser, ok := mapper.(Reviser); ok {
			if p.revision, err = reviser.Revision(ctx, p.event); ctx.Err() != nil {
				return Rehearsal{}, ctx.Err()
			} else if err != nil {
				p.fate = &settlement{outcome: Rejected, err: outcome.Of(err)}
				if p.fate.err == nil {
					p.fate.err = &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Err: err}
				}
			}
		}
	}
	if p.fate != nil {
		return Rehearsal{Event: p.event, Outcome: p.fate.outcome, Err: p.fate.err}, nil
	}
	return Rehearsal{Event: p.event, Outcome: Written, Writes: p.writes, Revision: p.revision}, nil
}

// asking only tells what it wants.
type asking func(table string) bool

func (a asking) Wants(table string) bool { return a(table) }
func (asking) Note(Echo)                 {}
