package sim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// epoch is the moment at which tests with a fixed clock live.
var epoch = time.Date(2025, 8, 22, 8, 10, 44, 0, time.UTC)

func newTestServer(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return epoch }
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// failer is the part of a test that both testing and rapid have.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request below the API root, without a network. Headers come as
// "Name: value".
func send(t failer, s *Server, method, path, body string, headers ...string) answer {
	t.Helper()
	root := "http://org.example" + s.prefix() + "/api/data/v9.1/"
	return sendURL(t, s, method, root+path, body, headers...)
}

func sendURL(t failer, s *Server, method, url, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, strings.ReplaceAll(url, " ", "%20"), strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}

// want fails unless the answer has the status and, for errors, the code.
func (a answer) want(t failer, status int, code string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if code != "" && a.code(t) != code {
		t.Fatalf("code %q, want %q: %s", a.code(t), code, a.body)
	}
	return a
}

func (a answer) code(t failer) string {
	t.Helper()
	var e struct {
		Error struct{ Code, Message string }
	}
	a.decode(t, &e)
	return e.Error.Code
}

func (a answer) decode(t failer, into any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

// testPage is a decoded page of rows.
type testPage struct {
	Context string           `json:"@odata.context"`
	Count   *int             `json:"@odata.count"`
	Value   []map[string]any `json:"value"`
	Next    string           `json:"@odata.nextLink"`
	Delta   string           `json:"@odata.deltaLink"`
}

func (a answer) page(t failer) testPage {
	t.Helper()
	a.want(t, http.StatusOK, "")
	var p testPage
	a.decode(t, &p)
	return p
}

// follow gets an absolute link of an answer.
func follow(t failer, s *Server, link string, headers ...string) answer {
	t.Helper()
	if _, err := url.Parse(link); err != nil {
		t.Fatal(err)
	}
	return sendURL(t, s, http.MethodGet, link, "", headers...)
}

func mustInsert(t testing.TB, s *Server, table string, row map[string]any) string {
	t.Helper()
	id, err := s.Insert(table, row)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// testID is a record id that is the same in every run.
func testID(n int) string {
	return "10000000-0000-0000-0000-" + strings.Repeat("0", 9) + string([]byte{byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)})
}

func mustRow(t testing.TB, s *Server, table, id string) map[string]any {
	t.Helper()
	row, ok := s.Row(table, id)
	if !ok {
		t.Fatalf("no %s %s", table, id)
	}
	return row
}

// sendTo makes a request to a handler, for change sets.
func sendTo(h http.Handler, method, path, body string) answer {
	r := httptest.NewRequest(method, "http://org.example/api/data/v9.1/"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}
