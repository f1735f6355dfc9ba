package webapi

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"cebridge/outbound"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const testBase = "https://contoso.example"

var ignoreHash = cmpopts.IgnoreFields(outbound.Row{}, "Hash")

func TestSplitKeepsRowsAsSentWithoutAnnotations(t *testing.T) {
	t.Parallel()
	raw := "\xef\xbb\xbf" + ` {
		"@odata.deltaLink" : "d" , "@odata.context":"c", "@Microsoft.x":{"a":[1]},
		"value" : [
			{ "@odata.etag" : "W/\"12\"" , "accountid" : "0A0B0C0D-0000-4000-8000-000000000001" ,
			  "amount" : 5000000.0000, "big":9007199254740993, "text":"a\"}],\\", "none" : null ,
			  "name@OData.Community.Display.V1.FormattedValue":"x", "versionnumber": 12,
			  "modifiedon":"2025-01-05T10:20:30Z", "nested":{"a@b":1, "c":[ ] } },
			{"accountid":"` + guid2 + `","@odata.etag":"W/\"13\""},
			{"@odata.context":"x/$metadata#accounts/$deletedEntity","id":"0A0B0C0D-0000-4000-8000-00000000000F","reason":"deleted"},
			{"id":"` + guid2 + `","reason":"changed"}
		] } `
	got, err := splitPage(strings.NewReader(raw), "accountid")
	if err != nil {
		t.Fatal(err)
	}
	want := &outbound.Page{Delta: "d", Rows: []outbound.Row{
		{ID: guid1, Version: 12, Modified: "2025-01-05T10:20:30Z", JSON: []byte(
			`{"accountid":"0A0B0C0D-0000-4000-8000-000000000001","amount":5000000.0000,"big":9007199254740993,` +
				`"text":"a\"}],\\","none":null,"versionnumber":12,"modifiedon":"2025-01-05T10:20:30Z","nested":{"a@b":1, "c":[ ] }}`)},
		{ID: guid2, Version: 13, JSON: []byte(`{"accountid":"` + guid2 + `"}`)},
		{ID: guid3, Deleted: true},
		{ID: guid2, Deleted: true},
	}}
	if diff := cmp.Diff(want, got, ignoreHash); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}

func TestSplitTakesMembersInAnyOrder(t *testing.T) {
	t.Parallel()
	members := []string{`"@odata.context":"c"`, `"value":[` + row(guid1, 5, "A") + `]`, `"@odata.nextLink":"n"`}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		raw := "{" + members[order[0]] + "," + members[order[1]] + "," + members[order[2]] + "}"
		got, err := splitPage(strings.NewReader(raw), "accountid")
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if got.Next != "n" || got.Delta != "" || len(got.Rows) != 1 || got.Rows[0].Version != 5 {
			t.Errorf("%s: %+v", raw, got)
		}
	}
}

func TestSplitOfAnEmptyDelta(t *testing.T) {
	t.Parallel()
	got, err := splitPage(strings.NewReader(`{"value":[],"@odata.deltaLink":"d"}`), "accountid")
	if err != nil || got.Delta != "d" || len(got.Rows) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestHashIgnoresVersionAndAnnotationsOnly(t *testing.T) {
	t.Parallel()
	hash := func(members string) uint64 {
		t.Helper()
		p, err := splitPage(strings.NewReader(`{"value":[{"accountid":"`+guid1+`",`+members+`}],"@odata.deltaLink":"d"}`), "accountid")
		if err != nil {
			t.Fatal(err)
		}
		return p.Rows[0].Hash
	}
	base := hash(`"name":"A","versionnumber":1`)
	for _, same := range []string{
		`"name":"A","versionnumber":2`, `"versionnumber":77,"name":"A"`, `"name" : "A", "versionnumber" : 1 `,
		`"@odata.etag":"W/\"9\"","name":"A","versionnumber":1`, `"name@x":"y","name":"A","versionnumber":1`,
	} {
		if hash(same) != base {
			t.Errorf("%s: another hash", same)
		}
	}
	for _, other := range []string{
		`"name":"B","versionnumber":1`, `"name":"a","versionnumber":1`, `"name":null,"versionnumber":1`,
		`"names":"A","versionnumber":1`, `"name":"A","x":1,"versionnumber":1`, `"versionnumber":1`,
	} {
		if hash(other) == base {
			t.Errorf("%s: the same hash", other)
		}
	}
}

func TestSplitMendsHalfSurrogatePairs(t *testing.T) {
	t.Parallel()
	got, err := splitPage(strings.NewReader(`{"value":[{"accountid":"`+guid1+`","versionnumber":1,"name":"\ud83d\ude00 \\ud83d \uD83D","x":"\ude00\ud83dx"}],"@odata.deltaLink":"d"}`), "accountid")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"accountid":"` + guid1 + `","versionnumber":1,"name":"\ud83d\ude00 \\ud83d \ufffd","x":"\ufffd\ufffdx"}`
	if s := string(got.Rows[0].JSON); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestSplitRefuses(t *testing.T) {
	t.Parallel()
	good := row(guid1, 5, "A")
	delta := `"@odata.deltaLink":"d"`
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	withRow := func(members string) string { return `{"value":[{` + members + `}],` + delta + `}` }
	id := `"accountid":"` + guid1 + `"`
	for name, c := range map[string]struct{ raw, says string }{
		"nothing":                   {``, "ends in the middle"},
		"blanks":                    {" \n", "ends in the middle"},
		"null":                      {`null`, "an object was promised"},
		"an array":                  {`[]`, "an object was promised"},
		"a number":                  {`12`, "an object was promised"},
		"a login page":              {`<html><body>Sign in</body></html>`, "not valid JSON"},
		"no value":                  {`{` + delta + `}`, "value"},
		"value that is null":        {`{"value":null,` + delta + `}`, "array"},
		"value that is an object":   {`{"value":{},` + delta + `}`, "array"},
		"neither link":              {`{"value":[]}`, "exactly one"},
		"both links":                {`{"value":[],` + delta + `,"@odata.nextLink":"n"}`, "exactly one"},
		"an empty link":             {`{"value":[],"@odata.deltaLink":""}`, "empty"},
		"a link that is a number":   {`{"value":[],"@odata.deltaLink":1}`, "promised"},
		"a link that is null":       {`{"value":[],"@odata.deltaLink":null}`, "promised"},
		"the same link twice":       {`{"value":[],` + delta + `,` + delta + `}`, "twice"},
		"value twice":               {`{"value":[],"value":[],` + delta + `}`, "twice"},
		"garbage after":             {`{"value":[],` + delta + `} x`, "follows"},
		"two documents":             {`{"value":[],` + delta + `}{}`, "follows"},
		"an error":                  {`{"error":{"code":"0x80040216","message":"no"},"value":[],` + delta + `}`, "0x80040216 no"},
		"an error after the rows":   {`{"value":[],` + delta + `,"error":{}}`, "good status"},
		"a row that is null":        {`{"value":[null],` + delta + `}`, "not an object"},
		"a row that is an array":    {`{"value":[[]],` + delta + `}`, "not an object"},
		"a row without id":          {withRow(`"versionnumber":1`), "GUID"},
		"an id that is null":        {withRow(`"accountid":null,"versionnumber":1`), "GUID"},
		"an id with braces":         {withRow(`"accountid":"{` + guid1 + `}","versionnumber":1`), "GUID"},
		"an id that is short":       {withRow(`"accountid":"12","versionnumber":1`), "GUID"},
		"a row without version":     {withRow(id), "versionnumber"},
		"an etag without number":    {withRow(id + `,"@odata.etag":"W/\"x\""`), "etag"},
		"a version of zero":         {withRow(id + `,"versionnumber":0`), "positive"},
		"a negative version":        {withRow(id + `,"versionnumber":-4`), "positive"},
		"a version with decimals":   {withRow(id + `,"versionnumber":1.5`), "positive"},
		"a version beyond 64 bits":  {withRow(id + `,"versionnumber":9223372036854775808`), "positive"},
		"a version that is text":    {withRow(id + `,"versionnumber":"1"`), "positive"},
		"a column twice":            {withRow(id + `,"versionnumber":1,"name":1,"name":2`), "twice"},
		"a column twice, escaped":   {withRow(id + `,"versionnumber":1,"name":1,"n\u0061me":2`), "twice"},
		"a nested name twice":       {withRow(id + `,"versionnumber":1,"x":{"a":1,"a":1}`), "twice"},
		"a delete without id":       {withRow(`"@odata.context":"x/$deletedEntity","reason":"deleted"`), "deleted entry"},
		"a delete with an odd id":   {withRow(`"@odata.context":"x/$deletedEntity","id":"accounts(1)"`), "deleted entry"},
		"a row nested too deep":     {withRow(id + `,"versionnumber":1,"x":` + deep(62)), "deeper"},
		"another member too deep":   {`{"x":` + deep(64) + `,"value":[],` + delta + `}`, "deeper"},
		"a bomb of brackets":        {`{"value":` + strings.Repeat("[", 100_000), ""},
		"NaN":                       {withRow(id + `,"versionnumber":1,"x":NaN`), "not valid JSON"},
		"a trailing comma":          {`{"value":[` + good + `,],` + delta + `}`, "not valid JSON"},
		"a control character":       {withRow(id + `,"versionnumber":1,"x":"` + "\x01" + `"`), "not valid JSON"},
		"bytes that are not UTF-8":  {withRow(id + `,"versionnumber":1,"x":"` + "\xff" + `"`), "UTF-8"},
		"UTF-8 cut in a character":  {withRow(id + `,"versionnumber":1,"x":"` + "\xc3" + `"`), "UTF-8"},
		"a bad escape":              {withRow(id + `,"versionnumber":1,"x":"\q"`), "not valid JSON"},
		"text without its quote":    {withRow(id + `,"versionnumber":1,"x":"`), "not valid JSON"},
		"a name that is no string":  {`{value:[]}`, "not valid JSON"},
		"single quotes":             {`{'value':[]}`, "not valid JSON"},
		"a SOAP fault":              {`<s:Envelope/>`, "not valid JSON"},
		"only a byte order mark":    {"\xef\xbb\xbf", "ends in the middle"},
		"two byte order marks":      {"\xef\xbb\xbf\xef\xbb\xbf{}", "not valid JSON"},
		"a row as text":             {`{"value":["{}"],` + delta + `}`, "not an object"},
		"a good row then a bad one": {`{"value":[` + good + `,{}],` + delta + `}`, "row 1"},
	} {
		page, err := splitPage(strings.NewReader(c.raw), "accountid")
		var bad *malformed
		if page != nil || !errors.As(err, &bad) {
			t.Errorf("%s: accepted: %+v, %v", name, page, err)
			continue
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q does not say %q", name, err, c.says)
		}
	}
}

func TestSplitBoundsTheNumberOfRows(t *testing.T) {
	t.Parallel()
	rows := strings.TrimSuffix(strings.Repeat(`{"id":"`+guid1+`","reason":"deleted"},`, maxRows+1), ",")
	_, err := splitPage(strings.NewReader(`{"value":[`+rows+`],"@odata.deltaLink":"d"}`), "accountid")
	wantText(t, err, "more than 100000 rows")
}

func TestEveryTruncationOfAPageIsRefused(t *testing.T) {
	t.Parallel()
	raw := page(testBase, row(guid1, 5, "Ünïcode \" \\")+","+
		`{"@odata.context":"x/$deletedEntity","id":"`+guid2+`","reason":"deleted"},`+row(guid3, 6, "C"), deltaLink(testBase, "5%21a"))
	if _, err := splitPage(strings.NewReader(raw), "accountid"); err != nil {
		t.Fatal(err)
	}
	for i := range len(raw) {
		if p, err := splitPage(strings.NewReader(raw[:i]), "accountid"); err == nil {
			t.Fatalf("cut at byte %d: accepted with %d rows", i, len(p.Rows))
		}
	}
}

func TestRowsOutliveTheBytesTheyCameFrom(t *testing.T) {
	t.Parallel()
	raw := []byte(page(testBase, row(guid1, 5, "A")+","+row(guid2, 6, "B"), deltaLink(testBase, "1")))
	p, err := splitPage(bytes.NewReader(raw), "accountid")
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%s %s %+v", p.Rows[0].JSON, p.Rows[1].JSON, p)
	clear(raw)
	if after := fmt.Sprintf("%s %s %+v", p.Rows[0].JSON, p.Rows[1].JSON, p); after != before {
		t.Errorf("the page changed with its source:\n%s\n%s", before, after)
	}
	_ = append(p.Rows[0].JSON, "xxxxxxxx"...)
	if got := string(p.Rows[1].JSON); got[0] != '{' || !strings.Contains(got, guid2) {
		t.Errorf("appending to one row changed the next: %s", got)
	}
}
