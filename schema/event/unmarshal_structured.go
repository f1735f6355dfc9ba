package event

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/go-json-experiment/json/jsontext"
)

// errFound ends a walk early.
var errFound = errors.New("found")

// claimsEvent tells whether data is a JSON object with a specversion member, as
// far as it can be read.
func claimsEvent(data []byte) bool {
	err := members(data, func(name string, _ jsontext.Value) error {
		if strings.EqualFold(name, "specversion") {
			return errFound
		}
		return nil
	}, jsontext.AllowDuplicateNames(true))
	return errors.Is(err, errFound)
}

// unmarshalStructured reads the JSON event format. The SDK's own reader is not
// used: it stops silently at an empty name, takes duplicates and rounds numbers.
func unmarshalStructured(data []byte) (*cloudevent.Event, error) {
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	var (
		attrs        attributes
		plain, coded jsontext.Value
	)
	err := members(data, func(name string, value jsontext.Value) error {
		switch name {
		case "data":
			plain = value
		case "data_base64":
			coded = value
		default:
			v, err := attributeValue(name, value)
			if err != nil {
				return err
			}
			return attrs.add(name, v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("structured event: %w", err)
	}
	e, err := attrs.event()
	if err != nil {
		return nil, fmt.Errorf("structured event: %w", err)
	}
	if err := setStructuredData(e, plain, coded); err != nil {
		return nil, fmt.Errorf("structured event: %w", err)
	}
	return e, nil
}

// attributeValue reads the value of an attribute.
func attributeValue(name string, value jsontext.Value) (scalar, error) {
	switch value.Kind() {
	case 'n':
		return scalar{}, nil
	case 't':
		return scalar{kind: isBool, num: 1}, nil
	case 'f':
		return scalar{kind: isBool}, nil
	case '"':
		text, err := unquoteJSON(value)
		return textScalar(text), err
	case '0':
		if len(value) > MaxAttribute {
			return scalar{}, fmt.Errorf("%w: attribute %s is longer than %d bytes", ErrInvalid, short(name), MaxAttribute)
		}
		if n, err := strconv.ParseInt(string(value), 10, 32); err == nil {
			return scalar{kind: isInteger, num: int32(n)}, nil
		}
		return scalar{kind: isDigits, text: string(value)}, nil
	}
	return scalar{}, fmt.Errorf("%w: attribute %s is an object or an array, expected a single value", ErrInvalid, short(name))
}

// unquoteJSON returns the text of a JSON string that a decoder has read.
func unquoteJSON(value jsontext.Value) (string, error) {
	if inner := string(value[1 : len(value)-1]); all(inner, inJSON) {
		return inner, nil
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "", fmt.Errorf("%w: a text is not valid UTF-8", ErrInvalid)
	}
	return string(text), nil
}

func setStructuredData(e *cloudevent.Event, plain, coded jsontext.Value) error {
	switch {
	case plain != nil && coded != nil:
		return fmt.Errorf("%w: it has both data and data_base64", ErrInvalid)
	case coded != nil:
		if coded.Kind() != '"' {
			return fmt.Errorf("%w: data_base64 is not a text", ErrInvalid)
		}
		text, err := unquoteJSON(coded)
		if err != nil {
			return err
		}
		e.DataBase64 = true
		if e.DataEncoded, err = base64.StdEncoding.DecodeString(text); err != nil {
			return fmt.Errorf("%w: data_base64 is not base64", ErrInvalid)
		}
		if isJSON(e.DataContentType()) && len(e.DataEncoded) > 0 {
			return checkJSON(e.DataEncoded)
		}
	case plain != nil:
		e.DataEncoded = plain
		if ct := e.DataContentType(); ct != "" && !isJSON(ct) && plain.Kind() == '"' {
			text, err := unquoteJSON(plain)
			if err != nil {
				return err
			}
			e.DataEncoded = []byte(text)
		}
	}
	return nil
}
