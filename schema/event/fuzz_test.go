package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// parseHeaders makes headers of lines "name: value".
func parseHeaders(text string) map[string][]string {
	header := make(map[string][]string)
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			header[name] = append(header[name], value)
		}
	}
	return header
}

// uriTexts compares URIs as what is sent: one URI has several parsed forms.
var uriTexts = cmp.Options{
	cmp.Transformer("URIRef", func(u types.URIRef) string { return u.String() }),
	cmp.Transformer("URI", func(u types.URI) string { return u.String() }),
}

// trimmed drops the white space around JSON data, which structured mode does not keep.
func trimmed(e *cloudevent.Event) *cloudevent.Event {
	if ct := e.DataContentType(); (ct == "" || isJSON(ct)) && json.Valid(e.DataEncoded) {
		e.DataEncoded = bytes.Trim(e.DataEncoded, " \t\r\n")
	}
	return e
}

// FuzzUnmarshal: it never panics, and what it accepts is valid, can be written in
// both modes, and comes back equal.
func FuzzUnmarshal(f *testing.F) {
	f.Add("", []byte(`{`+head+`,"data":{"a":[1,2.50,"x"]}}`))
	f.Add("", []byte(`{"data_base64":"AAEC",`+head+`,"flag":true,"n":7}`))
	f.Add("Content-Type: application/cloudevents+json; x=y", []byte(`{`+head+`,"datacontenttype":"text/plain","data":"x"}`))
	f.Add("ce-specversion: 1.0\nce-id: 1\nce-source: /a?b#c\nce-type: t\nce-subject: Z%C3%BCrich%20100%\nContent-Type: application/json", []byte(`{"a":1}`))
	f.Add("CE-SpecVersion: 1.0\nce-id: \"a b\"\nce-source: urn:a:b\nce-type: t\nce-time: 2026-01-02T03:04:05.5+02:00", []byte("\x00\xff"))
	f.Add("Content-Type: application/cloudevents-batch+json", []byte(`[]`))
	f.Add("ce-specversion: 1.0\nce-id: 1\nce-source: C 00\nce-type: t", []byte(" 10 "))
	f.Fuzz(func(t *testing.T, headerText string, data []byte) {
		e, err := Unmarshal(parseHeaders(headerText), data)
		if err != nil {
			if e != nil {
				t.Fatal("both an event and an error")
			}
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("the SDK finds it invalid: %v", err)
		}
		for _, mode := range []Mode{Structured, Binary} {
			header, written, err := Marshal(e, mode)
			if err != nil {
				if len(data) > MaxBody/8 || len(headerText) > MaxAttribute/8 {
					continue // grew beyond a bound by being encoded
				}
				t.Fatalf("%s: cannot be written again: %v", mode, err)
			}
			again, err := Unmarshal(header, written)
			if err != nil {
				t.Fatalf("%s: cannot be read again: %v\n%q\n%q", mode, err, header, written)
			}
			if diff := cmp.Diff(trimmed(asTexts(t, e)), trimmed(asTexts(t, again)), uriTexts); diff != "" {
				t.Fatalf("%s: -first +again\n%s", mode, diff)
			}
		}
	})
}

// FuzzEncode: whatever texts a record has, what Encode accepts is read back by the
// SDK, by Unmarshal in both modes, and by ReadData, as exactly that.
func FuzzEncode(f *testing.F) {
	f.Add(recordID, int64(5), 1, false, "name", "erp-1", "00-a-b-01", `{"a":1}`)
	f.Add(`a"b`, int64(1), 2, true, "größe", "100%\u2028", "\\", `{}`)
	f.Add("%41", int64(9), 9999, false, "", `"quoted"`, "", `{"data":{"x":"}"}}`)
	encoders := map[Mode]*Encoder{}
	for _, mode := range []Mode{Structured, Binary} {
		s := settings()
		s.Mode = mode
		encoders[mode] = mustEncoder(f, s)
	}
	f.Fuzz(func(t *testing.T, id string, version int64, epoch int, deleted bool, column, causation, trace, row string) {
		r := &Record{
			RecordID: id, Version: version, Epoch: epoch, Change: Updated, ReadBy: ByDelta,
			Recorded: time.Unix(1767225600, 5).UTC(), Causation: causation, TraceParent: trace,
		}
		if column != "" {
			r.Changed = []string{column}
		}
		if deleted {
			r.Change = Deleted
		} else if r.Row = []byte(row); checkJSON(r.Row) != nil {
			return // contract: rows are valid JSON
		}
		for mode, encoder := range encoders {
			header, data, err := encoder.Encode(r)
			if err != nil {
				return
			}
			want := expected(settings(), r)
			got, err := Unmarshal(header, data)
			if err != nil {
				if strings.TrimSpace(id) == "" {
					return // a blank subject counts as absent
				}
				t.Fatalf("%s: %v\n%s", mode, err, data)
			}
			if diff := cmp.Diff(asTexts(t, &want), asTexts(t, got)); diff != "" && strings.TrimSpace(id) != "" {
				t.Fatalf("%s: -want +got\n%s", mode, diff)
			}
			if d, err := ReadData(header, data); err != nil || !bytes.Equal(d.Record, r.Row) {
				t.Fatalf("%s: row %q, %v", mode, d.Record, err)
			}
			if p, err := ReadHeader(header); err != nil || p.Version != version || p.Epoch != epoch || p.Deleted() != deleted {
				t.Fatalf("%s: %+v, %v", mode, p, err)
			}
			if mode == Structured && !json.Valid(data) {
				t.Fatalf("not JSON: %s", data)
			}
		}
	})
}

// FuzzReadData: it never panics, and what it returns lies within the message.
func FuzzReadData(f *testing.F) {
	f.Add("Content-Type: application/cloudevents+json", []byte(`{"data":{"record":{"a":1},"previous":{}}}`))
	f.Add("", []byte(`{"record":{},"references":{"x":{}}}`))
	f.Fuzz(func(t *testing.T, headerText string, data []byte) {
		d, err := ReadData(parseHeaders(headerText), data)
		if err != nil {
			return
		}
		for _, v := range [][]byte{d.Record, d.Previous, d.References} {
			if v != nil && !bytes.Contains(data, v) {
				t.Fatalf("%q is not part of the message", v)
			}
		}
	})
}
