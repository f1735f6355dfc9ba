package event

import (
	"fmt"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
)

// Envelope is what a plain JSON message lacks to be an event. Subject and Time are
// left out when empty.
type Envelope struct {
	ID, Source, Type, Subject string
	Time                      time.Time
}

// FromPlainJSON makes an event of a message that is JSON and nothing more. The data
// is any one JSON value and keeps its exact bytes; it shares memory with data.
func FromPlainJSON(env Envelope, data []byte) (*cloudevent.Event, error) {
	if err := checkJSON(data); err != nil {
		return nil, fmt.Errorf("plain JSON message: %w", err)
	}
	var attrs attributes
	for _, a := range [...]struct{ name, value string }{
		{"specversion", cloudevent.CloudEventsVersionV1},
		{"id", env.ID},
		{"source", env.Source},
		{"type", env.Type},
		{"subject", env.Subject},
		{"datacontenttype", cloudevent.ApplicationJSON},
	} {
		if err := attrs.add(a.name, textScalar(a.value)); err != nil {
			return nil, fmt.Errorf("envelope of a plain JSON message: %w", err)
		}
	}
	e, err := attrs.event()
	if err != nil {
		return nil, fmt.Errorf("envelope of a plain JSON message: %w", err)
	}
	if !env.Time.IsZero() {
		e.SetTime(env.Time)
	}
	e.DataEncoded = data
	return e, nil
}
