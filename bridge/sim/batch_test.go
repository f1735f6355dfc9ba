package sim

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// batchOperation renders one application/http part of a batch.
func batchOperation(boundary, contentID, request string) string {
	part := "--" + boundary + "\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n"
	if contentID != "" {
		part += "Content-ID: " + contentID + "\n"
	}
	return part + "\n" + request + "\n"
}

// upsertOf is a PATCH of an account by its number.
func upsertOf(number, body string) string {
	return "PATCH /api/data/v9.2/accounts(accountnumber='" + number + "') HTTP/1.1\nContent-Type: application/json; type=entry\n\n" + body
}

// changeSetOf wraps operations in a change set part of batch b.
func changeSetOf(operations ...string) string {
	return "--b\nContent-Type: multipart/mixed; boundary=\"c\"\n\n" + strings.Join(operations, "") + "--c--\n\n"
}

// postBatch sends the operations as batch b over a real connection.
func postBatch(t *testing.T, s *Server, prefer string, operations ...string) (int, http.Header, string) {
	t.Helper()
	return postRaw(t, s, prefer, `multipart/mixed; boundary="b"`, crlf(strings.Join(operations, "")+"--b--\n"))
}

func postRaw(t *testing.T, s *Server, prefer, contentType, body string) (int, http.Header, string) {
	t.Helper()
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+s.prefix()+"/api/data/v9.1/$batch", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if prefer != "" {
		r.Header.Set("Prefer", prefer)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(answer)
}

func batchServer(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var volatile = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|127\.0\.0\.1:\d+|W/\\?"\d+\\?"`)

var messageText = regexp.MustCompile(`"message":"[^"]*"`)

// steady replaces what differs from run to run by numbered names, and the
// texts of errors, which other tests prove.
func steady(body string) string {
	seen := map[string]string{}
	body = messageText.ReplaceAllString(body, `"message":"(text)"`)
	return volatile.ReplaceAllStringFunc(body, func(found string) string {
		if strings.HasPrefix(found, "127.") {
			return "crm.contoso.com"
		}
		if seen[found] == "" {
			seen[found] = "<" + string(rune('A'+len(seen))) + ">"
		}
		return seen[found]
	})
}

var tooLong = strings.Repeat("x", 161)

func TestBatchAnswersHaveTheBytesOfTheWebAPI(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prefer     string
		status     int
		operations []string
	}{
		"writes_and_read": {"", 200, []string{
			batchOperation("b", "", upsertOf("A-1", `{"name":"one"}`)),
			changeSetOf(
				batchOperation("c", "1", "POST contacts HTTP/1.1\nContent-Type: application/json\n\n{\"lastname\":\"Diaz\"}"),
				batchOperation("c", "2", upsertOf("A-1", `{"primarycontactid@odata.bind":"$1"}`)),
			),
			batchOperation("b", "", "GET accounts(accountnumber='A-1')?$select=name,_primarycontactid_value HTTP/1.1\nAccept: application/json\n"),
		}},
		"stops_at_failure": {"", 400, []string{
			batchOperation("b", "", upsertOf("A-1", `{"name":"one"}`)),
			batchOperation("b", "", upsertOf("A-2", `{"name":"`+tooLong+`"}`)),
			batchOperation("b", "", upsertOf("A-3", `{"name":"three"}`)),
		}},
		"goes_on": {"odata.continue-on-error", 200, []string{
			batchOperation("b", "", upsertOf("A-1", `{"name":"`+tooLong+`"}`)),
			batchOperation("b", "", upsertOf("A-2", `{"name":"two"}`)),
		}},
		"change_set_fails": {"odata.continue-on-error", 200, []string{
			changeSetOf(
				batchOperation("c", "1", upsertOf("A-1", `{"name":"one"}`)),
				batchOperation("c", "2", upsertOf("A-2", `{"name":"`+tooLong+`"}`)),
				batchOperation("c", "3", upsertOf("A-3", `{"name":"three"}`)),
			),
			batchOperation("b", "", upsertOf("A-4", `{"name":"four"}`)),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, header, body := postBatch(t, batchServer(t, Options{}), c.prefer, c.operations...)
			if status != c.status {
				t.Fatalf("status %d, want %d: %s", status, c.status, body)
			}
			if want := "multipart/mixed; boundary=" + strings.TrimPrefix(body[:strings.Index(body, "\r\n")], "--"); header.Get("Content-Type") != want {
				t.Errorf("content type %q, want %q", header.Get("Content-Type"), want)
			}
			goldenFile(t, "batch/"+name+".txt", []byte(steady(body)))
		})
	}
}

func exists(s *Server, number string) bool {
	_, ok := s.FindByKey("account", map[string]any{"accountnumber": number})
	return ok
}

func TestBatchCommitsWhatRanBeforeAFailureAndNothingAfter(t *testing.T) {
	t.Parallel()
	s := batchServer(t, Options{})
	postBatch(t, s, "",
		batchOperation("b", "", upsertOf("A-1", `{"name":"one"}`)),
		batchOperation("b", "", upsertOf("A-2", `{"name":"`+tooLong+`"}`)),
		batchOperation("b", "", upsertOf("A-3", `{"name":"three"}`)))
	if !exists(s, "A-1") || exists(s, "A-2") || exists(s, "A-3") {
		t.Errorf("records: %v %v %v, want only the first", exists(s, "A-1"), exists(s, "A-2"), exists(s, "A-3"))
	}
}

func TestChangeSetsTakeEffectWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	s := batchServer(t, Options{})
	failing := changeSetOf(
		batchOperation("c", "1", upsertOf("A-1", `{"name":"one"}`)),
		batchOperation("c", "2", upsertOf("A-2", `{"name":"`+tooLong+`"}`)))
	good := strings.ReplaceAll(failing, tooLong, "two")
	if status, _, body := postBatch(t, s, "", failing, good); status != http.StatusBadRequest || strings.Count(body, "HTTP/1.1") != 1 {
		t.Errorf("status %d: %s", status, body)
	}
	if exists(s, "A-1") || exists(s, "A-2") {
		t.Error("a failed change set left a record")
	}
	if status, _, body := postBatch(t, s, "odata.continue-on-error", failing, good); status != http.StatusOK || strings.Count(body, "204 No Content") != 2 {
		t.Errorf("status %d: %s", status, body)
	}
	if !exists(s, "A-1") || !exists(s, "A-2") {
		t.Error("a good change set left no record")
	}
}

func TestChangeSetRefersToRecordsOfEarlierRequests(t *testing.T) {
	t.Parallel()
	s := batchServer(t, Options{})
	create := batchOperation("c", "1", "POST contacts HTTP/1.1\nContent-Type: application/json\n\n{\"lastname\":\"Diaz\"}")
	status, _, body := postBatch(t, s, "", changeSetOf(create,
		batchOperation("c", "2", "PATCH $1 HTTP/1.1\nContent-Type: application/json\n\n{\"firstname\":\"Ana\"}"),
		batchOperation("c", "3", upsertOf("A-1", `{"name":"one","primarycontactid@odata.bind":"$1"}`))))
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	id, _ := s.FindByKey("account", map[string]any{"accountnumber": "A-1"})
	account, _ := s.Row("account", id)
	contact, ok := s.Row("contact", account["_primarycontactid_value"].(string))
	if !ok || contact["firstname"] != "Ana" {
		t.Errorf("contact %v", contact)
	}
	status, _, body = postBatch(t, s, "", changeSetOf(
		batchOperation("c", "3", upsertOf("A-2", `{"primarycontactid@odata.bind":"$1"}`)), create))
	if status != http.StatusBadRequest || !strings.Contains(body, "Content-ID Reference: '$1' does not exist in the batch context.") || exists(s, "A-2") {
		t.Errorf("a forward reference: status %d: %s", status, body)
	}
}

func TestBatchesThatBreakTheFormatRunNothingAndAnswerPlainJSON(t *testing.T) {
	t.Parallel()
	s := batchServer(t, Options{})
	good := batchOperation("b", "", upsertOf("A-1", `{"name":"one"}`))
	const mixed = "multipart/mixed; boundary=b"
	for name, c := range map[string]struct {
		contentType, body string
		status            int
	}{
		"bare line feeds":     {mixed, good + "--b--\n", 400},
		"nested batch":        {mixed, crlf(good + batchOperation("b", "", "POST $batch HTTP/1.1\nContent-Type: multipart/mixed; boundary=x\n\n--x--") + "--b--\n"), 400},
		"GET in a change set": {mixed, crlf(good + changeSetOf(batchOperation("c", "1", "GET accounts HTTP/1.1\n")) + "--b--\n"), 400},
		"URL of another host": {mixed, crlf(good + batchOperation("b", "", "GET https://crm.fabrikam.com/api/data/v9.1/accounts HTTP/1.1\n") + "--b--\n"), 400},
		"1,001 requests":      {mixed, crlf(strings.Repeat(good, 1001) + "--b--\n"), 400},
		"JSON":                {"application/json", `{"requests":[]}`, 400},
		"no boundary":         {"multipart/mixed", "", 400},
		"broken content type": {`multipart/mixed; boundary="`, "", 400},
		"cut before the end":  {mixed, crlf(good), 400},
	} {
		status, header, body := postRaw(t, s, "odata.continue-on-error", c.contentType, c.body)
		if status != c.status || !strings.HasPrefix(header.Get("Content-Type"), "application/json") || !strings.HasPrefix(body, `{"error":{`) {
			t.Errorf("%s: status %d, want %d: %s %s", name, status, c.status, header.Get("Content-Type"), body)
		}
	}
	if exists(s, "A-1") {
		t.Error("a refused batch wrote a record")
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestBatchBodiesAreBounded(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/api/data/v9.2/$batch", endless{})
	r.Header.Set("Content-Type", "multipart/mixed; boundary=b")
	batchServer(t, Options{}).Handler().ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", w.Code)
	}
}

func TestBatchIsAPOST(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	batchServer(t, Options{}).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/data/v9.2/$batch", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("status %d, want 405", w.Code)
	}
}

func TestOnPremisesBatchesAddressTheOrganization(t *testing.T) {
	t.Parallel()
	s := batchServer(t, Options{Profile: OnPremises, Organization: "fabrikam"})
	inner := strings.Replace(upsertOf("A-1", `{"name":"one"}`), "/api/data/v9.2/", "/fabrikam/api/data/v9.1/", 1)
	if status, _, body := postBatch(t, s, "", batchOperation("b", "", inner)); status != http.StatusOK || !exists(s, "A-1") {
		t.Errorf("status %d: %s", status, body)
	}
	if status, _, _ := postBatch(t, s, "", batchOperation("b", "", upsertOf("A-2", `{"name":"two"}`))); status != http.StatusBadRequest {
		t.Errorf("a URL without the organization: status %d, want 400", status)
	}
}

func TestOperationsOfABatchCarryTheirOwnHeaders(t *testing.T) {
	t.Parallel()
	s := batchServer(t, Options{})
	withHeader := func(number, header string) string {
		return batchOperation("b", "", strings.Replace(upsertOf(number, `{"name":"one"}`), "Content-Type", header+"\nContent-Type", 1))
	}
	status, _, body := postBatch(t, s, "odata.continue-on-error,return=representation",
		withHeader("A-1", "If-Match: *"),
		withHeader("A-2", "If-None-Match: *"),
		withHeader("A-2", "If-None-Match: *"),
		withHeader("A-2", "Prefer: return=representation"))
	var statuses []string
	for _, m := range regexp.MustCompile(`HTTP/1\.1 (\d+)`).FindAllStringSubmatch(body, -1) {
		statuses = append(statuses, m[1])
	}
	if got := strings.Join(statuses, " "); status != http.StatusOK || got != "404 204 412 200" {
		t.Errorf("status %d, parts %s, want 404 204 412 200: %s", status, got, body)
	}
}
