package event

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/go-json-experiment/json/jsontext"
)

// Marshal writes any CloudEvent 1.0 as a NATS message that Unmarshal reads back as
// an equal event. Structured, attributes come in the order of their names. In the
// binary mode extensions become texts and DataBase64 is lost. Empty data counts as
// none.
func Marshal(e *cloudevent.Event, m Mode) (header map[string][]string, data []byte, err error) {
	if err := m.validate(); err != nil {
		return nil, nil, fmt.Errorf("marshal event: %w", err)
	}
	attrs, err := eventAttributes(e)
	if err != nil {
		return nil, nil, fmt.Errorf("marshal event: %w", err)
	}
	if len(e.DataEncoded) > MaxBody {
		return nil, nil, fmt.Errorf("marshal event: data: %w", tooLarge(len(e.DataEncoded)))
	}
	if m == Binary {
		return marshalBinary(attrs, e)
	}
	data, err = marshalStructured(attrs, e)
	if err != nil {
		return nil, nil, fmt.Errorf("marshal event: %w", err)
	}
	return map[string][]string{HeaderContentType: {ContentTypeStructured}}, data, nil
}

// attribute is one attribute ready to be written: text is its canonical form and
// bare tells that JSON writes it without quotes.
type attribute struct {
	name, text string
	bare       bool
}

// eventAttributes lists the event's attributes by name, checked.
func eventAttributes(e *cloudevent.Event) ([]attribute, error) {
	if e == nil || e.Context == nil {
		return nil, fmt.Errorf("%w: there is none", ErrInvalid)
	}
	c, ok := e.Context.(*cloudevent.EventContextV1)
	if !ok {
		return nil, fmt.Errorf("%w: specversion %s is not supported, expected 1.0", ErrInvalid, short(e.SpecVersion()))
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	attrs := []attribute{
		{name: "specversion", text: cloudevent.CloudEventsVersionV1},
		{name: "id", text: c.ID},
		{name: "source", text: c.Source.String()},
		{name: "type", text: c.Type},
	}
	if c.Subject != nil {
		attrs = append(attrs, attribute{name: "subject", text: *c.Subject})
	}
	if c.Time != nil {
		attrs = append(attrs, attribute{name: "time", text: types.FormatTime(c.Time.Time)})
	}
	if c.DataContentType != nil {
		attrs = append(attrs, attribute{name: "datacontenttype", text: *c.DataContentType})
	}
	if c.DataSchema != nil {
		attrs = append(attrs, attribute{name: "dataschema", text: c.DataSchema.String()})
	}
	for name, value := range c.Extensions {
		a, err := extension(name, value)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
	if len(attrs) > MaxAttributes {
		return nil, fmt.Errorf("%w: more than %d attributes", ErrInvalid, MaxAttributes)
	}
	for _, a := range attrs {
		if err := checkText(a.name, a.text); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	slices.SortFunc(attrs, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return attrs, nil
}

func extension(name string, value any) (attribute, error) {
	if !validName(name) {
		return attribute{}, fmt.Errorf("%w: attribute name %s has other characters than lower-case letters and digits", ErrInvalid, short(name))
	}
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema":
		return attribute{}, fmt.Errorf("%w: extension %s has the name of an attribute of the specification", ErrInvalid, name)
	}
	text, err := types.Format(value)
	if err != nil {
		return attribute{}, fmt.Errorf("%w: attribute %s has a type that CloudEvents does not have", ErrInvalid, short(name))
	}
	a := attribute{name: name, text: text}
	switch value.(type) {
	case bool, int32:
		a.bare = true
	}
	return a, nil
}

func marshalBinary(attrs []attribute, e *cloudevent.Event) (map[string][]string, []byte, error) {
	header := make(map[string][]string, len(attrs))
	for _, a := range attrs {
		header[attributePrefix+a.name] = []string{percentEncode(a.text)}
	}
	if len(e.DataEncoded) > 0 && isJSON(e.DataContentType()) {
		if err := checkJSON(e.DataEncoded); err != nil {
			return nil, nil, fmt.Errorf("marshal event: data: %w", err)
		}
	}
	return header, slices.Clone(e.DataEncoded), nil
}

func marshalStructured(attrs []attribute, e *cloudevent.Event) ([]byte, error) {
	b := make([]byte, 0, len(e.DataEncoded)+48*len(attrs))
	for i, a := range attrs {
		if i == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = appendQuoted(b, a.name)
		b = append(b, ':')
		if a.bare {
			b = append(b, a.text...)
		} else {
			b = appendQuoted(b, a.text)
		}
	}
	b, err := appendEventData(b, e)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	b = append(b, '}')
	if len(b) > MaxBody {
		return nil, tooLarge(len(b))
	}
	return b, nil
}

// appendEventData writes JSON as it is, texts as JSON strings, and the rest in
// base64. Without a content type the bytes decide.
func appendEventData(b []byte, e *cloudevent.Event) ([]byte, error) {
	if len(e.DataEncoded) == 0 {
		return b, nil
	}
	ct := e.DataContentType()
	notJSON := checkJSON(e.DataEncoded)
	switch {
	case isJSON(ct) && notJSON != nil:
		return nil, notJSON
	case !e.DataBase64 && (isJSON(ct) || ct == "" && notJSON == nil):
		b = append(b, `,"data":`...)
		return append(b, e.DataEncoded...), nil
	case !e.DataBase64 && ct != "" && utf8.Valid(e.DataEncoded):
		b = append(b, `,"data":`...)
		return jsontext.AppendQuote(b, e.DataEncoded)
	}
	b = append(b, `,"data_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.DataEncoded)
	return append(b, '"'), nil
}
