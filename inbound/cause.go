package inbound

import (
	"context"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// maxCause bounds an id that is handed on to other events, in bytes. A longer one
// is left out: a part of it would be the id of something else.
const maxCause = 1024

// correlationAttribute names the process that an event is part of. Source: the
// documented extension "Correlation" of CloudEvents.
const correlationAttribute = "correlationid"

// Cause names the event that led to a write, for those who see its effect.
type Cause struct {
	// ID and Source are those of the inbound event; both "" when it cannot be named.
	ID     string
	Source string
	// Correlation is the event's correlationid, or else the id of the trace it was
	// made in; "" when it has neither.
	Correlation string
}

// cause is the event of this entry as a cause; empty when there is none.
func (e *entry) cause() Cause {
	if e.event == nil {
		return Cause{}
	}
	c := Cause{ID: e.event.ID(), Source: e.event.Source(), Correlation: correlation(e)}
	if len(c.ID) > maxCause || len(c.Source) > maxCause {
		c.ID, c.Source = "", ""
	}
	return c
}

func correlation(e *entry) string {
	if id := extension(e.event, correlationAttribute); id != "" && len(id) <= maxCause {
		return id
	}
	made := propagation.TraceContext{}.Extract(context.Background(), carrier{e})
	if sc := trace.SpanContextFromContext(made); sc.IsValid() {
		return sc.TraceID().String()
	}
	return ""
}

// extension reads an extension attribute as text, "" when it is absent.
func extension(e *cloudevent.Event, name string) string {
	v, ok := e.Extensions()[name]
	if !ok {
		return ""
	}
	text, err := types.Format(v)
	if err != nil {
		return ""
	}
	return text
}
