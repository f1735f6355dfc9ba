package webapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// FuzzSplitPage holds the splitter against a plain decode: what it accepts must
// be valid JSON and mean the same to encoding/json.
func FuzzSplitPage(f *testing.F) {
	f.Add([]byte(page(testBase, row(guid1, 5, "A\u00e9 \" \\"), deltaLink(testBase, "1"))))
	f.Add([]byte(page(testBase, `{"id":"`+guid2+`","reason":"deleted"}`, nextLink(testBase, "2"))))
	f.Add([]byte(`{"@odata.deltaLink":"d","value":[{"accountid":"` + guid1 + `","versionnumber":9,"x":{"a":[1e400,-0,"\ud800"]},"a\u0040b":1}]}`))
	f.Add([]byte("\xef\xbb\xbf{\"value\" : [ ] , \"@odata.nextLink\":\"n\\u006e\"}"))
	f.Add([]byte(`{"value":[{"accountid":"` + guid1 + `","@odata.etag":"W/\"3\"","\u0040x":{"y":"]}"},"t":"\\\"","e":{}}],"@odata.deltaLink":"d"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		got, err := splitPage(bytes.NewReader(raw), "accountid")
		if !bytes.Equal(before, raw) {
			t.Fatal("the input was changed")
		}
		torn, tornErr := splitPage(iotest.OneByteReader(bytes.NewReader(raw)), "accountid")
		if diff := cmp.Diff(got, torn); diff != "" || (err == nil) != (tornErr == nil) {
			t.Fatalf("byte by byte it is another page: %v, %v (-want +got):\n%s", err, tornErr, diff)
		}
		if err != nil {
			if got != nil {
				t.Fatal("an error and a page")
			}
			return
		}
		plain := bytes.TrimPrefix(raw, bom)
		var want map[string]any
		decode(t, plain, &want)
		next, _ := want["@odata.nextLink"].(string)
		delta, _ := want["@odata.deltaLink"].(string)
		if got.Next != next || got.Delta != delta {
			t.Fatalf("links %q %q, want %q %q", got.Next, got.Delta, next, delta)
		}
		rows := want["value"].([]any)
		if len(rows) != len(got.Rows) {
			t.Fatalf("%d rows, want %d", len(got.Rows), len(rows))
		}
		for i, r := range got.Rows {
			members := rows[i].(map[string]any)
			if r.Deleted {
				if id, _ := members["id"].(string); !strings.EqualFold(id, r.ID) {
					t.Fatalf("row %d: deleted %q, want %q", i, r.ID, id)
				}
				continue
			}
			for name := range members {
				if strings.Contains(name, "@") {
					delete(members, name)
				}
			}
			var mine map[string]any
			decode(t, r.JSON, &mine)
			if diff := cmp.Diff(members, mine); diff != "" {
				t.Fatalf("row %d (-want +got):\n%s", i, diff)
			}
			if id, _ := members["accountid"].(string); !strings.EqualFold(id, r.ID) {
				t.Fatalf("row %d: id %q, want %q", i, r.ID, id)
			}
			if r.Version <= 0 {
				t.Fatalf("row %d: version %d", i, r.Version)
			}
		}
	})
}

func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatalf("accepted what encoding/json refuses: %v", err)
	}
}
