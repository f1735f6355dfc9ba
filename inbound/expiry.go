package inbound

import (
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"cebridge/schema/outcome"
)

// expiryAttribute says until when an event is worth applying. Source: the
// documented extension "Expiry Time" of CloudEvents.
const expiryAttribute = "expirytime"

// expiry reads the event's expiry; the zero time means never.
func expiry(e *cloudevent.Event) (time.Time, error) {
	v, ok := e.Extensions()[expiryAttribute]
	if !ok {
		return time.Time{}, nil
	}
	t, err := types.ToTime(v)
	if err != nil {
		return time.Time{}, &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid,
			Message: "the attribute expirytime is not a time as RFC 3339"}
	}
	return t, nil
}

// expired returns the verdict on an event whose time is over, nil before that.
func (p *prepared) expired() error {
	if p.expires.IsZero() || time.Now().Before(p.expires) {
		return nil
	}
	return &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Expired,
		Message: "the event expired at " + p.expires.UTC().Format(time.RFC3339)}
}
