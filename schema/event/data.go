package event

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"cebridge/schema/rawjson"
)

// Data is the payload of a published event. Its members share memory with the
// message they were read from; nil when absent.
type Data struct {
	Record, Previous, References jsontext.Value
	// Ref is the URI under which the data is kept, when the event carries none.
	Ref string
}

// ReadData reads the data of an event that an Encoder wrote, in either mode. Rows are
// spliced in as the server sent them: a fault that only strict readers see, a name that
// stands twice or half a surrogate pair, does not make the stream unreadable.
func ReadData(h map[string][]string, data []byte) (Data, error) {
	if len(data) > MaxBody {
		return Data{}, tooLarge(len(data))
	}
	payload, ref := jsontext.Value(data), ""
	if v := h[attributePrefix+"dataref"]; len(v) == 1 {
		ref = percentDecode(v[0])
	}
	if ct := h[HeaderContentType]; len(ct) == 1 && ct[0] == ContentTypeStructured {
		payload = nil
		o := rawjson.Walk(data)
		for o.Next() {
			switch value := jsontext.Value(o.Value); {
			case string(o.Name) == "data":
				payload = value
			case string(o.Name) == "dataref" && value.Kind() == '"':
				text, err := unquoteJSON(value)
				if err != nil {
					return Data{}, fmt.Errorf("published event: %w", err)
				}
				ref = text
			}
		}
		if err := o.Err(); err != nil {
			return Data{}, fmt.Errorf("published event: %w: %w", ErrInvalid, err)
		}
	}
	if ref != "" && len(payload) == 0 {
		return Data{Ref: ref}, nil
	}
	return readPayload(payload)
}

// MaxPayload bounds the data that is kept outside of its event.
const MaxPayload = 64 << 20

// ReadPayload reads data that was kept outside of its event: what Payload wrote.
func ReadPayload(payload []byte) (Data, error) {
	if len(payload) > MaxPayload {
		return Data{}, fmt.Errorf("%w: %d bytes, more than %d", ErrInvalid, len(payload), MaxPayload)
	}
	return readPayload(payload)
}

func readPayload(payload jsontext.Value) (Data, error) {
	var d Data
	o := rawjson.Walk(payload)
	for o.Next() {
		value := jsontext.Value(o.Value)
		switch string(o.Name) {
		case "record":
			d.Record = value
		case "previous":
			d.Previous = value
		case "references":
			d.References = value
		default:
			continue
		}
		if value.Kind() != '{' {
			return Data{}, fmt.Errorf("data of a published event: %w: member %s is not an object", ErrInvalid, o.Name)
		}
	}
	if err := o.Err(); err != nil {
		return Data{}, fmt.Errorf("data of a published event: %w: %w", ErrInvalid, err)
	}
	return d, nil
}

// members calls fn for each member of a JSON object that fills data. The values
// are slices of data. It fails with ErrInvalid on anything else.
func members(data []byte, fn func(name string, value jsontext.Value) error, opts ...jsontext.Options) error {
	r := decoders.Get().(*reader)
	defer r.release()
	dec := r.over(data, opts...)
	if dec.PeekKind() != '{' {
		if len(bytes.TrimSpace(data)) == 0 {
			return fmt.Errorf("%w: it is empty, expected a JSON object", ErrInvalid)
		}
		return fmt.Errorf("%w: it is not a JSON object", ErrInvalid)
	}
	if _, err := dec.ReadToken(); err != nil {
		return badJSON(dec)
	}
	for dec.PeekKind() != '}' {
		raw, err := dec.ReadValue()
		if err != nil || raw.Kind() != '"' {
			return badJSON(dec)
		}
		name, known := knownNames[string(raw)]
		if !known {
			if name, err = unquoteJSON(raw); err != nil {
				return err
			}
		}
		value, err := dec.ReadValue()
		if err != nil {
			return badJSON(dec)
		}
		end := dec.InputOffset()
		if err := fn(name, jsontext.Value(data[end-int64(len(value)):end:end])); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return badJSON(dec)
	}
	if len(bytes.TrimSpace(data[dec.InputOffset():])) > 0 {
		return fmt.Errorf("%w: more follows the JSON object", ErrInvalid)
	}
	return nil
}

// knownNames are the members that most events have, as they stand there: no new text is
// made of them.
var knownNames = func() map[string]string {
	m := make(map[string]string)
	for _, name := range []string{
		"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64",
	} {
		m[`"`+name+`"`] = name
	}
	return m
}()

// badJSON tells where the JSON is wrong, not what stands there: the decoder's own
// message may quote names, and a name can be personal data.
func badJSON(dec *jsontext.Decoder) error {
	return fmt.Errorf("%w: not valid JSON (or a duplicate name) after byte %d", ErrInvalid, dec.InputOffset())
}

func tooLarge(n int) error {
	return fmt.Errorf("%w: %d bytes, more than %d", ErrInvalid, n, MaxBody)
}

// checkDepth refuses JSON nested deeper than MaxDepth before any parser sees it.
// Other texts pass; they fail where they are parsed.
func checkDepth(data []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("%w: nested deeper than %d", ErrInvalid, MaxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
