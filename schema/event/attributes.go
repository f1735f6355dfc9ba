package event

import (
	"fmt"
	"mime"
	"net/url"
	"strings"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// attributes collects what a message says of its event before anything is
// believed. Names are lower case. There are few of them, so they are searched one by one.
type attributes struct {
	// The first ones have their place here, so that those of most events, where this lies
	// on the stack, take no memory of their own.
	few  [8]claim
	more []claim
	n    int
}

type claim struct {
	name  string
	value scalar
}

// scalar is the value of an attribute.
type scalar struct {
	kind scalarKind
	text string // of a text or of digits
	num  int32  // of an integer; 1 is true
}

type scalarKind uint8

const (
	absent scalarKind = iota // null, or taken out; its name is taken
	isText
	isBool
	isInteger
	// isDigits is a number beyond the Integer type: a text, but not where the
	// specification wants a text.
	isDigits
)

func textScalar(s string) scalar { return scalar{kind: isText, text: s} }

// extension is the value as the SDK wants it.
func (s scalar) extension() any {
	switch s.kind {
	case isBool:
		return s.num == 1
	case isInteger:
		return s.num
	}
	return s.text
}

// at is the attribute in a place.
func (a *attributes) at(i int) *claim {
	if i < len(a.few) {
		return &a.few[i]
	}
	return &a.more[i-len(a.few)]
}

// find returns the place of an attribute, or -1.
func (a *attributes) find(name string) int {
	for i := range a.n {
		if a.at(i).name == name {
			return i
		}
	}
	return -1
}

// add takes one attribute. An absent value takes its name all the same.
func (a *attributes) add(name string, value scalar) error {
	lower := strings.ToLower(name)
	if !validName(lower) {
		return fmt.Errorf("%w: attribute name %s has other characters than letters and digits", ErrInvalid, short(name))
	}
	if a.find(lower) >= 0 {
		return fmt.Errorf("%w: attribute %s is there twice", ErrInvalid, short(lower))
	}
	if a.n == MaxAttributes {
		return fmt.Errorf("%w: more than %d attributes", ErrInvalid, MaxAttributes)
	}
	if value.kind == isText {
		if err := checkText(lower, value.text); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if a.n < len(a.few) {
		a.few[a.n] = claim{lower, value}
	} else {
		a.more = append(a.more, claim{lower, value})
	}
	a.n++
	return nil
}

func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9') {
			return false
		}
	}
	return s != "" && s != "data"
}

// text takes out a string attribute: absent or null is "".
func (a *attributes) text(name string) (string, error) {
	i := a.find(name)
	if i < 0 {
		return "", nil
	}
	v := a.at(i).value
	a.at(i).value = scalar{}
	if v.kind != absent && v.kind != isText {
		return "", fmt.Errorf("%w: attribute %s is not a text", ErrInvalid, name)
	}
	return v.text, nil
}

// required takes out a string attribute that must have a value.
func (a *attributes) required(name string) (string, error) {
	s, err := a.text(name)
	if err == nil && strings.TrimSpace(s) == "" {
		err = fmt.Errorf("%w: attribute %s is missing or empty", ErrInvalid, name)
	}
	return s, err
}

// event builds the event without its data, and empties a.
func (a *attributes) event() (*cloudevent.Event, error) {
	version, err := a.required("specversion")
	if err != nil {
		return nil, err
	}
	if version != cloudevent.CloudEventsVersionV1 {
		return nil, fmt.Errorf("%w: specversion %s is not supported, expected 1.0", ErrInvalid, short(version))
	}
	c := new(cloudevent.EventContextV1)
	if c.ID, err = a.required("id"); err != nil {
		return nil, err
	}
	if c.Type, err = a.required("type"); err != nil {
		return nil, err
	}
	source, err := a.required("source")
	if err != nil {
		return nil, err
	}
	if c.Source, err = reference(source); err != nil {
		return nil, err
	}
	if err := a.optional(c); err != nil {
		return nil, err
	}
	for i := range a.n {
		attr := a.at(i)
		if attr.value.kind == absent {
			continue
		}
		if err := c.SetExtension(attr.name, attr.value.extension()); err != nil {
			return nil, fmt.Errorf("%w: attribute %s: %w", ErrInvalid, short(attr.name), err)
		}
	}
	return &cloudevent.Event{Context: c}, nil
}

// reference reads the source of an event.
func reference(text string) (types.URIRef, error) {
	uri, err := url.Parse(text) // as types.ParseURIRef does
	if err != nil || *uri == (url.URL{}) {
		return types.URIRef{}, fmt.Errorf("%w: attribute source is not a URI reference", ErrInvalid)
	}
	return types.URIRef{URL: *uri}, nil
}

// kept is a place for a text that is there; one that is absent takes none.
func kept(text string) *string { return &text }

// optional reads the attributes of the specification that may be absent. An empty
// value counts as absent.
func (a *attributes) optional(c *cloudevent.EventContextV1) error {
	subject, err := a.text("subject")
	if err != nil {
		return err
	}
	if strings.TrimSpace(subject) != "" {
		c.Subject = kept(subject)
	}
	moment, err := a.text("time")
	if err != nil {
		return err
	}
	if moment != "" {
		c.Time, err = types.ParseTimestamp(moment)
		if err != nil || c.Time.UTC().Year() < 0 || c.Time.UTC().Year() > 9999 {
			return fmt.Errorf("%w: attribute time is not in the RFC 3339 form", ErrInvalid)
		}
	}
	contentType, err := a.text("datacontenttype")
	if err != nil {
		return err
	}
	if contentType != "" {
		if _, _, err := mime.ParseMediaType(contentType); err != nil {
			return fmt.Errorf("%w: attribute datacontenttype is not a media type", ErrInvalid)
		}
		c.DataContentType = kept(contentType)
	}
	dataSchema, err := a.text("dataschema")
	if err != nil {
		return err
	}
	if dataSchema != "" {
		if c.DataSchema = types.ParseURI(dataSchema); c.DataSchema == nil || !c.DataSchema.Validate() {
			return fmt.Errorf("%w: attribute dataschema is not an absolute URI", ErrInvalid)
		}
	}
	return nil
}
