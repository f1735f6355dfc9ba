package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/inbound"
	"cebridge/schema"
)

// The states of a dead letter.
const (
	LetterDead    = "dead"
	LetterRetried = "retried" // sent again
	LetterParked  = "parked"  // not dead yet: the route tries it again by itself
)

// DeadLetter is one message that could not be applied. The JSON names are a
// contract. Header and Data hold what the message held, personal data included.
type DeadLetter struct {
	// ID is the letter's sequence in the dead-letter stream.
	ID    uint64 `json:"id"`
	State string `json:"state"`
	Route string `json:"route"`
	// Stored is when the letter was stored; First and Last bound the attempts.
	Stored  time.Time `json:"stored,omitzero"`
	Reason  string    `json:"reason"`
	Verdict string    `json:"verdict"`
	Code    string    `json:"code,omitempty"`
	Status  int       `json:"status,omitempty"`
	Text    string    `json:"text,omitempty"`
	Waits   string    `json:"waits,omitempty"`
	// Writes is the number of writes of a message that makes several; Done of them
	// were accepted, and Accepted holds their paths as far as they were kept. Method,
	// Path and Request are the next one, which was not.
	Writes   int         `json:"writes,omitempty"`
	Done     int         `json:"done,omitempty"`
	Accepted []string    `json:"accepted,omitempty"`
	Method   string      `json:"method,omitempty"`
	Path     string      `json:"path,omitempty"`
	Request  string      `json:"request,omitempty"`
	Tries    int         `json:"attempts"`
	First    time.Time   `json:"first,omitzero"`
	Last     time.Time   `json:"last,omitzero"`
	Source   SourcePlace `json:"message"`
	// RetryOf and RetryCount tell the lineage of a message that was sent again before.
	RetryOf    string              `json:"retryOf,omitempty"`
	RetryCount int                 `json:"retryCount,omitempty"`
	Retried    *RetryMark          `json:"retried,omitempty"`
	Header     map[string][]string `json:"header,omitempty"`
	Data       []byte              `json:"data,omitempty"`

	letter  *inbound.Letter
	subject string
}

// SourcePlace is where a message stands in its source stream.
type SourcePlace struct {
	Stream      string    `json:"stream"`
	Incarnation string    `json:"incarnation"`
	Sequence    uint64    `json:"sequence"`
	Subject     string    `json:"subject"`
	Stored      time.Time `json:"stored,omitzero"`
}

// RetryMark tells that a letter was sent again, and where that message stands.
type RetryMark struct {
	At       time.Time `json:"at"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Edited   bool      `json:"edited,omitempty"`
}

// LetterFilter chooses letters; empty fields choose all.
type LetterFilter struct {
	IDs []uint64
	// Route, Reason, Code and State must be equal, without regard to letter case.
	Route, Reason, Code, State string
	// Text must stand in the request's path, the subject or the data.
	Text string
}

// ParseLetterFilter reads conditions of the form name=value: route, reason, code,
// state or key. What is no such condition is an error that names it.
func ParseLetterFilter(conditions []string) (LetterFilter, error) {
	var f LetterFilter
	fields := map[string]*string{"route": &f.Route, "reason": &f.Reason, "code": &f.Code, "state": &f.State, "key": &f.Text}
	for _, c := range conditions {
		name, value, ok := strings.Cut(c, "=")
		field := fields[strings.TrimSpace(name)]
		value = strings.TrimSpace(value)
		switch {
		case !ok || field == nil || value == "":
			return f, fmt.Errorf("condition %q: write route=, reason=, code=, state= or key= and a value", c)
		case *field != "":
			return f, fmt.Errorf("condition %q: %s stands twice", c, name)
		case field == &f.State && value != LetterDead && value != LetterRetried && value != LetterParked:
			return f, fmt.Errorf("condition %q: a state is %s, %s or %s", c, LetterDead, LetterRetried, LetterParked)
		}
		*field = value
	}
	if f.Route != "" && !schema.ValidToken(f.Route) {
		return f, fmt.Errorf("condition route=%s: that is no route's name", f.Route)
	}
	return f, nil
}

func (f *LetterFilter) matches(d *DeadLetter) bool {
	same := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	if !same(f.Route, d.Route) || !same(f.Reason, d.Reason) || !same(f.Code, d.Code) || !same(f.State, d.State) {
		return false
	}
	if len(f.IDs) > 0 {
		found := false
		for _, id := range f.IDs {
			found = found || id == d.ID
		}
		if !found {
			return false
		}
	}
	if f.Text == "" {
		return true
	}
	text := strings.ToLower(f.Text)
	for _, part := range []string{d.Path, d.Source.Subject, string(d.Data)} {
		if strings.Contains(strings.ToLower(part), text) {
			return true
		}
	}
	return false
}

// Errors of what is asked about a dead letter.
var (
	// ErrLetterRetried: it was sent again already.
	ErrLetterRetried = errors.New("the letter was sent again already")
	// ErrLetterParked: the route itself tries the message again.
	ErrLetterParked = errors.New("the message is parked: the route tries it again by itself")
	// ErrNewerApplied: a newer revision of the record was applied since.
	ErrNewerApplied = errors.New("a newer revision of the record was applied since")
)

// DeadLetters calls fn with the letters that f chooses, oldest first; parked
// messages only when f asks for that state or for ids.
func (o *Operator) DeadLetters(ctx context.Context, f LetterFilter, fn func(*DeadLetter) error) error {
	b, route := o.b, "*"
	if f.Route != "" {
		route = f.Route
	}
	marks := map[string]*RetryMark{}
	err := b.conn.Walk(ctx, jet.Walk{Stream: b.names.DeadStream(), Filter: []string{b.names.DeadLetters(route) + ".retried"}}, func(s jet.Step) error {
		var m RetryMark
		if err := json.Unmarshal(s.Data, &m); err != nil {
			return fmt.Errorf("the mark %s: %w", s.Subject, err)
		}
		marks[strings.TrimSuffix(s.Subject, ".retried")] = &m
		return nil
	})
	if err != nil {
		return err
	}
	var subjects []string
	if f.State != LetterParked {
		subjects = append(subjects, b.names.DeadLetters(route))
	}
	if f.State == LetterParked || f.State == "" && len(f.IDs) > 0 {
		subjects = append(subjects, b.names.Parked(route, "*.*.*"))
	}
	return b.conn.Walk(ctx, jet.Walk{Stream: b.names.DeadStream(), Filter: subjects}, func(s jet.Step) error {
		l, err := jet.DecodeLetter(s.Header, s.Data)
		if err != nil {
			return fmt.Errorf("message %d of stream %s: %w: remove it", s.Sequence, b.names.DeadStream(), err)
		}
		d := newDeadLetter(l, s, marks[s.Subject])
		if strings.HasPrefix(s.Subject, b.names.Parked(l.Route, "")) {
			d.State = LetterParked
		}
		if !f.matches(d) {
			return nil
		}
		return fn(d)
	})
}

func newDeadLetter(l *inbound.Letter, s jet.Step, mark *RetryMark) *DeadLetter {
	m := l.Message
	d := &DeadLetter{
		ID: s.Sequence, State: LetterDead, Route: l.Route, Stored: s.Time, Reason: l.Reason, Verdict: l.Verdict, Code: l.Code,
		Status: l.Status, Text: l.Text, Waits: l.Waits, Method: l.Method, Path: l.Path, Request: string(l.Body),
		Writes: l.Writes, Done: l.Done, Accepted: strings.Fields(l.Accepted),
		Tries: l.Attempts, First: l.First, Last: l.Last, Retried: mark, Header: m.Header, Data: m.Data,
		Source: SourcePlace{Stream: m.Stream, Incarnation: m.Incarnation, Sequence: m.Sequence, Subject: m.Subject, Stored: m.Stored},
		letter: l, subject: s.Subject,
	}
	if mark != nil {
		d.State = LetterRetried
	}
	if v := m.Header[inbound.HeaderRetryOf]; len(v) > 0 {
		d.RetryOf = v[0]
	}
	d.RetryCount = retryCount(m.Header)
	return d
}

func retryCount(h map[string][]string) int {
	if v := h[inbound.HeaderRetryCount]; len(v) > 0 {
		if n, err := strconv.Atoi(v[0]); err == nil && n > 0 {
			return n
		}
	}
	return 0
}
