package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
)

// expected builds, with the SDK's own setters, the event that r must become.
func expected(s Settings, r *Record) cloudevent.Event {
	e := cloudevent.New()
	e.SetSource(s.Source)
	e.SetType(s.TypePrefix + "." + s.Table + "." + string(r.Change))
	// The setters of these two trim blanks.
	c := e.Context.(*cloudevent.EventContextV1)
	c.ID = ID(s.Table, r.RecordID, r.Version, r.Epoch, r.Change == Deleted)
	c.Subject = &r.RecordID
	e.SetDataContentType("application/json")
	if s.DataSchema != "" {
		e.SetDataSchema(s.DataSchema)
	}
	if r.Modified != "" && r.Change != Deleted {
		moment, err := time.Parse(time.RFC3339, r.Modified)
		if err != nil {
			panic(err)
		}
		e.SetTime(moment)
	}
	for name, value := range map[string]string{
		"orgid":           s.OrgID,
		"recordedtime":    r.Recorded.UTC().Format(time.RFC3339Nano),
		"sequence":        Sequence(r.Version, r.Epoch, r.Change == Deleted),
		"changedcolumns":  strings.Join(r.Changed, ","),
		"readby":          string(r.ReadBy),
		"partitionkey":    r.RecordID,
		"reason":          r.Reason,
		"causationid":     r.Causation,
		"causationsource": r.CausationSource,
		"correlationid":   r.Correlation,
		"traceparent":     r.TraceParent,
		"tracestate":      r.TraceState,
	} {
		if value != "" {
			e.SetExtension(name, value)
		}
	}
	if r.Previous != 0 {
		e.SetExtension("previousversion", json.Number(jsonInt(r.Previous)).String())
	}
	var members []string
	for _, m := range []struct {
		name  string
		value []byte
	}{{"record", r.Row}, {"previous", r.Former}, {"references", r.References}} {
		if m.value != nil {
			members = append(members, `"`+m.name+`":`+string(m.value))
		}
	}
	e.DataEncoded = []byte("{" + strings.Join(members, ",") + "}")
	return e
}

func jsonInt(n int64) string {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// with returns a full update that change has altered.
func with(change func(*Record)) *Record {
	r := updated()
	change(r)
	return r
}

func sampleRecords() map[string]*Record {
	bare := &Record{
		RecordID: recordID, Version: 1, Epoch: 1, Change: Loaded, ReadBy: ByLoad,
		Recorded: time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC), Row: []byte(`{}`),
	}
	return map[string]*Record{
		"full":           updated(),
		"bare":           bare,
		"delete":         deletedRecord(),
		"delete, no row": with(func(r *Record) { r.Change, r.Row, r.Former, r.References, r.Changed = Deleted, nil, nil, nil, nil }),
		"later epoch":    with(func(r *Record) { r.Epoch = 17 }),
		"created":        with(func(r *Record) { r.Change, r.Changed = Created, nil }),
		"hostile texts": with(func(r *Record) {
			r.RecordID = `a"b\c/../é,{}%0D%0A`
			r.Causation = `","id":"forged","x":"`
			r.Correlation = "\u2028\u2029 </script> ü \U0001F600 100% \\u0000"
			r.TraceState = `"}`
			r.Changed = []string{`na"me`, `te\ephone`, "größe"}
		}),
		"large numbers": with(func(r *Record) {
			r.Row = []byte(`{"a":9223372036854775807,"b":0.1000000000000000055511151231257827,"c":-0,"d":1.50e-300}`)
		}),
		"nested": with(func(r *Record) { r.Row = []byte(`{"a":{"b":[{"c":"}],\"data\":{"}]}}`) }),
	}
}

func TestSDKReadsStructuredEventsExactly(t *testing.T) {
	t.Parallel()
	for name, r := range sampleRecords() {
		for _, s := range []Settings{settings(), {Source: "urn:crm:contoso", TypePrefix: "crm", Table: "account"}} {
			header, data := encode(t, s, r)
			if !json.Valid(data) {
				t.Fatalf("%s: not JSON: %s", name, data)
			}
			var got cloudevent.Event
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatalf("%s: the SDK refuses it: %v\n%s", name, err, data)
			}
			if err := got.Validate(); err != nil {
				t.Errorf("%s: the SDK finds it invalid: %v", name, err)
			}
			if diff := cmp.Diff(expected(s, r), got); diff != "" {
				t.Errorf("%s: -want +got\n%s", name, diff)
			}
			if got := header[HeaderContentType]; !slices.Equal(got, []string{"application/cloudevents+json"}) {
				t.Errorf("%s: Content-Type %q", name, got)
			}
		}
	}
}

func TestBothModesCarryTheSameEvent(t *testing.T) {
	t.Parallel()
	for name, r := range sampleRecords() {
		for _, mode := range []Mode{Structured, Binary} {
			s := settings()
			s.Mode = mode
			header, data := encode(t, s, r)
			got, err := Unmarshal(header, data)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, mode, err)
			}
			if diff := cmp.Diff(expected(s, r), *got); diff != "" {
				t.Errorf("%s, %s: -want +got\n%s", name, mode, diff)
			}
		}
	}
}

func TestNoEventMembersAreDuplicated(t *testing.T) {
	t.Parallel()
	for name, r := range sampleRecords() {
		_, data := encode(t, settings(), r)
		if err := checkJSON(data); err != nil { // refuses duplicate names
			t.Errorf("%s: %v\n%s", name, err, data)
		}
	}
}

func TestStructuredMessagesHaveNoAttributeHeaders(t *testing.T) {
	t.Parallel()
	header, _ := encode(t, settings(), updated())
	want := []string{"Content-Type", "Crm-Change", "Crm-Epoch", "Crm-Hash", "Crm-Version", "traceparent"}
	if got := slices.Sorted(maps.Keys(header)); !slices.Equal(got, want) {
		t.Errorf("headers %q, want %q", got, want)
	}
}

func TestHeadersNeverHoldBytesThatEndThem(t *testing.T) {
	t.Parallel()
	for name, r := range sampleRecords() {
		for _, mode := range []Mode{Structured, Binary} {
			s := settings()
			s.Mode = mode
			header, _ := encode(t, s, r)
			for k, v := range header {
				if len(v) != 1 || strings.ContainsFunc(k+v[0], func(c rune) bool { return c <= ' ' || c > '~' }) {
					t.Errorf("%s, %s: header %q: %q", name, mode, k, v)
				}
			}
		}
	}
}

func TestEncodeIsDeterministic(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Structured, Binary} {
		s := settings()
		s.Mode = mode
		h1, d1 := encode(t, s, updated())
		h2, d2 := encode(t, s, updated())
		if !bytes.Equal(d1, d2) || !cmp.Equal(h1, h2) {
			t.Errorf("%s: two encodings differ", mode)
		}
	}
}

func TestCallerOwnsHeaderAndData(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Structured, Binary} {
		s := settings()
		s.Mode = mode
		e := mustEncoder(t, s)
		h1, d1, err := e.Encode(updated())
		if err != nil {
			t.Fatal(err)
		}
		want := maps.Clone(h1)
		for k := range h1 {
			h1[k] = append(h1[k], "more")
			h1[k][0] = "overwritten"
		}
		clear(d1)
		h2, d2, err := e.Encode(updated())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(d1, d2) || len(h2) != len(want) {
			t.Errorf("%s: the second event shares memory with the first", mode)
		}
		for k, v := range h2 {
			if len(v) != 1 || v[0] == "overwritten" || v[0] == "more" {
				t.Errorf("%s: header %s is %q", mode, k, v)
			}
		}
	}
}

func TestEncodeRefusesBadRecords(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Record)
		want   string
	}{
		"no id":               {func(r *Record) { r.RecordID = "" }, "record id"},
		"line break in id":    {func(r *Record) { r.RecordID = "a\r\nb" }, "subject"},
		"no version":          {func(r *Record) { r.Version = 0 }, "version 0"},
		"no epoch":            {func(r *Record) { r.Epoch = 0 }, "epoch 0"},
		"epoch of 5 digits":   {func(r *Record) { r.Epoch = 10000 }, "epoch 10000"},
		"negative previous":   {func(r *Record) { r.Previous = -1 }, "previous version"},
		"unknown change":      {func(r *Record) { r.Change = "merged" }, `"merged"`},
		"unknown reader":      {func(r *Record) { r.ReadBy = "" }, "read by"},
		"no recorded time":    {func(r *Record) { r.Recorded = time.Time{} }, "recorded time"},
		"year 10000":          {func(r *Record) { r.Recorded = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "recorded time"},
		"modified not a time": {func(r *Record) { r.Modified = "yesterday" }, "modifiedon"},
		"modified injects":    {func(r *Record) { r.Modified = `2026-03-04T05:06:07Z","id":"x` }, "modifiedon"},
		"no row":              {func(r *Record) { r.Row = nil }, "row"},
		"row is an array":     {func(r *Record) { r.Row = []byte(`[]`) }, "row"},
		"former is a text":    {func(r *Record) { r.Former = []byte(`"x"`) }, "former"},
		"references empty":    {func(r *Record) { r.References = []byte{} }, "references"},
		"reason on an update": {func(r *Record) { r.Reason = "deleted" }, "reason"},
		"unknown reason":      {func(r *Record) { r.Change, r.Row, r.Reason = Deleted, nil, "why" }, `"why"`},
		"row on a delete":     {func(r *Record) { r.Change = Deleted }, "row"},
		"comma in a column":   {func(r *Record) { r.Changed = []string{"a,b"} }, "changed column"},
		"empty column":        {func(r *Record) { r.Changed = []string{""} }, "changed column"},
		"NUL in its source":   {func(r *Record) { r.CausationSource = "\x00" }, "causationsource"},
		"NUL in causation":    {func(r *Record) { r.Causation = "\x00" }, "causationid"},
		"break in trace":      {func(r *Record) { r.TraceParent = "00-\r\nX: y" }, "traceparent"},
		"invalid UTF-8":       {func(r *Record) { r.TraceState = "\xff" }, "tracestate"},
		"long correlation":    {func(r *Record) { r.Correlation = strings.Repeat("x", MaxAttribute+1) }, "correlationid"},
		"too many columns":    {func(r *Record) { r.Changed = slices.Repeat([]string{strings.Repeat("x", 1024)}, 64) }, "changedcolumns"},
		"row beyond the bound": {func(r *Record) {
			r.Row = []byte(`{"a":"` + strings.Repeat("x", MaxBody) + `"}`)
		}, "more than"},
	} {
		for _, mode := range []Mode{Structured, Binary} {
			s := settings()
			s.Mode = mode
			header, data, err := mustEncoder(t, s).Encode(with(tc.change))
			if !errors.Is(err, ErrInvalid) || header != nil || data != nil {
				t.Errorf("%s, %s: accepted, or of another kind: %v", name, mode, err)
				continue
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "account") {
				t.Errorf("%s, %s: error %q does not name %q and the table", name, mode, err, tc.want)
			}
			if strings.ContainsAny(err.Error(), "\r\n\x00") || strings.Contains(err.Error(), "Fabrikam") || len(err.Error()) > 400 {
				t.Errorf("%s, %s: error is not fit for a log: %q", name, mode, err)
			}
		}
	}
}

func TestNewEncoderNamesTheWrongField(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"no source":            {func(s *Settings) { s.Source = "" }, "source"},
		"source with a blank":  {func(s *Settings) { s.Source = "/crm/a b" }, "source"},
		"source no URI":        {func(s *Settings) { s.Source = "%zz" }, "source"},
		"source line break":    {func(s *Settings) { s.Source = "/crm\n" }, "source"},
		"no prefix":            {func(s *Settings) { s.TypePrefix = "" }, "type prefix"},
		"prefix ends in a dot": {func(s *Settings) { s.TypePrefix = "com.contoso." }, "type prefix"},
		"prefix with a quote":  {func(s *Settings) { s.TypePrefix = `com."` }, "type prefix"},
		"prefix too long":      {func(s *Settings) { s.TypePrefix = strings.Repeat("a.", 200) + "a" }, "type prefix"},
		"no table":             {func(s *Settings) { s.Table = "" }, "table"},
		"table with a slash":   {func(s *Settings) { s.Table = "a/b" }, "table"},
		"organization a name":  {func(s *Settings) { s.OrgID = "contoso" }, "organization id"},
		"relative schema":      {func(s *Settings) { s.DataSchema = "/schemas/account" }, "data schema"},
		"unknown mode":         {func(s *Settings) { s.Mode = "batch" }, "mode"},
	} {
		s := settings()
		tc.change(&s)
		if _, err := NewEncoder(s); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v does not name %q", name, err, tc.want)
		}
	}
	s := settings()
	s.OrgID, s.DataSchema, s.Mode = "", "", ""
	header, _ := encode(t, s, updated())
	if _, err := Unmarshal(header, nil); !errors.Is(err, ErrInvalid) || header[HeaderContentType] == nil {
		t.Errorf("the empty mode is not structured: %v", header)
	}
}

func TestEncodeAllocatesLittle(t *testing.T) {
	e, r := mustEncoder(t, settings()), updated()
	r.Row = row(400)
	got := testing.AllocsPerRun(100, func() {
		if _, _, err := e.Encode(r); err != nil {
			t.Fatal(err)
		}
	})
	if got > 6 {
		t.Errorf("%v allocations for one event, want at most 6", got)
	}
}
