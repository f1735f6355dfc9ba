package inbound

import (
	"context"
	"errors"
	"testing"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// rehearsed is a mapper with fixed answers.
type rehearsed struct {
	match    bool
	err      error
	revision error
}

func (m rehearsed) Match(context.Context, *cloudevent.Event) (bool, error) { return m.match, nil }

func (m rehearsed) Map(context.Context, *cloudevent.Event) ([]*schema.Write, error) {
	return []*schema.Write{{Table: "account"}, {Table: "contact"}}, m.err
}

func (m rehearsed) Revision(context.Context, *cloudevent.Event) (string, error) {
	return "r7", m.revision
}

func TestARehearsalEndsAsTheRouteWould(t *testing.T) {
	refusal := &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid, Message: "no"}
	const event = `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	const late = `{"specversion":"1.0","id":"1","source":"/s","type":"t","expirytime":"2001-01-01T00:00:00Z"}`
	for name, c := range map[string]struct {
		mapper  rehearsed
		cfg     RouteConfig
		data    string
		outcome string
		reason  outcome.Reason
	}{
		"written":           {rehearsed{match: true}, RouteConfig{}, event, Written, ""},
		"shadow":            {rehearsed{match: true}, RouteConfig{Shadow: true}, event, Written, ""},
		"unmatched":         {rehearsed{}, RouteConfig{}, event, Unmatching, ""},
		"unmatched, strict": {rehearsed{}, RouteConfig{Unmatched: UnmatchedDeadLetter}, event, Rejected, outcome.Invalid},
		"refused":           {rehearsed{match: true, err: refusal}, RouteConfig{}, event, Rejected, outcome.Invalid},
		"bad revision":      {rehearsed{match: true, revision: refusal}, RouteConfig{}, event, Rejected, outcome.Invalid},
		"expired":           {rehearsed{match: true}, RouteConfig{}, late, Rejected, outcome.Expired},
		"no event":          {rehearsed{match: true}, RouteConfig{}, "x", Rejected, outcome.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Name = "r"
			r, err := Rehearse(t.Context(), c.cfg, c.mapper, &Message{Data: []byte(c.data)}, func(table string) bool { return table == "contact" })
			if err != nil || r.Outcome != c.outcome || (r.Err == nil) != (c.reason == "") || r.Err != nil && r.Err.Reason != c.reason {
				t.Fatalf("%+v, %v", r, err)
			}
			if c.outcome != Written {
				if r.Writes != nil || r.Revision != "" {
					t.Errorf("%+v", r)
				}
				return
			}
			if len(r.Writes) != 2 || r.Writes[0].WantResult || !r.Writes[1].WantResult || r.Revision != "r7" {
				t.Errorf("%+v", r)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Rehearse(ended, RouteConfig{}, rehearsed{match: true, err: context.Canceled}, &Message{Data: []byte(event)}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
