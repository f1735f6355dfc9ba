package event

import (
	"fmt"
	"mime"
	"strings"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
)

const attributePrefix = "ce-"

// Unmarshal reads a NATS message as a CloudEvent; the package comment says how the
// mode is found. The event's data may share memory with data. It never panics,
// whatever the input.
func Unmarshal(header map[string][]string, data []byte) (*cloudevent.Event, error) {
	if len(data) > MaxBody {
		return nil, tooLarge(len(data))
	}
	contentType, err := contentType(header)
	if err != nil {
		return nil, err
	}
	structured, err := isStructured(contentType)
	if err != nil {
		return nil, err
	}
	if structured {
		return unmarshalStructured(data)
	}
	if hasSpecVersion(header) {
		return unmarshalBinary(header, contentType, data)
	}
	e, err := unmarshalStructured(data)
	if err != nil && checkDepth(data) == nil && !claimsEvent(data) {
		return nil, fmt.Errorf("%w: expected Content-Type application/cloudevents+json, "+
			"ce-specversion headers, or a JSON object with specversion", ErrNotEvent)
	}
	return e, err
}

// contentType finds the header in any case. Repetitions must agree.
func contentType(header map[string][]string) (string, error) {
	found, value := false, ""
	for name, values := range header {
		if !strings.EqualFold(name, HeaderContentType) {
			continue
		}
		for _, v := range values {
			if found && v != value {
				return "", fmt.Errorf("%w: header Content-Type has two different values", ErrInvalid)
			}
			found, value = true, v
		}
	}
	if len(value) > MaxAttribute {
		return "", fmt.Errorf("%w: header Content-Type is longer than %d bytes", ErrInvalid, MaxAttribute)
	}
	return value, nil
}

// isStructured tells whether the content type is that of an event in the JSON
// format, and refuses batches and other event formats.
func isStructured(contentType string) (bool, error) {
	base, _, _ := strings.Cut(contentType, ";")
	base = strings.ToLower(strings.TrimSpace(base))
	if !strings.HasPrefix(base, "application/cloudevents") {
		return false, nil
	}
	switch {
	case base == "application/cloudevents" || base == ContentTypeStructured:
		return true, nil
	case strings.HasPrefix(base, "application/cloudevents-batch"):
		return false, fmt.Errorf("%w: Content-Type %s is a batch: publish one event a message", ErrInvalid, short(base))
	}
	return false, fmt.Errorf("%w: Content-Type %s is not a supported event format: use %s",
		ErrInvalid, short(base), ContentTypeStructured)
}

func hasSpecVersion(header map[string][]string) bool {
	for name, values := range header {
		if len(values) > 0 && strings.EqualFold(name, attributePrefix+"specversion") {
			return true
		}
	}
	return false
}

// isJSON tells whether a media type declares JSON: application/json, text/json or
// anything +json, any case and parameters. Nothing declared counts as not JSON.
func isJSON(mediaType string) bool {
	base, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return false
	}
	return base == "application/json" || base == "text/json" || strings.HasSuffix(base, "+json")
}
