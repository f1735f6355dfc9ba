package event

import (
	"fmt"
	"strings"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/go-json-experiment/json/jsontext"
)

// unmarshalBinary reads attributes from ce- headers in any case.
func unmarshalBinary(header map[string][]string, contentType string, data []byte) (*cloudevent.Event, error) {
	var attrs attributes
	for name, values := range header {
		if len(name) < len(attributePrefix) || !strings.EqualFold(name[:len(attributePrefix)], attributePrefix) {
			continue
		}
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return nil, fmt.Errorf("binary event: %w: header %s is there twice", ErrInvalid, short(name))
		}
		// Encoded, a byte takes up to three.
		if len(values[0]) > 3*MaxAttribute {
			return nil, fmt.Errorf("binary event: %w: header %s is too long", ErrInvalid, short(name))
		}
		if err := attrs.add(name[len(attributePrefix):], textScalar(percentDecode(values[0]))); err != nil {
			return nil, fmt.Errorf("binary event: %w", err)
		}
	}
	if attrs.find("datacontenttype") < 0 && contentType != "" {
		if err := attrs.add("datacontenttype", textScalar(contentType)); err != nil {
			return nil, fmt.Errorf("binary event: %w", err)
		}
	}
	e, err := attrs.event()
	if err != nil {
		return nil, fmt.Errorf("binary event: %w", err)
	}
	if len(data) == 0 {
		return e, nil
	}
	if ct := e.DataContentType(); isJSON(ct) {
		if err := checkJSON(data); err != nil {
			return nil, fmt.Errorf("binary event: data: %w", err)
		}
	}
	e.DataEncoded = data
	return e, nil
}

// checkJSON wants one JSON value within the bounds and without duplicate names.
func checkJSON(data []byte) error {
	if len(data) > MaxBody {
		return tooLarge(len(data))
	}
	if err := checkDepth(data); err != nil {
		return err
	}
	if !jsontext.Value(data).IsValid() {
		return fmt.Errorf("%w: not valid JSON, or a duplicate name", ErrInvalid)
	}
	return nil
}
