package event

import (
	"strconv"
	"time"
)

// structuredHead is the part of the envelope that all events of a table share. It
// puts specversion and datacontenttype before the data: streaming readers then
// need not hold the data back.
func structuredHead(s *Settings) string {
	b := []byte(`{"specversion":"1.0","datacontenttype":"application/json","source":`)
	b = appendQuoted(b, s.Source)
	if s.DataSchema != "" {
		b = append(b, `,"dataschema":`...)
		b = appendQuoted(b, s.DataSchema)
	}
	if s.OrgID != "" {
		b = append(b, `,"orgid":`...)
		b = appendQuoted(b, s.OrgID)
	}
	b = append(b, `,"type":"`...)
	return string(b)
}

// structured writes the event by appending, since it runs for every row. r is valid.
func (e *Encoder) structured(r *Record) (map[string][]string, []byte) {
	const most = 6 // headers of an event that has everything
	header := make(map[string][]string, most)
	values := crmHeaders(header, make([]string, 0, most), r)
	addHeader(header, values, HeaderContentType, ContentTypeStructured)
	return header, e.structuredData(r)
}

func (e *Encoder) structuredData(r *Record) []byte {
	const fixed = 512 // names, digits, dates; more than what they take
	b := make([]byte, 0, len(e.head)+fixed+4*len(r.RecordID)+len(r.Row)+len(r.Former)+len(r.References)+
		16*len(r.Changed)+len(r.TraceParent)+len(r.TraceState)+len(r.Causation)+len(r.CausationSource)+len(r.Correlation))
	b = append(b, e.head...)
	b = append(b, e.types[r.Change]...)
	b = append(b, `","id":"`...)
	b = append(b, e.settings.Table...)
	b = append(b, '/')
	from := len(b)
	b = appendInner(b, r.RecordID)
	id := b[from:]
	b = appendIDTail(b, r.Version, r.Epoch, r.deleted())
	b = append(b, `","subject":"`...)
	b = append(b, id...)
	b = append(b, `","partitionkey":"`...)
	b = append(b, id...)
	if r.Modified != "" && !r.deleted() {
		b = append(b, `","time":"`...)
		b = append(b, r.Modified...)
	}
	b = append(b, `","recordedtime":"`...)
	b = r.Recorded.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","sequence":"`...)
	b = appendSequence(b, r.Version, r.Epoch, r.deleted())
	b = append(b, `","readby":"`...)
	b = append(b, r.ReadBy...)
	if r.Previous > 0 {
		b = append(b, `","previousversion":"`...)
		b = strconv.AppendInt(b, r.Previous, 10)
	}
	if r.Reason != "" {
		b = append(b, `","reason":"`...)
		b = append(b, r.Reason...)
	}
	for i, c := range r.Changed {
		if i == 0 {
			b = append(b, `","changedcolumns":"`...)
		} else {
			b = append(b, ',')
		}
		b = appendInner(b, c)
	}
	b = appendOptional(b, `","causationid":"`, r.Causation)
	b = appendOptional(b, `","causationsource":"`, r.CausationSource)
	b = appendOptional(b, `","correlationid":"`, r.Correlation)
	b = appendOptional(b, `","traceparent":"`, r.TraceParent)
	b = appendOptional(b, `","tracestate":"`, r.TraceState)
	if r.DataRef != "" {
		b = appendOptional(b, `","dataref":"`, r.DataRef)
		return append(b, `"}`...)
	}
	b = append(b, `","data":`...)
	b = appendData(b, r)
	return append(b, '}')
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, name...)
	return appendInner(b, value)
}

// appendInner appends s as the inside of a JSON string.
func appendInner(b []byte, s string) []byte {
	if all(s, inJSON) {
		return append(b, s...)
	}
	start := len(b)
	b = appendQuoted(b, s)
	// The opening quote is taken out again: this is the rare case.
	return b[:start+copy(b[start:], b[start+1:len(b)-1])]
}

// Payload is the data of an event of r, the same bytes in both modes.
func Payload(r *Record) []byte {
	const braces = 48 // the member names and punctuation
	return appendData(make([]byte, 0, braces+len(r.Row)+len(r.Former)+len(r.References)), r)
}

// appendData appends the event's data, the same bytes in both modes.
func appendData(b []byte, r *Record) []byte {
	b = append(b, '{')
	for _, m := range [...]struct {
		name  string
		value []byte
	}{
		{`"record":`, r.Row},
		{`"previous":`, r.Former},
		{`"references":`, r.References},
	} {
		if m.value == nil {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, m.name...)
		b = append(b, m.value...)
	}
	return append(b, '}')
}
