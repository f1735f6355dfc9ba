package event

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// asTexts returns the event as the binary mode carries it: extensions as texts, no
// memory of base64, and no data that is empty.
func asTexts(t interface{ Fatalf(string, ...any) }, e *cloudevent.Event) *cloudevent.Event {
	c := e.Clone()
	for name, value := range c.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			t.Fatalf("extension %s: %v", name, err)
		}
		c.SetExtension(name, text)
	}
	c.DataBase64 = false
	if len(c.DataEncoded) == 0 {
		c.DataEncoded = nil
	}
	return &c
}

// attributeText draws what the specification's String type allows.
func attributeText() *rapid.Generator[string] {
	return rapid.StringOf(rapid.RuneFrom([]rune("aZ09 \"%\\/:;,=&<>'üß€😀\u2028"))).
		Filter(func(s string) bool { return strings.TrimSpace(s) != "" })
}

func drawEvent(t *rapid.T) *cloudevent.Event {
	e := cloudevent.New()
	e.SetID(attributeText().Draw(t, "id"))
	e.SetType(attributeText().Draw(t, "type"))
	e.SetSource(rapid.SampledFrom([]string{"/erp", "urn:contoso:erp", "https://contoso.com/a?b=c#d", "/a%20b"}).Draw(t, "source"))
	if rapid.Bool().Draw(t, "has subject") {
		e.SetSubject(attributeText().Draw(t, "subject"))
	}
	if rapid.Bool().Draw(t, "has time") {
		e.SetTime(time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC())
	}
	if rapid.Bool().Draw(t, "has schema") {
		e.SetDataSchema("https://contoso.com/schemas/1")
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{1,20}`), 0, 5, rapid.ID).Draw(t, "names") {
		if slices.Contains([]string{"id", "type", "source", "subject", "time", "dataschema", "specversion", "datacontenttype", "data"}, name) {
			continue
		}
		e.SetExtension(name, rapid.OneOf(
			attributeText().AsAny(), rapid.Bool().AsAny(), rapid.Int32().AsAny(),
		).Draw(t, "extension "+name))
	}
	switch rapid.IntRange(0, 3).Draw(t, "data") {
	case 1:
		e.SetDataContentType("application/json")
		data, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.Float64Range(-1e9, 1e9)).Draw(t, "json"))
		if err != nil {
			t.Fatal(err)
		}
		e.DataEncoded = data
	case 2:
		e.SetDataContentType("text/plain; charset=utf-8")
		e.DataEncoded = []byte(rapid.StringN(1, -1, -1).Draw(t, "text"))
	case 3:
		e.SetDataContentType("application/octet-stream")
		e.DataEncoded, e.DataBase64 = rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "bytes"), true
	}
	return &e
}

func TestMarshalAndUnmarshalAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		for _, mode := range []Mode{"", Structured, Binary} {
			header, data, err := Marshal(e, mode)
			if err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
			got, err := Unmarshal(header, data)
			if err != nil {
				t.Fatalf("%s: %v\n%v\n%s", mode, err, header, data)
			}
			want := e
			if mode == Binary {
				want = asTexts(t, e)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: -want +got\n%s", mode, diff)
			}
		}
	})
}

func TestSDKReadsMarshalledEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		_, data, err := Marshal(e, Structured)
		if err != nil {
			t.Fatal(err)
		}
		var got cloudevent.Event
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(e, &got); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}

func TestUnmarshalReadsWhatTheSDKWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unmarshal(nil, data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}

func TestMarshalWritesEveryTypeOfExtension(t *testing.T) {
	t.Parallel()
	e := minimal(func(e *cloudevent.Event) {
		e.SetExtension("flag", true)
		e.SetExtension("number", -7)
		e.SetExtension("text", `a "b"`)
		e.SetExtension("bytes", []byte{0, 1, 2})
		e.SetExtension("moment", time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)))
		e.SetExtension("link", types.ParseURI("https://contoso.com/a b"))
	})
	_, data, err := Marshal(e, Structured)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"bytes":"AAEC","flag":true,"id":"1","link":"https://contoso.com/a%20b",` +
		`"moment":"2026-01-02T02:04:05.000006Z","number":-7,"source":"/erp","specversion":"1.0",` +
		`"text":"a \"b\"","type":"com.fabrikam.changed"}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
	header, _, err := Marshal(e, Binary)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ce-bytes": "AAEC", "ce-flag": "true", "ce-number": "-7", "ce-text": "a%20%22b%22",
		"ce-moment": "2026-01-02T02:04:05.000006Z", "ce-id": "1", "ce-specversion": "1.0",
	} {
		if got := header[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, ok := header[HeaderContentType]; ok {
		t.Error("a binary message has a Content-Type header")
	}
}

func TestMarshalChoosesTheDataMember(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		contentType, data string
		base64            bool
		want              string
	}{
		"no data":              {"application/json", "", false, ``},
		"JSON":                 {"application/json", `{"n":1.50}`, false, `"data":{"n":1.50}`},
		"JSON of no type":      {"", `[1]`, false, `"data":[1]`},
		"no type, not JSON":    {"", `<a/>`, false, `"data_base64":"PGEvPg=="`},
		"text":                 {"text/plain", `a"b`, false, `"data":"a\"b"`},
		"text that is no text": {"text/plain", "\xff", false, `"data_base64":"/w=="`},
		"asked for base64":     {"application/json", `1`, true, `"data_base64":"MQ=="`},
	} {
		e := minimal(func(e *cloudevent.Event) {
			if tc.contentType != "" {
				e.SetDataContentType(tc.contentType)
			}
			e.DataEncoded, e.DataBase64 = []byte(tc.data), tc.base64
		})
		_, data, err := Marshal(e, Structured)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := string(data); !strings.HasSuffix(got, tc.want+"}") || strings.Contains(got, `"data`+`"`) != strings.Contains(tc.want, `"data"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestMarshalRefusesWhatCannotTravel(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		event *cloudevent.Event
		mode  Mode
		want  string
	}{
		"nil":                 {nil, Structured, "none"},
		"no context":          {&cloudevent.Event{}, Structured, "none"},
		"unknown mode":        {minimal(nil), "batch", "mode"},
		"version 0.3":         {func() *cloudevent.Event { e := cloudevent.New("0.3"); return &e }(), Structured, "0.3"},
		"no id":               {minimal(func(e *cloudevent.Event) { e.SetID("") }), Structured, "id"},
		"carriage return":     {minimal(func(e *cloudevent.Event) { e.SetSubject("a\rb") }), Binary, "subject"},
		"line feed":           {minimal(func(e *cloudevent.Event) { e.SetSubject("a\nb") }), Structured, "subject"},
		"NUL in an extension": {minimal(func(e *cloudevent.Event) { e.SetExtension("extra", "a\x00") }), Binary, "extra"},
		"name in capitals": {minimal(func(e *cloudevent.Event) {
			e.Context.(*cloudevent.EventContextV1).Extensions = map[string]any{"Extra": "x"}
		}), Binary, "Extra"},
		"name breaks the header": {minimal(func(e *cloudevent.Event) {
			e.Context.(*cloudevent.EventContextV1).Extensions = map[string]any{"a\r\nb": "x"}
		}), Binary, "name"},
		"type of no attribute": {minimal(func(e *cloudevent.Event) {
			e.Context.(*cloudevent.EventContextV1).Extensions = map[string]any{"extra": []string{"x"}}
		}), Structured, "extra"},
		"reserved name": {minimal(func(e *cloudevent.Event) {
			e.Context.(*cloudevent.EventContextV1).Extensions = map[string]any{"id": "2"}
		}), Structured, "id"},
		"not the JSON it says": {minimal(func(e *cloudevent.Event) {
			e.SetDataContentType("application/json")
			e.DataEncoded = []byte(`{`)
		}), Structured, "data"},
		"not the JSON it says, binary": {minimal(func(e *cloudevent.Event) {
			e.SetDataContentType("application/json")
			e.DataEncoded = []byte(`{"a":1}}`)
		}), Binary, "data"},
		"large data":         {minimal(func(e *cloudevent.Event) { e.DataEncoded = make([]byte, MaxBody+1) }), Binary, "data"},
		"large once written": {minimal(func(e *cloudevent.Event) { e.DataEncoded = make([]byte, MaxBody) }), Structured, "bytes"},
		"many attributes": {minimal(func(e *cloudevent.Event) {
			for i := range MaxAttributes {
				e.SetExtension("x"+jsonInt(int64(i)), "1")
			}
		}), Structured, "attributes"},
	} {
		header, data, err := Marshal(tc.event, tc.mode)
		if err == nil || header != nil || data != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.Contains(err.Error(), tc.want) || name != "unknown mode" && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error %q does not name %q", name, err, tc.want)
		}
	}
}

func TestMarshalDoesNotShareTheData(t *testing.T) {
	t.Parallel()
	e := minimal(func(e *cloudevent.Event) { e.DataEncoded = []byte(`{"a":1}`) })
	for _, mode := range []Mode{Structured, Binary} {
		_, data, err := Marshal(e, mode)
		if err != nil {
			t.Fatal(err)
		}
		clear(data)
		if string(e.DataEncoded) != `{"a":1}` {
			t.Errorf("%s: writing to the message changed the event", mode)
		}
	}
}

func TestPlainJSONGetsAnEnvelope(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got, err := FromPlainJSON(Envelope{ID: "ERP/7", Source: "/nats/ERP", Type: "erp.customer", Subject: "erp.customer.1", Time: moment},
		[]byte(` {"n": 1.0} `))
	if err != nil {
		t.Fatal(err)
	}
	want := cloudevent.New()
	want.SetID("ERP/7")
	want.SetSource("/nats/ERP")
	want.SetType("erp.customer")
	want.SetSubject("erp.customer.1")
	want.SetTime(moment)
	want.SetDataContentType("application/json")
	want.DataEncoded = []byte(` {"n": 1.0} `)
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	bare, err := FromPlainJSON(Envelope{ID: "1", Source: "s", Type: "t"}, []byte(`[]`))
	if err != nil || bare.Subject() != "" || !bare.Time().IsZero() {
		t.Errorf("an envelope of the required attributes: %v, %v", bare, err)
	}
}

func TestPlainJSONIsRefusedByName(t *testing.T) {
	t.Parallel()
	good := Envelope{ID: "1", Source: "s", Type: "t"}
	for name, tc := range map[string]struct {
		envelope Envelope
		data     string
		want     string
	}{
		"empty":          {good, ``, "JSON"},
		"text":           {good, `hello`, "JSON"},
		"duplicate name": {good, `{"a":1,"a":2}`, "duplicate"},
		"two values":     {good, `{} {}`, "JSON"},
		"deep":           {good, strings.Repeat("[", 100) + strings.Repeat("]", 100), "deeper"},
		"large":          {good, strings.Repeat(" ", MaxBody) + "1", "bytes"},
		"no id":          {Envelope{Source: "s", Type: "t"}, `{}`, "id"},
		"no source":      {Envelope{ID: "1", Type: "t"}, `{}`, "source"},
		"no type":        {Envelope{ID: "1", Source: "s"}, `{}`, "type"},
		"line break":     {Envelope{ID: "1\n", Source: "s", Type: "t"}, `{}`, "id"},
	} {
		if e, err := FromPlainJSON(tc.envelope, []byte(tc.data)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}
