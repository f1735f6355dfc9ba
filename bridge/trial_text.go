package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// TrialForm says how a trial is written for people.
type TrialForm struct {
	// Raw leaves bodies as they are sent, on one line.
	Raw bool
	// Lines says where in the file a rejection comes from, not only from which field.
	Lines bool
}

// Report is the trial for people: the requests as they would go out, in their order.
func (t *Tried) Report(form TrialForm) string {
	var b strings.Builder
	b.WriteString("event " + t.name() + "\n")
	switch t.Outcome {
	case TriedUnmatched:
		b.WriteString("unmatched: route " + t.Route + " makes nothing of it\n")
		return b.String()
	case TriedRejected:
		place := t.Place
		if i := strings.LastIndex(place, " ("); i >= 0 && !form.Lines {
			place = place[:i]
		}
		if place != "" {
			place += ": "
		}
		fmt.Fprintf(&b, "rejected: %s: %s%s\n", t.Reason, place, t.Text)
		return b.String()
	}
	if t.Revision != "" {
		b.WriteString("revision " + t.Revision + "\n")
	}
	for i, w := range t.Writes {
		fmt.Fprintf(&b, "\n%d. %s %s, lane %s\n", i+1, w.Operation, w.Table, w.Lane)
		switch {
		case w.Existing == nil:
			w.New.text(&b, form)
		case w.New == nil || reflect.DeepEqual(w.Existing.Requests, w.New.Requests):
			w.Existing.text(&b, form)
		default:
			b.WriteString("\n-- if the record exists --\n")
			w.Existing.text(&b, form)
			b.WriteString("\n-- if it is new --\n")
			w.New.text(&b, form)
		}
	}
	b.WriteString("\n" + t.sum() + "\n")
	return b.String()
}

func (t *Tried) name() string {
	if t.EventID == "" {
		return "(none)"
	}
	return t.EventID + " " + t.EventType
}

// sum compares the requests with the calls that they replace.
func (t *Tried) sum() string {
	var requests, replaces [2]int // existing, new; where only one is meant it counts for both
	for _, w := range t.Writes {
		existing, created := w.Existing, w.New
		if existing == nil {
			existing = created
		}
		if created == nil {
			created = existing
		}
		for i, c := range []*TriedCalls{existing, created} {
			requests[i] += len(c.Requests)
			replaces[i] += c.Replaces
		}
	}
	text := func(i int) string {
		return fmt.Sprintf("%s in place of %s", counted(requests[i], "request"), counted(replaces[i], "call"))
	}
	if requests[0] == requests[1] && replaces[0] == replaces[1] {
		return text(0)
	}
	return text(0) + "; of a new record " + text(1)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *TriedCalls) text(b *strings.Builder, form TrialForm) {
	for _, r := range c.Requests {
		fmt.Fprintf(b, "\n%s %s\n", r.Method, r.Path)
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			fmt.Fprintf(b, "%s: %s\n", name, r.Header[name])
		}
		if r.Body == nil {
			continue
		}
		body := []byte(r.Body)
		var pretty bytes.Buffer
		if !form.Raw && json.Indent(&pretty, body, "", "  ") == nil {
			body = pretty.Bytes()
		}
		fmt.Fprintf(b, "\n%s\n", body)
	}
}
