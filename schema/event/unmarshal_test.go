package event

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
)

// minimal is the smallest event; set fills in more.
func minimal(set func(*cloudevent.Event)) *cloudevent.Event {
	e := cloudevent.New()
	e.SetID("1")
	e.SetSource("/erp")
	e.SetType("com.fabrikam.changed")
	if set != nil {
		set(&e)
	}
	return &e
}

// head are the required members of a structured event.
const head = `"specversion":"1.0","id":"1","source":"/erp","type":"com.fabrikam.changed"`

func headers(pairs ...string) map[string][]string {
	h := make(map[string][]string)
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return h
}

// binaryHeaders are the required headers of a binary event and more.
func binaryHeaders(pairs ...string) map[string][]string {
	return headers(append([]string{
		"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/erp", "ce-type", "com.fabrikam.changed",
	}, pairs...)...)
}

func TestUnmarshalReadsLiberally(t *testing.T) {
	t.Parallel()
	withData := func(data string) *cloudevent.Event {
		return minimal(func(e *cloudevent.Event) { e.DataEncoded = []byte(data) })
	}
	typed := func(contentType, data string) *cloudevent.Event {
		return minimal(func(e *cloudevent.Event) {
			e.SetDataContentType(contentType)
			e.DataEncoded = []byte(data)
		})
	}
	for name, tc := range map[string]struct {
		header map[string][]string
		data   string
		want   *cloudevent.Event
	}{
		"structured": {headers("Content-Type", "application/cloudevents+json"), `{` + head + `}`, minimal(nil)},
		"content type in any case, with parameters": {
			headers("content-TYPE", "Application/CloudEvents+JSON; charset=utf-8"), `{` + head + `}`, minimal(nil)},
		"content type without a format": {headers("Content-Type", " application/cloudevents "), `{` + head + `}`, minimal(nil)},
		"content type twice, the same": {
			headers("Content-Type", "application/cloudevents+json", "content-type", "application/cloudevents+json"),
			`{` + head + `}`, minimal(nil)},
		"no headers at all":           {nil, ` {` + head + `} `, minimal(nil)},
		"plain JSON content type":     {headers("Content-Type", "application/json"), `{` + head + `}`, minimal(nil)},
		"structured wins over binary": {binaryHeaders("Content-Type", "application/cloudevents+json", "ce-subject", "other"), `{` + head + `}`, minimal(nil)},
		"data before the attributes":  {nil, `{"data":{"a":1},` + head + `}`, withData(`{"a":1}`)},
		"numbers keep every digit": {nil, `{` + head + `,"data": {"n": 12345678901234567890.1234567890, "m":1e400} }`,
			withData(`{"n": 12345678901234567890.1234567890, "m":1e400}`)},
		"data null":                   {nil, `{` + head + `,"data":null}`, withData(`null`)},
		"data a text, JSON":           {nil, `{` + head + `,"data":"x"}`, withData(`"x"`)},
		"data a text, not JSON":       {nil, `{` + head + `,"datacontenttype":"text/xml","data":"<a b=\"1\"/>"}`, typed("text/xml", `<a b="1"/>`)},
		"data an object, called text": {nil, `{` + head + `,"datacontenttype":"text/plain","data":{"a":1}}`, typed("text/plain", `{"a":1}`)},
		"data base64": {nil, `{` + head + `,"data_base64":"AAEC"}`,
			minimal(func(e *cloudevent.Event) { e.DataEncoded, e.DataBase64 = []byte{0, 1, 2}, true })},
		"null attributes are absent":           {nil, `{` + head + `,"subject":null,"time":null,"dataschema":null,"extra":null}`, minimal(nil)},
		"empty optional attributes are absent": {nil, `{` + head + `,"subject":"","time":"","dataschema":"","datacontenttype":""}`, minimal(nil)},
		"names in any case": {nil, `{"SpecVersion":"1.0","ID":"1","source":"/erp","type":"com.fabrikam.changed","PartitionKey":"k"}`,
			minimal(func(e *cloudevent.Event) { e.SetExtension("partitionkey", "k") })},
		"kinds of extensions": {nil, `{` + head + `,"a":true,"b":false,"c":-7,"d":"7","e":3000000000,"f":1.5,"g":1.0}`,
			minimal(func(e *cloudevent.Event) {
				for name, v := range map[string]any{"a": true, "b": false, "c": int32(-7), "d": "7", "e": "3000000000", "f": "1.5", "g": "1.0"} {
					e.SetExtension(name, v)
				}
			})},
		"all attributes": {nil, `{` + head + `,"subject":"s ü","time":"2026-01-02T03:04:05.123456789+02:00","dataschema":"https://contoso.com/s","datacontenttype":"application/json"}`,
			minimal(func(e *cloudevent.Event) {
				e.SetSubject("s ü")
				e.SetTime(time.Date(2026, 1, 2, 1, 4, 5, 123456789, time.UTC))
				e.SetDataSchema("https://contoso.com/s")
				e.SetDataContentType("application/json")
			})},
		"binary": {binaryHeaders("ce-datacontenttype", "application/json"), `{"a": 1.50}`, typed("application/json", `{"a": 1.50}`)},
		"binary, Content-Type without prefix": {
			binaryHeaders("Content-Type", "application/json"), `{"a":1}`, typed("application/json", `{"a":1}`)},
		"binary, both content types": {
			binaryHeaders("Content-Type", "text/plain", "ce-datacontenttype", "application/json"), `{"a":1}`, typed("application/json", `{"a":1}`)},
		"binary, headers in any case": {
			headers("Ce-Specversion", "1.0", "CE-ID", "1", "ce-Source", "/erp", "cE-type", "com.fabrikam.changed"), ``, minimal(nil)},
		"binary, encoded": {binaryHeaders("ce-subject", "Z%C3%BCrich%20100%25"), ``,
			minimal(func(e *cloudevent.Event) { e.SetSubject("Zürich 100%") })},
		"binary, raw": {binaryHeaders("ce-subject", "Zürich 100%"), ``,
			minimal(func(e *cloudevent.Event) { e.SetSubject("Zürich 100%") })},
		"binary, other headers are none of it": {binaryHeaders("Nats-Msg-Id", "x", "traceparent", "y", "ce", "z"), ``, minimal(nil)},
		"binary, empty list of values":         {map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/erp"}, "ce-type": {"com.fabrikam.changed"}, "ce-x": nil}, ``, minimal(nil)},
		"binary, data not JSON":                {binaryHeaders("ce-datacontenttype", "application/octet-stream"), "\x00{\xff", typed("application/octet-stream", "\x00{\xff")},
		"binary, data of no type":              {binaryHeaders(), "<a/>", withData("<a/>")},
		"an empty name elsewhere is harmless":  {nil, `{` + head + `,"data":{"":1}}`, withData(`{"":1}`)},
	} {
		got, err := Unmarshal(tc.header, []byte(tc.data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: the SDK finds it invalid: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestUnmarshalRefusesByName(t *testing.T) {
	t.Parallel()
	structured := headers("Content-Type", "application/cloudevents+json")
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	var many strings.Builder
	manyHeaders := binaryHeaders()
	for i := range MaxAttributes {
		fmt.Fprintf(&many, `,"x%d":"1"`, i)
		manyHeaders[fmt.Sprintf("ce-x%d", i)] = []string{"1"}
	}
	long := strings.Repeat("x", MaxAttribute+1)
	for name, tc := range map[string]struct {
		header map[string][]string
		data   string
		kind   error
		want   string
	}{
		"nothing":                        {nil, ``, ErrNotEvent, "expected"},
		"text":                           {nil, `hello`, ErrNotEvent, "expected"},
		"JSON of another kind":           {headers("Content-Type", "application/json"), `{"id":"1"}`, ErrNotEvent, "specversion"},
		"specversion only deeper down":   {nil, `{"data":{"specversion":"1.0"}}`, ErrNotEvent, "specversion"},
		"JSON array":                     {nil, `[{` + head + `}]`, ErrNotEvent, "expected"},
		"batch":                          {headers("Content-Type", "application/cloudevents-batch+json"), `[]`, ErrInvalid, "batch"},
		"another format":                 {headers("Content-Type", "application/cloudevents+avro"), `x`, ErrInvalid, "avro"},
		"unknown format":                 {headers("Content-Type", "application/cloudeventsx"), `x`, ErrInvalid, "cloudeventsx"},
		"two content types":              {headers("Content-Type", "application/json", "content-type", "text/plain"), `{` + head + `}`, ErrInvalid, "Content-Type"},
		"endless content type":           {headers("Content-Type", long), `{` + head + `}`, ErrInvalid, "Content-Type"},
		"declared structured, empty":     {structured, ``, ErrInvalid, "empty"},
		"declared structured, not JSON":  {structured, `<event/>`, ErrInvalid, "not a JSON object"},
		"cut":                            {structured, `{` + head, ErrInvalid, "JSON"},
		"more follows":                   {structured, `{` + head + `} {}`, ErrInvalid, "more follows"},
		"duplicate attribute":            {structured, `{` + head + `,"id":"2"}`, ErrInvalid, "duplicate"},
		"duplicate in another case":      {structured, `{` + head + `,"ID":"2"}`, ErrInvalid, "twice"},
		"duplicate within the data":      {structured, `{` + head + `,"data":{"a":1,"a":2}}`, ErrInvalid, "duplicate"},
		"duplicate hidden by an escape":  {structured, `{` + head + `,"\u0069d":"2"}`, ErrInvalid, "duplicate"},
		"no specversion":                 {structured, `{"id":"1","source":"/erp","type":"t"}`, ErrInvalid, "specversion"},
		"specversion 0.3":                {structured, `{"specversion":"0.3","id":"1","source":"/erp","type":"t"}`, ErrInvalid, `"0.3"`},
		"specversion 2.0":                {nil, `{"specversion":"2.0","id":"1","source":"/erp","type":"t"}`, ErrInvalid, `"2.0"`},
		"specversion a number":           {nil, `{"specversion":1.0,"id":"1","source":"/erp","type":"t"}`, ErrInvalid, "specversion"},
		"no id":                          {structured, `{"specversion":"1.0","source":"/erp","type":"t"}`, ErrInvalid, "attribute id"},
		"id a large number":              {structured, `{"specversion":"1.0","id":12345678901,"source":"/erp","type":"t"}`, ErrInvalid, "attribute id"},
		"blank id":                       {structured, `{"specversion":"1.0","id":" ","source":"/erp","type":"t"}`, ErrInvalid, "attribute id"},
		"id a number":                    {structured, `{"specversion":"1.0","id":5,"source":"/erp","type":"t"}`, ErrInvalid, "attribute id"},
		"no source":                      {structured, `{"specversion":"1.0","id":"1","type":"t"}`, ErrInvalid, "attribute source"},
		"source no URI":                  {structured, `{"specversion":"1.0","id":"1","source":"%zz","type":"t"}`, ErrInvalid, "attribute source"},
		"null type":                      {structured, `{"specversion":"1.0","id":"1","source":"/erp","type":null}`, ErrInvalid, "attribute type"},
		"time not a time":                {structured, `{` + head + `,"time":"yesterday"}`, ErrInvalid, "attribute time"},
		"time a number":                  {structured, `{` + head + `,"time":17}`, ErrInvalid, "attribute time"},
		"year 10000 in UTC":              {structured, `{` + head + `,"time":"9999-12-31T23:59:59-01:00"}`, ErrInvalid, "attribute time"},
		"relative dataschema":            {structured, `{` + head + `,"dataschema":"/s"}`, ErrInvalid, "dataschema"},
		"datacontenttype no media type":  {structured, `{` + head + `,"datacontenttype":"/;;"}`, ErrInvalid, "datacontenttype"},
		"attribute an object":            {structured, `{` + head + `,"extra":{}}`, ErrInvalid, "extra"},
		"attribute name with underscore": {structured, `{` + head + `,"my_attribute":"x"}`, ErrInvalid, "my_attribute"},
		"empty attribute name":           {structured, `{` + head + `,"":"x"}`, ErrInvalid, "name"},
		"line break in an attribute":     {structured, `{` + head + `,"subject":"a\r\nb"}`, ErrInvalid, "subject"},
		"NUL in an attribute":            {structured, `{` + head + `,"extra":"a\u0000b"}`, ErrInvalid, "extra"},
		"lone surrogate":                 {structured, `{` + head + `,"subject":"\ud800"}`, ErrInvalid, "JSON"},
		"invalid UTF-8":                  {structured, "{" + head + ",\"subject\":\"\xff\"}", ErrInvalid, "JSON"},
		"long attribute":                 {structured, `{` + head + `,"extra":"` + long + `"}`, ErrInvalid, "extra"},
		"long number":                    {structured, `{` + head + `,"extra":1` + strings.Repeat("0", MaxAttribute) + `}`, ErrInvalid, "extra"},
		"many attributes":                {structured, `{` + head + many.String() + `}`, ErrInvalid, "attributes"},
		"deep data":                      {structured, `{` + head + `,"data":` + deep + `}`, ErrInvalid, "deeper"},
		"deep, not declared":             {nil, strings.Repeat(`{"a":`, 100000), ErrInvalid, "deeper"},
		"large body":                     {structured, strings.Repeat(" ", MaxBody+1), ErrInvalid, "bytes"},
		"both kinds of data":             {structured, `{` + head + `,"data":1,"data_base64":"AA=="}`, ErrInvalid, "data_base64"},
		"base64 not a text":              {structured, `{` + head + `,"data_base64":{}}`, ErrInvalid, "data_base64"},
		"base64 with other characters":   {structured, `{` + head + `,"data_base64":"***"}`, ErrInvalid, "base64"},
		"base64 of what is not JSON":     {structured, `{` + head + `,"datacontenttype":"application/json","data_base64":"AA=="}`, ErrInvalid, "JSON"},

		"binary, specversion 0.3":           {headers("ce-specversion", "0.3", "ce-id", "1", "ce-source", "/e", "ce-type", "t"), ``, ErrInvalid, `"0.3"`},
		"binary, no type":                   {headers("ce-specversion", "1.0", "ce-id", "1", "ce-source", "/e"), ``, ErrInvalid, "attribute type"},
		"binary, header twice":              {binaryHeaders("ce-id", "2"), ``, ErrInvalid, "ce-id"},
		"binary, header in two cases":       {binaryHeaders("Ce-Id", "2"), ``, ErrInvalid, "twice"},
		"binary, name with a dash":          {binaryHeaders("ce-my-id", "2"), ``, ErrInvalid, "my-id"},
		"binary, no name":                   {binaryHeaders("ce-", "2"), ``, ErrInvalid, "name"},
		"binary, data as an attribute":      {binaryHeaders("ce-data", "2"), ``, ErrInvalid, "data"},
		"binary, encoded line break":        {binaryHeaders("ce-subject", "a%0D%0Ab"), ``, ErrInvalid, "subject"},
		"binary, invalid UTF-8":             {binaryHeaders("ce-subject", "\xff"), ``, ErrInvalid, "subject"},
		"binary, long header":               {binaryHeaders("ce-extra", strings.Repeat("x", 3*MaxAttribute+1)), ``, ErrInvalid, "ce-extra"},
		"binary, long value":                {binaryHeaders("ce-extra", long), ``, ErrInvalid, "extra"},
		"binary, many attributes":           {manyHeaders, ``, ErrInvalid, "attributes"},
		"binary, data not the JSON it says": {binaryHeaders("ce-datacontenttype", "application/json"), `{`, ErrInvalid, "data"},
		"binary, duplicate in the data":     {binaryHeaders("ce-datacontenttype", "application/vnd.contoso+json;v=1"), `{"a":1,"a":2}`, ErrInvalid, "data"},
		"binary, deep data":                 {binaryHeaders("ce-datacontenttype", "text/json"), "[" + deep + "]", ErrInvalid, "deeper"},
		"binary, Content-Type nonsense":     {binaryHeaders("Content-Type", "/;;"), ``, ErrInvalid, "datacontenttype"},
	} {
		got, err := Unmarshal(tc.header, []byte(tc.data))
		if err == nil || got != nil {
			t.Errorf("%s: accepted as %v", name, got)
			continue
		}
		if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %q: want %q naming %q", name, err, tc.kind, tc.want)
		}
		if errors.Is(err, ErrNotEvent) && errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error is of both kinds: %v", name, err)
		}
	}
}

func TestErrorsDoNotQuoteValues(t *testing.T) {
	t.Parallel()
	const secret = "Jane Fabrikam"
	for name, tc := range map[string]struct {
		header map[string][]string
		data   string
	}{
		"source":    {nil, `{"specversion":"1.0","id":"1","source":"%zz ` + secret + `","type":"t"}`},
		"time":      {nil, `{` + head + `,"time":"` + secret + `"}`},
		"schema":    {nil, `{` + head + `,"dataschema":"` + secret + `"}`},
		"type":      {nil, `{` + head + `,"datacontenttype":"` + secret + ` /;;"}`},
		"duplicate": {nil, `{` + head + `,"data":{"` + secret + `":1,"` + secret + `":2}}`},
		"cut":       {nil, `{` + head + `,"data":{"name":"` + secret},
		"subject":   {binaryHeaders("ce-subject", secret+"%00"), ``},
		"base64":    {nil, `{` + head + `,"data_base64":"` + secret + `"}`},
	} {
		if _, err := Unmarshal(tc.header, []byte(tc.data)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestUnmarshalTakesTheBounds(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1)
	if _, err := Unmarshal(nil, []byte(`{`+head+`,"data":`+deep+`}`)); err != nil {
		t.Errorf("depth %d: %v", MaxDepth, err)
	}
	long := strings.Repeat("x", MaxAttribute)
	if _, err := Unmarshal(nil, []byte(`{`+head+`,"extra":"`+long+`"}`)); err != nil {
		t.Errorf("attribute of %d bytes: %v", MaxAttribute, err)
	}
	body := `{` + head + `,"data":"`
	body += strings.Repeat("x", MaxBody-len(body)-2) + `"}`
	if _, err := Unmarshal(nil, []byte(body)); err != nil || len(body) != MaxBody {
		t.Errorf("body of %d bytes: %v", len(body), err)
	}
	header := binaryHeaders()
	for i := range MaxAttributes - 4 {
		header[fmt.Sprintf("ce-x%d", i)] = []string{"1"}
	}
	if _, err := Unmarshal(header, nil); err != nil {
		t.Errorf("%d attributes: %v", MaxAttributes, err)
	}
}

func TestEachEventHasItsOwnSource(t *testing.T) {
	t.Parallel()
	for range 3 { // what is remembered of one must not be taken for another's
		for _, source := range []string{"/erp", "/erp/", "https://contoso.com/a?b#c", "/erp", strings.Repeat("/long", 100)} {
			e, err := Unmarshal(nil, []byte(`{"specversion":"1.0","id":"1","type":"t","source":"`+source+`"}`))
			if err != nil || e.Source() != source {
				t.Fatalf("%s: %v, %v", source, e, err)
			}
		}
		if _, err := Unmarshal(nil, []byte(`{"specversion":"1.0","id":"1","type":"t","source":"%"}`)); err == nil {
			t.Fatal("a source that is no URI reference was taken")
		}
	}
}
