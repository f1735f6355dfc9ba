package event

import (
	"fmt"
	"mime"
	"strings"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// attributes collects what a message says of its event before anything is
// believed. Names are lower case; values are string, bool, int32 or digits. There
// are few of them, so they are searched one by one.
type attributes struct {
	list []claim
}

type claim struct {
	name  string
	value any // nil: absent, though its name is taken
}

// find returns the place of an attribute, or -1.
func (a *attributes) find(name string) int {
	for i := range a.list {
		if a.list[i].name == name {
			return i
		}
	}
	return -1
}

// add takes one attribute. A nil value counts as absent, but its name is taken.
func (a *attributes) add(name string, value any) error {
	lower := strings.ToLower(name)
	if !validName(lower) {
		return fmt.Errorf("%w: attribute name %s has other characters than letters and digits", ErrInvalid, short(name))
	}
	if a.list == nil {
		a.list = make([]claim, 0, 8)
	}
	if a.find(lower) >= 0 {
		return fmt.Errorf("%w: attribute %s is there twice", ErrInvalid, short(lower))
	}
	if len(a.list) == MaxAttributes {
		return fmt.Errorf("%w: more than %d attributes", ErrInvalid, MaxAttributes)
	}
	if s, ok := value.(string); ok {
		if err := checkText(lower, s); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	a.list = append(a.list, claim{lower, value})
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
	if i < 0 || a.list[i].value == nil {
		return "", nil
	}
	v := a.list[i].value
	a.list[i].value = nil
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%w: attribute %s is not a text", ErrInvalid, name)
	}
	return s, nil
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
	for _, attr := range a.list {
		value := attr.value
		if value == nil {
			continue
		}
		if d, ok := value.(digits); ok {
			value = string(d)
		}
		if err := c.SetExtension(attr.name, value); err != nil {
			return nil, fmt.Errorf("%w: attribute %s: %w", ErrInvalid, short(attr.name), err)
		}
	}
	return &cloudevent.Event{Context: c}, nil
}

// reference reads the source of an event.
func reference(text string) (types.URIRef, error) {
	uri := types.ParseURIRef(text)
	if uri == nil || uri.String() == "" {
		return types.URIRef{}, fmt.Errorf("%w: attribute source is not a URI reference", ErrInvalid)
	}
	return *uri, nil
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
