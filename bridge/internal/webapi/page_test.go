package webapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

func TestPagesOfARoundAreAskedForAsTheAPIWantsThem(t *testing.T) {
	t.Parallel()
	var seen []*http.Request
	var base string
	c, srv := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		body := page(base, row(guid1, 5, "A"), nextLink(base, "%3Ccookie%20p=%222%22/%3E"))
		if len(seen) > 1 {
			body = page(base, row(guid2, 6, "B"), deltaLink(base, "919042%2108%2f22"))
		}
		answering(200, body)(w, r)
	}))
	base = srv.URL
	first, err := c.Page(t.Context(), accountQuery(), "")
	if err != nil {
		t.Fatal(err)
	}
	if want := "accounts?$select=name&$skiptoken=%3Ccookie%20p=%222%22/%3E"; first.Next != want || first.Delta != "" {
		t.Errorf("links %q %q", first.Next, first.Delta)
	}
	last, err := c.Page(t.Context(), accountQuery(), first.Next)
	if err != nil {
		t.Fatal(err)
	}
	if want := "accounts?$select=name&$deltatoken=919042%2108%2f22"; last.Delta != want || last.Next != "" || last.Rows[0].ID != guid2 {
		t.Errorf("%+v", last)
	}
	wantURIs := []string{
		"/api/data/v9.2/accounts?$select=name,_primarycontactid_value,modifiedon,versionnumber,accountid",
		"/api/data/v9.2/accounts?$select=name&$skiptoken=%3Ccookie%20p=%222%22/%3E",
	}
	for i, r := range seen {
		if r.RequestURI != wantURIs[i] {
			t.Errorf("request %d: %s, want %s", i, r.RequestURI, wantURIs[i])
		}
		for name, want := range map[string]string{
			"Prefer": "odata.track-changes,odata.maxpagesize=500", "Accept": "application/json",
			"OData-Version": "4.0", "OData-MaxVersion": "4.0", "Accept-Encoding": "gzip", "Cache-Control": "no-cache",
			"Traceparent": "", "Authorization": "", "Cookie": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("request %d: %s: %q, want %q", i, name, got, want)
			}
		}
		if !schema.IsGUID(r.Header.Get("X-Ms-Client-Request-Id")) {
			t.Errorf("request %d: no client request id", i)
		}
	}
}

func TestTrackedQuery(t *testing.T) {
	t.Parallel()
	q := accountQuery()
	q.Columns = []string{"accountid", "name", "name"}
	if got, err := trackedQuery(q); err != nil || got != "accounts?$select=accountid,name,versionnumber" {
		t.Errorf("%q, %v", got, err)
	}
	for name, change := range map[string]func(*outbound.Query){
		"no table":       func(q *outbound.Query) { q.Table = nil },
		"no entity set":  func(q *outbound.Query) { q.Table.EntitySet = "" },
		"a set of paths": func(q *outbound.Query) { q.Table.EntitySet = "a/b" },
		"no primary id":  func(q *outbound.Query) { q.Table.PrimaryID = "" },
		"unknown column": func(q *outbound.Query) { q.Columns = []string{"nothere"} },
		"a column query": func(q *outbound.Query) {
			q.Table.Columns = append(q.Table.Columns, schema.Column{LogicalName: "a&$filter=b"})
			q.Columns = []string{"a&$filter=b"}
		},
	} {
		q := accountQuery()
		change(&q)
		_, err := trackedQuery(q)
		if e := outcome.Of(err); e == nil || e.Verdict != outcome.Stop || e.Reason != outcome.Config {
			t.Errorf("%s: %v", name, err)
		}
	}
	for size, want := range map[int]string{0: "5000", -1: "5000", 1: "1", 999: "999", 5000: "5000", 5001: "5000"} {
		if got := preferTracked(size); got != "odata.track-changes,odata.maxpagesize="+want {
			t.Errorf("page size %d: %s", size, got)
		}
	}
}

// TestForeignLinksAreNeverContacted runs a second server that nothing may reach.
func TestForeignLinksAreNeverContacted(t *testing.T) {
	t.Parallel()
	var contacted atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { contacted.Add(1) }))
	defer evil.Close()
	var requests atomic.Int32
	var link atomic.Value
	c, srv := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		answering(200, page(evil.URL, "", link.Load().(string)))(w, r)
	}), func(cfg *Config) { cfg.Auth = bearer("canary") })
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, base := range []string{
		evil.URL, "http://" + host + "@" + strings.TrimPrefix(evil.URL, "http://"), "https://" + host, "//" + host, srv.URL + "/..",
		srv.URL + "/ORG", srv.URL + ":1", strings.Replace(srv.URL, "http", "HTTPS", 1), srv.URL + "\\\\",
	} {
		for _, form := range []string{nextLink(base, "1"), deltaLink(base, "1")} {
			link.Store(form)
			_, err := c.Page(t.Context(), accountQuery(), "")
			e := outcome.Of(err)
			if e == nil || e.Verdict != outcome.Stop || e.Reason != outcome.ForeignLink {
				t.Errorf("%s: %v", form, err)
			}
		}
	}
	before := requests.Load()
	for _, stored := range foreignLinks[1:] {
		_, err := c.Page(t.Context(), accountQuery(), stored)
		if e := outcome.Of(err); e == nil || e.Reason != outcome.ForeignLink {
			t.Errorf("stored link %q: %v", stored, err)
		}
	}
	if requests.Load() != before {
		t.Error("a stored foreign link led to a request")
	}
	if contacted.Load() != 0 {
		t.Errorf("the foreign server was contacted %d times", contacted.Load())
	}
}

// bearer is an authenticator with one fixed token.
type bearer string

func (b bearer) Authorize(_ context.Context, r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+string(b))
	return nil
}
func (bearer) Invalidate(*http.Request) bool { return false }

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var contacted atomic.Int32
	login := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { contacted.Add(1) }))
	defer login.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c, _ := newTestClient(t, http.RedirectHandler(login.URL, status), func(cfg *Config) { cfg.Auth = bearer("canary") })
		for _, err := range []error{pageError(c, t.Context()), applyError(c, t.Context(), upsertAccount())} {
			e := outcome.Of(err)
			if e == nil || e.Verdict != outcome.Stop || e.Reason != outcome.BadAnswer || e.Status != status {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
	if contacted.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

func pageError(c *Client, ctx context.Context) error {
	_, err := c.Page(ctx, accountQuery(), "")
	return err
}

func TestPageRefusesAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	good := func(base string) string { return page(base, row(guid1, 5, "A"), deltaLink(base, "1")) }
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, base string)
		want  string
	}{
		"204":           {func(w http.ResponseWriter, _ string) { w.WriteHeader(204) }, "retry bad_answer"},
		"202":           {func(w http.ResponseWriter, b string) { w.WriteHeader(202); _, _ = io.WriteString(w, good(b)) }, "retry bad_answer"},
		"206":           {func(w http.ResponseWriter, b string) { w.WriteHeader(206); _, _ = io.WriteString(w, good(b)) }, "retry bad_answer"},
		"an empty body": {func(w http.ResponseWriter, _ string) {}, "retry bad_answer"},
		"a login page": {func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "<html>Sign in</html>")
		}, "retry bad_answer"},
		"JSON that says it is HTML": {func(w http.ResponseWriter, b string) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, good(b))
		}, "retry bad_answer"},
		"an unknown encoding": {func(w http.ResponseWriter, b string) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, good(b))
		}, "retry bad_answer"},
		"gzip twice": {func(w http.ResponseWriter, b string) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(gzipped([]byte(good(b)))))
		}, "retry bad_answer"},
		"gzip that is none": {func(w http.ResponseWriter, b string) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, good(b))
		}, "retry network"},
		"gzip that is cut": {func(w http.ResponseWriter, b string) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzipped([]byte(good(b)))
			_, _ = w.Write(z[:len(z)-6])
		}, "retry network"},
		"a gzip bomb": {func(w http.ResponseWriter, b string) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped([]byte(`{"value":[` + strings.Repeat(" ", 4<<20) + `],` + deltaLink(b, "1") + `}`)))
		}, "stop too_large"},
		"a page beyond its limit": {func(w http.ResponseWriter, b string) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)+good(b))
		}, "stop too_large"},
		"a page that leads to itself": {func(w http.ResponseWriter, b string) {
			_, _ = io.WriteString(w, page(b, "", `"@odata.nextLink":"`+b+`/api/data/v9.2/accounts?$select=name,_primarycontactid_value,modifiedon,versionnumber,accountid"`))
		}, "retry bad_answer"},
		"a huge header": {func(w http.ResponseWriter, b string) {
			w.Header().Set("X-Huge", strings.Repeat("x", 1<<20))
			_, _ = io.WriteString(w, good(b))
		}, "retry network"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var base atomic.Value
			client, srv := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.serve(w, base.Load().(string)) }),
				func(cfg *Config) { cfg.MaxPageBytes = 1 << 20 })
			base.Store(srv.URL)
			page, err := client.Page(t.Context(), accountQuery(), "")
			e := outcome.Of(err)
			if page != nil || e == nil {
				t.Fatalf("%+v, %v", page, err)
			}
			wantVerdict(t, name, e, c.want)
		})
	}
}

func gzipped(raw []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(raw)
	_ = z.Close()
	return b.Bytes()
}

func TestPageUnderItsLimitIsTakenCompressed(t *testing.T) {
	t.Parallel()
	var base string
	c, srv := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(gzipped([]byte("\xef\xbb\xbf" + page(base, row(guid1, 5, "A"), deltaLink(base, "1")))))
	}))
	base = srv.URL
	if p, err := c.Page(t.Context(), accountQuery(), ""); err != nil || len(p.Rows) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
}

// TestEveryCutOfAnAnswerIsAnError closes the connection after every byte of the
// body, with and without an announced length.
func TestEveryCutOfAnAnswerIsAnError(t *testing.T) {
	t.Parallel()
	body := page("http://contoso.example", row(guid1, 5, "A")+","+row(guid2, 6, "B"), deltaLink("http://contoso.example", "1"))
	for _, announced := range []bool{true, false} {
		var cut atomic.Int64
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			n := cut.Load()
			header := http.Header{"Content-Type": {"application/json"}}
			reader := io.MultiReader(strings.NewReader(body[:n]), errorReader{io.ErrUnexpectedEOF})
			if !announced {
				reader = strings.NewReader(body[:n]) // an end that looks proper
			}
			return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(reader), ContentLength: int64(len(body)), Request: r}, nil
		})
		c, err := New(Config{URL: "http://contoso.example", Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(body) {
			cut.Store(int64(n))
			p, err := c.Page(t.Context(), accountQuery(), "")
			e := outcome.Of(err)
			if p != nil || e == nil || e.Verdict != outcome.Retry || e.Ambiguous {
				t.Fatalf("cut at %d: %+v, %v", n, p, err)
			}
		}
		if announced {
			continue
		}
		cut.Store(int64(len(body)))
		if _, err := c.Page(t.Context(), accountQuery(), ""); err != nil {
			t.Fatalf("the whole page: %v", err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func TestErrorsDoNotShowTokensOrAddresses(t *testing.T) {
	t.Parallel()
	dialed := errors.New("refused")
	transport := newPool(Config{MaxInFlight: 1})
	transport.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, dialed }
	c, err := New(Config{URL: "http://contoso.example", Transport: transport, Auth: bearer("canary-token")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Page(t.Context(), accountQuery(), "accounts?$deltatoken=canary-delta")
	if !errors.Is(err, dialed) {
		t.Fatalf("the cause is lost: %v", err)
	}
	if text := fmt.Sprintf("%v %+v", err, outcome.Of(err)); strings.Contains(text, "canary") {
		t.Errorf("the error shows a secret: %s", text)
	}
	if e := outcome.Of(err); e.Op != "GET accounts" || e.Reason != outcome.Network {
		t.Errorf("%+v", e)
	}
}

func TestExists(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		there  bool
		want   string // "" means no error
	}{
		{200, `{"accountid":"` + strings.ToUpper(guid1) + `"}`, true, ""},
		{404, apiError("0x80040217", "account With Id = x Does Not Exist"), false, ""},
		{404, apiError("", "account With Id = "+guid1+" Does Not Exist"), false, ""},
		{404, apiError("0x80060888", "Resource not found for the segment 'accounts'."), false, "stop config"},
		{404, apiError("", ""), false, "stop config"},
		{404, "<html>404</html>", false, "retry bad_answer"},
		{404, "", false, "retry bad_answer"},
		{204, "", false, "retry bad_answer"},
		{200, `{"accountid":"` + guid2 + `"}`, false, "retry bad_answer"},
		{200, `{}`, false, "retry bad_answer"},
		{200, `{"error":{"code":"0x80040217"}}`, false, "retry bad_answer"},
		{200, `[]`, false, "retry bad_answer"},
		{403, apiError("0x80040220", "no"), false, "stop forbidden"},
		{500, "", false, "retry server"},
	} {
		var uri string
		client, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			uri = r.RequestURI
			answering(c.status, c.body)(w, r)
		}))
		there, err := client.Exists(t.Context(), accountQuery(), guid1)
		what := strconv.Itoa(c.status) + " " + c.body
		if there != c.there || (err == nil) != (c.want == "") {
			t.Errorf("%s: %t, %v", what, there, err)
		} else if err != nil {
			wantVerdict(t, what, outcome.Of(err), c.want)
		}
		if uri != "/api/data/v9.2/accounts("+guid1+")?$select=accountid" {
			t.Errorf("asked for %s", uri)
		}
	}
	c, _ := newTestClient(t, http.NotFoundHandler())
	if _, err := c.Exists(t.Context(), accountQuery(), "1) or (1"); outcome.Of(err) == nil {
		t.Error("something that is no GUID was asked for")
	}
}

func TestSameQueryTwiceGivesEqualPages(t *testing.T) {
	t.Parallel()
	var base string
	c, srv := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answering(200, page(base, row(guid1, 5, "A"), deltaLink(base, "1")))(w, r)
	}))
	base = srv.URL
	a, err1 := c.Page(t.Context(), accountQuery(), "")
	b, err2 := c.Page(t.Context(), accountQuery(), "")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("pages differ:\n%s", diff)
	}
}
