package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"cebridge/bridge/internal/webapi"
	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/mapping"
)

// Trial makes of events what routes would make of them, up to the exact HTTP requests,
// and connects to nothing.
type Trial struct {
	cfg    Config
	routes map[string]trialRoute
}

type trialRoute struct {
	cfg     RouteConfig
	program *mapping.Program
}

// NewTrial prepares routes of a configuration, all without names, with the definitions
// of tables such as PullSchema reads. Mappings that do not fit them fail with
// schema.Problems.
func NewTrial(cfg Config, tables []*schema.Table, routes ...string) (*Trial, error) {
	chosen, err := cfg.routes(routes)
	if err != nil {
		return nil, err
	}
	t := &Trial{cfg: cfg, routes: map[string]trialRoute{}}
	catalog := schema.NewCatalog(tables...)
	var problems schema.Problems
	for _, r := range chosen {
		if r.Mapping == nil {
			problems = append(problems, r.at.problem("", "the route has no mapping"))
			continue
		}
		program, ps := compileRoute(r, catalog)
		problems = append(problems, ps...)
		t.routes[r.Name] = trialRoute{r, program}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return t, nil
}

// routes are the routes of those names, all without names.
func (c Config) routes(names []string) ([]RouteConfig, error) {
	if len(names) == 0 {
		return c.Inbound.Routes, nil
	}
	var found []RouteConfig
	for _, name := range names {
		i := slices.IndexFunc(c.Inbound.Routes, func(r RouteConfig) bool { return r.Name == name })
		if i < 0 {
			var known []string
			for _, r := range c.Inbound.Routes {
				known = append(known, r.Name)
			}
			return nil, fmt.Errorf("route %s is not under inbound.routes%s", name, schema.Suggest(name, known))
		}
		found = append(found, c.Inbound.Routes[i])
	}
	return found, nil
}

// RouteTables are the logical names of the tables that routes write or refer to, in
// order; of all routes without names.
func (c Config) RouteTables(routes ...string) ([]string, error) {
	chosen, err := c.routes(routes)
	if err != nil {
		return nil, err
	}
	return Config{Inbound: InboundConfig{Routes: chosen}}.Tables(), nil
}

// trialTime is when a message from a file counts as stored.
var trialTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Message makes a message of the content of a file, as if the route's stream had it. It
// has the subject given, else the route's own when that is one. For JSON without
// CloudEvents the id is file/1 and the time 2000-01-01T00:00:00Z.
func (t *Trial) Message(route, subject string, data []byte) *TrialMessage {
	r := t.routes[route].cfg
	if subject == "" && len(r.Subjects) == 1 && !strings.ContainsAny(r.Subjects[0], "*>") {
		subject = r.Subjects[0]
	}
	return &TrialMessage{Subject: subject, Data: data, Stream: r.Stream, Incarnation: "file", Sequence: 1, Stored: trialTime}
}

// Tried is what a route makes of one message.
type Tried struct {
	Route string `json:"route"`
	// EventID, EventType and EventSource are empty when the message is no event.
	EventID     string `json:"event_id,omitempty"`
	EventType   string `json:"event_type,omitempty"`
	EventSource string `json:"event_source,omitempty"`
	// Outcome is mapped, unmatched or rejected.
	Outcome string `json:"outcome"`
	// Reason, Place and Text say why it is rejected.
	Reason   string       `json:"reason,omitempty"`
	Place    string       `json:"place,omitempty"`
	Text     string       `json:"text,omitempty"`
	Revision string       `json:"revision,omitempty"`
	Writes   []TriedWrite `json:"writes,omitempty"`
}

// The outcomes of a trial.
const (
	TriedMapped    = "mapped"
	TriedUnmatched = "unmatched"
	TriedRejected  = "rejected"
)

// TriedWrite is one write of the event.
type TriedWrite struct {
	Operation schema.Operation `json:"operation"`
	Table     string           `json:"table"`
	// Lane is the key whose messages stay in order.
	Lane string `json:"lane"`
	// Existing is what happens when the record is there, New when it is not; nil where
	// the operation is not for that.
	Existing *TriedCalls `json:"existing,omitempty"`
	New      *TriedCalls `json:"new,omitempty"`
}

// TriedCalls are the requests of a write.
type TriedCalls struct {
	Requests []TriedRequest `json:"requests"`
	// Replaces is how many calls the same takes one after the other: docs/operations.md,
	// "Trying a mapping", says how they are counted.
	Replaces int `json:"replaces"`
}

// TriedRequest is one HTTP request. A record that only the server can name stands as
// {accountid}.
type TriedRequest struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
}

// Try takes a message through a route.
func (t *Trial) Try(ctx context.Context, route string, m *TrialMessage) (*Tried, error) {
	r, ok := t.routes[route]
	if !ok {
		return nil, fmt.Errorf("route %s is not part of this trial", route)
	}
	c := r.cfg
	reh, err := inbound.Rehearse(ctx, inbound.RouteConfig{
		Name: c.Name, Format: c.Format, EventType: c.PlainType, Unmatched: c.Unmatched, Receipts: c.Receipts,
	}, r.program, m, t.echoes)
	if err != nil {
		return nil, fmt.Errorf("try route %s: %w", route, err)
	}
	tried := &Tried{Route: route, Outcome: TriedMapped, Revision: reh.Revision}
	if e := reh.Event; e != nil {
		tried.EventID, tried.EventType, tried.EventSource = e.ID(), e.Type(), e.Source()
	}
	switch {
	case reh.Outcome == inbound.Unmatching:
		tried.Outcome = TriedUnmatched
	case reh.Err != nil:
		tried.Outcome, tried.Reason, tried.Place, tried.Text = TriedRejected, string(reh.Err.Reason), reh.Err.Op, reh.Err.Message
		if tried.Text == "" && reh.Err.Err != nil {
			tried.Text = reh.Err.Err.Error()
		}
	}
	classic := newClassicCount()
	for _, w := range reh.Writes {
		write, err := t.rehearse(ctx, w, classic)
		if err != nil {
			return nil, err
		}
		tried.Writes = append(tried.Writes, write)
	}
	return tried, nil
}

// echoes tells whether a table's changes are to be recognized as the bridge's own.
func (t *Trial) echoes(table string) bool {
	return slices.ContainsFunc(t.cfg.Outbound.Tables, func(c TableConfig) bool {
		return c.Table == table && c.Echo != outbound.EchoOff
	})
}

func (t *Trial) rehearse(ctx context.Context, w *schema.Write, classic *classicCount) (TriedWrite, error) {
	out := TriedWrite{Operation: w.Operation, Table: w.Table, Lane: strings.NewReplacer("\x00", " ", "\x01", "=", "\x02", "", "\x03", ".", "\x04", "=").Replace(w.Lane())}
	calls := func(exists bool) (*TriedCalls, error) {
		sent, err := webapi.Rehearse(ctx, t.cfg.WebAPI.URL, t.cfg.WebAPI.Version, w, exists)
		if err != nil {
			return nil, err
		}
		c := &TriedCalls{Replaces: classic.count(w, exists)}
		for _, s := range sent {
			c.Requests = append(c.Requests, TriedRequest{Method: s.Method, Path: s.Path, Header: s.Header, Body: s.Body})
		}
		return c, nil
	}
	var err error
	if w.Operation != schema.OpCreate {
		if out.Existing, err = calls(true); err != nil {
			return out, err
		}
	}
	if w.Operation == schema.OpCreate || w.Operation == schema.OpUpsert {
		out.New, err = calls(false)
	}
	return out, err
}
