package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/go-json-experiment/json/jsontext"
)

// The limits of an event's data.
const (
	maxDataDepth  = 64
	maxDataValues = 1 << 18
	maxDataBytes  = 64 << 20
)

// view is an event as expressions see it: the cel.Activation of one event. Its
// data is decoded once, when first needed.
type view struct {
	event   *cloudevent.Event
	decoded bool
	data    any
	dataErr error
	// item and index are those of a for_each, when inItem is set.
	item   any
	index  int
	inItem bool
}

// root returns a variable; false when the event does not have it.
func (v *view) root(name string) (any, bool) {
	text := ""
	switch name {
	case "data":
		if v.load() != nil {
			return nil, false
		}
		return v.data, true
	case "item":
		return v.item, v.inItem
	case "index":
		return v.index, v.inItem
	case "attributes":
		return extensions(v.event), true
	case "id":
		text = v.event.ID()
	case "source":
		text = v.event.Source()
	case "type":
		text = v.event.Type()
	case "subject":
		text = v.event.Subject()
	case "dataschema":
		text = v.event.DataSchema()
	case "datacontenttype":
		text = v.event.DataContentType()
	case "time":
		t := v.event.Time()
		return t, !t.IsZero()
	}
	return text, text != ""
}

// ResolveName implements cel.Activation: absent texts are "".
func (v *view) ResolveName(name string) (any, bool) {
	x, ok := v.root(name)
	if !ok {
		switch name {
		case "id", "source", "type", "subject", "dataschema", "datacontenttype":
			return "", true
		case "time":
			return failed("the event has no time"), true
		}
	}
	return x, ok
}

// Parent implements cel.Activation.
func (v *view) Parent() cel.Activation { return nil }

// extensions are the extension attributes as texts: the same whether the event
// came in structured or in binary mode.
func extensions(e *cloudevent.Event) map[string]any {
	all := e.Extensions()
	m := make(map[string]any, len(all))
	for name, v := range all {
		if text, err := types.Format(v); err == nil {
			m[name] = text
		}
	}
	return m
}

// load decodes the event's data.
func (v *view) load() error {
	if !v.decoded {
		v.decoded = true
		v.data, v.dataErr = decodeEvent(v.event)
	}
	return v.dataErr
}

func decodeEvent(e *cloudevent.Event) (any, error) {
	raw := e.Data()
	if len(raw) == 0 {
		return nil, nil
	}
	if !isJSON(e.DataContentType()) {
		return nil, fault("the event's data is not JSON by its datacontenttype")
	}
	return decodeData(raw)
}

// isJSON follows the CloudEvents JSON format: no content type means JSON.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json")
}

// decodeData reads one JSON value into nil, bool, string, number, []any and
// map[string]any. It refuses what readers could understand differently:
// duplicate members, invalid UTF-8, a second value.
func decodeData(raw []byte) (any, error) {
	if len(raw) > maxDataBytes {
		return nil, fault(fmt.Sprintf("the event's data is larger than %d bytes", maxDataBytes))
	}
	d := decoders.Get().(*dataDecoder)
	defer d.release()
	d.over(raw)
	v, err := d.value(0)
	if err == nil {
		if _, end := d.ReadToken(); end == nil {
			err = fault("the event's data holds more than one JSON value")
		} else if !errors.Is(end, io.EOF) {
			err = end
		}
	}
	if err == nil {
		return v, nil
	}
	var known fault
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &known):
		return nil, known
	case errors.Is(err, jsontext.ErrDuplicateName):
		return nil, fault("a member occurs twice in the event's data")
	case errors.As(err, &syntax):
		return nil, fault(fmt.Sprintf("the event's data is not valid JSON at byte %d", syntax.ByteOffset))
	}
	return nil, fault("the event's data is not complete JSON")
}

// dataDecoder is used again: the name sets and the stack that it keeps are a good part
// of what the decoding of a small event allocates.
type dataDecoder struct {
	jsontext.Decoder
	buf    bytes.Buffer
	values int
}

var decoders = sync.Pool{New: func() any { return new(dataDecoder) }}

// over begins to decode raw.
func (d *dataDecoder) over(raw []byte, opts ...jsontext.Options) {
	d.buf, d.values = *bytes.NewBuffer(raw), 0
	d.Reset(&d.buf, opts...)
}

// release gives the decoder back, without a hold on what it read.
func (d *dataDecoder) release() {
	d.over(nil)
	decoders.Put(d)
}

func (d *dataDecoder) value(depth int) (any, error) {
	if depth > maxDataDepth {
		return nil, fault(fmt.Sprintf("the event's data is nested deeper than %d levels", maxDataDepth))
	}
	if d.values++; d.values > maxDataValues {
		return nil, fault(fmt.Sprintf("the event's data holds more than %d values", maxDataValues))
	}
	tok, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '"':
		return tok.String(), nil
	case '0':
		return number(tok.String()), nil
	case '[':
		list := []any{}
		for d.PeekKind() != ']' {
			v, err := d.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.ReadToken()
		return list, err
	}
	object := map[string]any{}
	for d.PeekKind() != '}' {
		tok, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		name := tok.String()
		if object[name], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err = d.ReadToken()
	return object, err
}
