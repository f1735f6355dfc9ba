package webapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// addedOneByOne is what partHeader must come to.
func addedOneByOne(lines string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(lines) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && name != "" {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}

func FuzzTheHeaderOfAPartIsThatOfItsLines(f *testing.F) {
	for _, lines := range []string{
		"", "\r\n", "OData-Version: 4.0\r\nOData-EntityId: https://contoso/accounts(1)\r\n", "odata-version:4.0\n",
		"A: 1\r\nB: 2\r\na: 3\r\nA:4\r\n", ": x\r\nno colon\r\nEmpty:\r\n", "Retry-After: 5", "a b: c\r\n", "etag: W/\"7\"\r\nETag: W/\"8\"\r\n", "Etag:\r\nA : 1\nA\n", "\x80: \xff\n",
	} {
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		got := partHeader([]byte(lines))
		if diff := cmp.Diff(addedOneByOne(lines), got); diff != "" {
			t.Fatalf("%q: %s", lines, diff)
		}
		some := partFields(lines)
		for _, name := range []string{odataVersion, odataEntityID, "Etag", "Content-Type", "A"} {
			if one := some.Get(name); one != got.Get(name) {
				t.Fatalf("%q: %s is %q, of all it is %q", lines, name, one, got.Get(name))
			}
		}
		for name := range got {
			got.Add(name, "another") // no value may be written over by another name's
		}
		for name, values := range addedOneByOne(lines) {
			if diff := cmp.Diff(append(values, "another"), got[name]); diff != "" {
				t.Fatalf("%q: %s after adding: %s", lines, name, diff)
			}
		}
	})
}

func TestAPartIsHTTPOnlyWhenItsHeaderSaysSo(t *testing.T) {
	t.Parallel()
	for outer, want := range map[string]bool{
		"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n": true,
		"content-type: Application/HTTP; msgtype=response\n":                      true,
		"Content-Transfer-Encoding: binary\r\nContent-Type: application/http\r\n": true,
		"Content-Type: application/http2\r\n":                                     false,
		"Content-Type: application/json\r\n":                                      false,
		"X: Content-Type: application/http\r\n":                                   false,
		"":                                                                        false,
	} {
		if got := isHTTP([]byte(outer)); got != want {
			t.Errorf("%q: %v", outer, got)
		}
	}
}
