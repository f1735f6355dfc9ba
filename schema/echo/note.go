package echo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"cebridge/schema"
)

// format is that of stored notes and marks.
const format = 1

// maxStored bounds what is read, in bytes.
const maxStored = 1 << 20

// Note is what is remembered of one accepted write.
type Note struct {
	Format  int   `json:"format"`
	Version int64 `json:"version"`
	// Cause, Source and Correlation name the event that led to the write.
	Cause       string `json:"cause,omitempty"`
	Source      string `json:"source,omitempty"`
	Correlation string `json:"correlation,omitempty"`
	// Wrote holds the fingerprint of each value, by the column's read name; none when
	// nothing may be dropped on its strength.
	Wrote prints `json:"wrote,omitzero"`
}

// prints are fingerprints of columns.
type prints struct {
	Salt   string            `json:"salt,omitempty"`
	Values map[string]string `json:"values,omitempty"`
}

// none tells that nothing was ever noted, not even that there is nothing.
func (p *prints) none() bool { return p.Salt == "" }

func (p *prints) begin() { p.Salt, p.Values = rand.Text(), map[string]string{} }

func (p *prints) add(column string, value []byte) {
	if print, ok := fingerprint(p.Salt, column, value); ok {
		p.Values[column] = print
	}
}

// holds tells whether the column had that value.
func (p *prints) holds(column string, value []byte) bool {
	want, ok := p.Values[column]
	if !ok {
		return false
	}
	got, ok := fingerprint(p.Salt, column, value)
	return ok && got == want
}

// NewNote makes the note of an accepted write.
func NewNote(version int64) *Note { return &Note{Format: format, Version: version} }

// Written notes the values that a write to an existing record gave to those of its
// columns that are published; user is the GUID that modifiedby gets by it, or "". A
// lookup that was bound by an alternate key is left out: which record that is, the
// write does not tell.
func (n *Note) Written(t *schema.Table, body json.RawMessage, published func(column string) bool, user string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return fmt.Errorf("body of a write to %s: %w", t.LogicalName, err)
	}
	n.Wrote.begin()
	add := func(c *schema.Column, value []byte) {
		if c != nil && published(c.LogicalName) {
			n.Wrote.add(c.ReadName(), value)
		}
	}
	for name, value := range members {
		navigation, binds := strings.CutSuffix(name, "@odata.bind")
		if !binds {
			if c := t.Column(name); c != nil && !c.IsLookup() {
				add(c, value)
			}
			continue
		}
		target, known := bound(value)
		for i := range t.Navigations {
			if t.Navigations[i].Name == navigation && known {
				add(t.Column(t.Navigations[i].Column), target)
			}
		}
	}
	if c := t.Column("modifiedby"); user != "" && c != nil {
		add(c, []byte(`"`+strings.ToLower(user)+`"`))
	}
	return nil
}

// bound is the value that a lookup has once it is bound to that path: /contacts(GUID),
// or null.
func bound(value json.RawMessage) (json.RawMessage, bool) {
	if string(value) == "null" {
		return value, true
	}
	var path string
	if json.Unmarshal(value, &path) != nil {
		return nil, false
	}
	_, id, _ := strings.Cut(path, "(")
	id, closed := strings.CutSuffix(id, ")")
	if !closed || !schema.IsGUID(id) {
		return nil, false
	}
	return json.RawMessage(`"` + strings.ToLower(id) + `"`), true
}

// Encode is the stored form.
func (n *Note) Encode() ([]byte, error) { return json.Marshal(n) }

// DecodeNote reads a stored note.
func DecodeNote(data []byte) (*Note, error) {
	n := &Note{}
	if err := decode(data, n); err != nil {
		return nil, fmt.Errorf("note of a write: %w", err)
	}
	if n.Format != format || n.Version < 1 {
		return nil, fmt.Errorf("note of a write: it is not in format %d", format)
	}
	return n, nil
}

func decode(data []byte, v any) error {
	if len(data) > maxStored {
		return errors.New("it is too large")
	}
	return json.Unmarshal(data, v)
}
