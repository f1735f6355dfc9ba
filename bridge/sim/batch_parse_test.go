package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// crlf writes a body as it stands in documentation: every line end is CRLF.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

const twoParts = `--batch_b1
Content-Type: application/http
Content-Transfer-Encoding: binary

PATCH /api/data/v9.2/accounts(accountnumber='1') HTTP/1.1
Content-Type: application/json; type=entry
If-Match: *

{"name":"one"}
--batch_b1
Content-Type: multipart/mixed; boundary="changeset_c1"

--changeset_c1
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

POST accounts HTTP/1.1
Content-Type: application/json

{"name":
 "two --batch_b1 three"}
--changeset_c1
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 2

DELETE $1 HTTP/1.1

--changeset_c1--

--batch_b1
Content-Type: application/http
Content-Transfer-Encoding: binary

GET /api/data/v9.2/accounts?$filter=name eq 'a b' HTTP/1.1

--batch_b1--
`

func TestBatchReaderSplitsRequestsAndChangeSets(t *testing.T) {
	t.Parallel()
	items, e := parseBatch([]byte(crlf(twoParts)), "batch_b1")
	if e != nil {
		t.Fatal(e)
	}
	if len(items) != 3 || items[0].changeSet || !items[1].changeSet || len(items[1].requests) != 2 {
		t.Fatalf("got %+v", items)
	}
	first, post, del, get := items[0].requests[0], items[1].requests[0], items[1].requests[1], items[2].requests[0]
	if first.method != "PATCH" || first.target != "/api/data/v9.2/accounts(accountnumber='1')" || string(first.body) != `{"name":"one"}` || first.header.Get("If-Match") != "*" {
		t.Errorf("first: %+v", first)
	}
	// A boundary inside a line is data, and bodies keep their own line ends.
	if post.contentID != "1" || string(post.body) != "{\"name\":\r\n \"two --batch_b1 three\"}" {
		t.Errorf("post: %+v, body %q", post, post.body)
	}
	if del.method != "DELETE" || del.target != "$1" || len(del.body) != 0 {
		t.Errorf("delete: %+v", del)
	}
	if get.target != "/api/data/v9.2/accounts?$filter=name eq 'a b'" {
		t.Errorf("get: %+v", get)
	}
}

func TestBatchReaderTakesPreambleEpilogueAndBlanks(t *testing.T) {
	t.Parallel()
	const part = "--b\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n\nGET accounts HTTP/1.1\n\n"
	for name, body := range map[string]string{
		"plain":              part + "--b--\n",
		"preamble":           "\n" + part + "--b--\n",
		"epilogue":           part + "--b--\n\n\n",
		"two blank lines":    part + "\n--b--\n",
		"blanks at boundary": strings.Replace(part, "--b\n", "--b \n", 1) + "--b--\n",
		"boundary as prefix": strings.Replace(part, "\n\n", "\n--bb: 1\n\n", 1) + "--b--\n",
	} {
		items, e := parseBatch([]byte(crlf(body)), "b")
		if e != nil || len(items) != 1 {
			t.Errorf("%s: %d items, %v", name, len(items), e)
		}
	}
}

func TestBatchReaderRefusesTheWholeBatch(t *testing.T) {
	t.Parallel()
	good := crlf(twoParts)
	many := func(n int) string {
		const one = "--b\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n\nGET accounts HTTP/1.1\n\n"
		return crlf(strings.Repeat(one, n) + "--b--\n")
	}
	for name, c := range map[string]struct{ boundary, body, want string }{
		"bare line feeds":        {"batch_b1", twoParts, "Stream was not readable"},
		"one bare line feed":     {"batch_b1", strings.Replace(good, "If-Match: *\r\n", "If-Match: *\n", 1), "Stream was not readable"},
		"bare last line":         {"batch_b1", strings.TrimSuffix(good, "\r\n") + "\n", "Stream was not readable"},
		"no line end at the end": {"batch_b1", strings.TrimSuffix(good, "\r\n"), "Stream was not readable"},
		"no end delimiter":       {"batch_b1", strings.TrimSuffix(good, "--batch_b1--\r\n"), "Stream was not readable"},
		"cut in a body":          {"batch_b1", good[:strings.Index(good, `"one"`)], "Stream was not readable"},
		"another boundary":       {"batch_b2", good, "Stream was not readable"},
		"text after the end":     {"batch_b1", good + "more", "Stream was not readable"},
		"empty":                  {"batch_b1", "", "Stream was not readable"},
		"no part":                {"b", "--b--\r\n", "holds no request"},
		"GET without blank line": {"batch_b1", strings.Replace(good, "HTTP/1.1\r\n\r\n--batch_b1--", "HTTP/1.1\r\n--batch_b1--", 1), "The message header '--batch_b1--' is invalid"},
		"header without colon":   {"batch_b1", strings.Replace(good, "If-Match: *", "If-Match", 1), "The message header 'If-Match' is invalid"},
		"JSON part":              {"batch_b1", strings.Replace(good, "application/http", "application/json", 1), "Invalid content type"},
		"JSON in the change set": {"batch_b1", strings.Replace(good, "c1\r\nContent-Type: application/http", "c1\r\nContent-Type: application/json", 1), "Invalid content type"},
		"no encoding":            {"batch_b1", strings.Replace(good, "binary", "base64", 1), "must be binary"},
		"no HTTP version":        {"batch_b1", strings.Replace(good, " HTTP/1.1", "", 1), "request line"},
		"unknown method":         {"batch_b1", strings.Replace(good, "PATCH", "TRACE", 1), "invalid HTTP method 'TRACE'"},
		"GET in a change set":    {"batch_b1", strings.Replace(good, "DELETE $1", "GET $1", 1), "'GET' was detected for a request in a change set"},
		"Content-ID twice":       {"batch_b1", strings.Replace(good, "Content-ID: 2", "Content-ID: 1", 1), "found more than once"},
		"long URL":               {"batch_b1", strings.Replace(good, "POST accounts", "POST accounts?"+strings.Repeat("x", maxBatchURL), 1), "longer than"},
		"1,001 requests":         {"b", many(1001), "too many parts"},
		"many headers":           {"batch_b1", strings.Replace(good, "If-Match: *\r\n", strings.Repeat("X: 1\r\n", 200), 1), "too many headers"},
	} {
		_, e := parseBatch([]byte(c.body), c.boundary)
		if e == nil || e.Status != http.StatusBadRequest || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: got %v, want 400 with %q", name, e, c.want)
		}
	}
	if items, e := parseBatch([]byte(many(1000)), "b"); e != nil || len(items) != 1000 {
		t.Errorf("1,000 requests: %d items, %v", len(items), e)
	}
}

func TestBatchURLsMayBeAbsoluteRootedOrRelativeButNotElsewhere(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"https://crm.contoso.com/api/data/v9.2/", "https://crm.contoso.com/contoso/api/data/v9.1/"} {
		base, err := url.Parse(root)
		if err != nil {
			t.Fatal(err)
		}
		want := root + "accounts(accountnumber='A%20B%2FC')?$select=name"
		rooted := strings.TrimPrefix(want, "https://crm.contoso.com")
		for _, target := range []string{want, rooted, "accounts(accountnumber='A%20B%2FC')?$select=name", strings.Replace(want, "%20", " ", 1), strings.Replace(want, "https://crm", "https://CRM", 1)} {
			q := batchRequest{target: target}
			if e := q.resolve(base); e != nil {
				t.Errorf("%s: %v", target, e)
				continue
			}
			if got := root + strings.TrimPrefix(q.url.RequestURI(), base.Path); got != want {
				t.Errorf("%s: resolved to %s", target, got)
			}
		}
		q := batchRequest{target: "accounts(when=2025-01-01T10:00:00Z)"}
		if e := q.resolve(base); e != nil || !strings.HasSuffix(q.url.Path, "10:00:00Z)") {
			t.Errorf("a colon in a relative URL: %v, %v", e, q.url)
		}
		for _, target := range []string{
			"https://crm.fabrikam.com/api/data/v9.2/accounts", "//crm.fabrikam.com/api/data/v9.2/accounts", "/sim/faults",
			"../../../sim/faults", "$batch", "/api/data/v9.2/$batch", root + "$batch", root + "$batch?x=a/b", "http://[", "%zz",
		} {
			q := batchRequest{target: target}
			if e := q.resolve(base); e == nil || e.Status != http.StatusBadRequest {
				t.Errorf("%s: got %v, want 400", target, e)
			}
		}
	}
}

func TestContentIDsBecomeURLsInTargetAndBody(t *testing.T) {
	t.Parallel()
	const entity = "https://crm.contoso.com/api/data/v9.2/contacts(00000000-0000-0000-0000-000000000001)"
	written := map[string]string{"1": entity}
	q := batchRequest{target: "$1/lastname", body: []byte(`{"a@odata.bind":"$1","b@odata.bind":["/$1"],"c":"$1","n":12345678901234567890,"d":{"@odata.id":"$1/x"}}`)}
	got, e := q.bind(written)
	if e != nil {
		t.Fatal(e)
	}
	if got.url.String() != entity+"/lastname" {
		t.Errorf("URL %s", got.url)
	}
	want := fmt.Sprintf(`{"a@odata.bind":"%[1]s","b@odata.bind":["%[1]s"],"c":"$1","d":{"@odata.id":"%[1]s/x"},"n":12345678901234567890}`, entity)
	if string(got.body) != want {
		t.Errorf("body %s\nwant %s", got.body, want)
	}
	for _, q := range []batchRequest{{target: "$2"}, {target: "accounts", body: []byte(`{"a@odata.bind":"$2"}`)}} {
		if _, e := q.bind(written); e == nil || e.Message != "Content-ID Reference: '$2' does not exist in the batch context." {
			t.Errorf("%+v: got %v", q, e)
		}
	}
	plain := batchRequest{target: "accounts", body: []byte(`{"name":"costs $1", "x": "$1"}`)}
	if got, e := plain.bind(written); e != nil || string(got.body) != string(plain.body) {
		t.Errorf("a body without references changed: %s, %v", got.body, e)
	}
}

func FuzzBatchReader(f *testing.F) {
	f.Add([]byte(crlf(twoParts)), "batch_b1")
	f.Add([]byte("--b--\r\n"), "b")
	f.Add([]byte("--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n--b--\r\n"), "b")
	base, err := url.Parse("https://crm.contoso.com/api/data/v9.2/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		items, e := parseBatch(body, boundary)
		if e != nil {
			if e.Status != http.StatusBadRequest || e.Message == "" {
				t.Errorf("refused with %+v", e)
			}
			return
		}
		count := 0
		for _, item := range items {
			if !item.changeSet && len(item.requests) != 1 {
				t.Errorf("a part with %d requests", len(item.requests))
			}
			for _, q := range item.requests {
				count++
				if item.changeSet && q.method == http.MethodGet {
					t.Error("a GET in a change set")
				}
				if q.resolve(base) == nil && q.url != nil && (q.url.Host == "" || !strings.HasPrefix(q.url.Path, "/api/data/")) {
					t.Errorf("resolved to %s", q.url)
				}
			}
		}
		if count > maxBatchRequests {
			t.Errorf("%d requests", count)
		}
	})
}
