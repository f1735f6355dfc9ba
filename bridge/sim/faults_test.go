package sim

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const faultPage = `{"@odata.context":"x","value":[{"name":"has \"@odata.deltaLink\" inside"}],"@odata.deltaLink":"https://crm.contoso.com/api/data/v9.2/accounts?$deltatoken=1%212"}`

// faultBench is a server with faults before a trivial API, over real connections.
type faultBench struct {
	t       *testing.T
	faults  *Faults
	server  *httptest.Server
	client  *http.Client
	applied atomic.Int32
	bodies  chan string
}

func newFaultBench(t *testing.T) *faultBench {
	t.Helper()
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &faultBench{t: t, faults: NewFaults(7), bodies: make(chan string, 1000)}
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the API could not read its request: %v", err)
		}
		b.applied.Add(1)
		b.bodies <- string(body)
		if r.Method == http.MethodPatch {
			w.Header().Set("OData-EntityId", "accounts(1)")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", jsonContentType)
		_, _ = io.WriteString(w, faultPage)
	})
	b.server = httptest.NewServer(b.faults.wrap(s, api))
	t.Cleanup(b.server.Close)
	// No connection is used twice: net/http repeats a GET that fails on an old one.
	b.client = &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return b
}

// exchange is what the caller saw of one request.
type exchange struct {
	status  int
	header  http.Header
	body    string
	sendErr error // no answer
	bodyErr error // an answer without its whole body
}

func (b *faultBench) do(method, path string) exchange {
	b.t.Helper()
	return b.doContext(b.t.Context(), method, path)
}

func (b *faultBench) doContext(ctx context.Context, method, path string) exchange {
	b.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, b.server.URL+path, strings.NewReader(`{"name":"x"}`))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodGet {
		r.Body, r.ContentLength = nil, 0
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return exchange{sendErr: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return exchange{status: resp.StatusCode, header: resp.Header, body: string(body), bodyErr: err}
}

const deltaPath = "/api/data/v9.2/accounts?$deltatoken=1%212"

func TestEveryKindOfFaultDoesWhatItSays(t *testing.T) {
	t.Parallel()
	type want struct {
		status    int // 0: the connection ends without an answer
		applied   int32
		body      string // contained in the body
		cut       bool   // the body ends early
		header    [2]string
		noHeader  string
		exactBody string
	}
	for name, c := range map[string]struct {
		method string
		rule   Rule
		want   want
	}{
		"throttle":                    {"PATCH", Rule{Kind: FaultThrottle, RetryAfter: "37"}, want{status: 429, body: `"code":"0x80072322"`, header: [2]string{"Retry-After", "37"}}},
		"throttle, time":              {"PATCH", Rule{Kind: FaultThrottle, Facet: "time"}, want{status: 429, body: "0x80072321", header: [2]string{"Retry-After", "1"}}},
		"throttle, concurrency":       {"GET", Rule{Kind: FaultThrottle, Facet: "concurrency", RetryAfter: "absent"}, want{status: 429, body: "0x80072326", noHeader: "Retry-After"}},
		"throttle, date":              {"GET", Rule{Kind: FaultThrottle, RetryAfter: "Wed, 21 Oct 2026 07:28:00 GMT"}, want{status: 429, header: [2]string{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"}}},
		"server error, default":       {"PATCH", Rule{Kind: FaultServerError}, want{status: 503, body: "<html>", noHeader: "Retry-After"}},
		"server error, 500":           {"PATCH", Rule{Kind: FaultServerError, Status: 500}, want{status: 500, body: `"code":"0x80040216"`}},
		"server error, 502":           {"GET", Rule{Kind: FaultServerError, Status: 502}, want{status: 502, body: "502 Bad Gateway"}},
		"server error, 504 with code": {"GET", Rule{Kind: FaultServerError, Status: 504, Code: "0x80044151", Message: "Timeout"}, want{status: 504, body: `{"error":{"code":"0x80044151","message":"Timeout"}}`}},
		"plug-in abort":               {"PATCH", Rule{Kind: FaultError, Code: "0x80040265", Message: "No."}, want{status: 400, exactBody: `{"error":{"code":"0x80040265","message":"No."}}`}},
		"empty code":                  {"PATCH", Rule{Kind: FaultError, Status: 412}, want{status: 412, exactBody: `{"error":{"code":"","message":""}}`}},
		"second envelope":             {"PATCH", Rule{Kind: FaultPlainError, Status: 500, Code: "0x1", Message: "m"}, want{status: 500, body: `"ExceptionMessage":"m"`}},
		"unauthorized":                {"GET", Rule{Kind: FaultUnauthorized, Host: "login.fabrikam.com"}, want{status: 401, body: `{"error":`}},
		"latency":                     {"GET", Rule{Kind: FaultLatency, Delay: time.Millisecond}, want{status: 200, applied: 1, exactBody: faultPage}},
		"hang with an end":            {"PATCH", Rule{Kind: FaultHang, Delay: time.Millisecond}, want{}},
		"slow body":                   {"GET", Rule{Kind: FaultSlowBody, Delay: time.Millisecond, Bytes: 50}, want{status: 200, applied: 1, exactBody: faultPage}},
		"cut before commit":           {"PATCH", Rule{Kind: FaultCutBeforeCommit}, want{}},
		"cut after commit":            {"PATCH", Rule{Kind: FaultCutAfterCommit}, want{applied: 1}},
		"cut body":                    {"GET", Rule{Kind: FaultCutBody, Bytes: 5}, want{status: 200, applied: 1, cut: true, exactBody: faultPage[:5]}},
		"cut body, half":              {"GET", Rule{Kind: FaultCutBody}, want{status: 200, applied: 1, cut: true, exactBody: faultPage[:len(faultPage)/2]}},
		"truncated JSON":              {"GET", Rule{Kind: FaultTruncatedJSON, Bytes: 20}, want{status: 200, applied: 1, exactBody: faultPage[:20]}},
		"empty body":                  {"GET", Rule{Kind: FaultEmptyBody}, want{status: 200, applied: 1, header: [2]string{"Content-Length", "0"}}},
		"HTML page":                   {"GET", Rule{Kind: FaultHTMLPage}, want{status: 200, body: "<form", header: [2]string{"Content-Type", "text/html; charset=utf-8"}}},
		"HTML page, 403":              {"PATCH", Rule{Kind: FaultHTMLPage, Status: 403}, want{status: 403, body: "<html>"}},
		"login redirect":              {"GET", Rule{Kind: FaultLoginRedirect}, want{status: 302, body: "Object moved"}},
		"foreign link":                {"GET", Rule{Kind: FaultForeignLink}, want{status: 200, applied: 1, body: `"https://crm.fabrikam.com/api/data/v9.2/accounts?$deltatoken=1%212"`}},
		"missing link":                {"GET", Rule{Kind: FaultMissingLink}, want{status: 200, applied: 1, exactBody: `{"@odata.context":"x","value":[{"name":"has \"@odata.deltaLink\" inside"}]}`}},
		"expired token":               {"GET", Rule{Kind: FaultExpiredToken}, want{status: 400, body: `"code":"0x80044352"`}},
		"expired token, 410":          {"GET", Rule{Kind: FaultExpiredToken, Status: 410}, want{status: 410, body: "0x80044352"}},
		"late apply":                  {"PATCH", Rule{Kind: FaultLateApply, Delay: time.Millisecond}, want{applied: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFaultBench(t)
			if b.faults.Add(c.rule) != 1 {
				t.Fatalf("rule refused: %v", c.rule.Validate())
			}
			got := b.do(c.method, deltaPath)
			b.faults.Wait()
			if (got.sendErr != nil) != (c.want.status == 0) || got.status != c.want.status {
				t.Errorf("status %d, error %v, want status %d", got.status, got.sendErr, c.want.status)
			}
			if (got.bodyErr != nil) != c.want.cut || got.bodyErr != nil && !errors.Is(got.bodyErr, io.ErrUnexpectedEOF) {
				t.Errorf("body error %v, want cut %v", got.bodyErr, c.want.cut)
			}
			if !strings.Contains(got.body, c.want.body) || c.want.exactBody != "" && got.body != c.want.exactBody {
				t.Errorf("body %q, want %q%q", got.body, c.want.exactBody, c.want.body)
			}
			if name, value := c.want.header[0], c.want.header[1]; got.header.Get(name) != value {
				t.Errorf("%s: %q, want %q", name, got.header.Get(name), value)
			}
			if c.want.noHeader != "" && got.header.Get(c.want.noHeader) != "" {
				t.Errorf("header %s is there", c.want.noHeader)
			}
			if n := b.applied.Load(); n != c.want.applied {
				t.Errorf("applied %d times, want %d", n, c.want.applied)
			}
			if n := b.faults.Counts()[string(c.rule.Kind)]; n != 1 {
				t.Errorf("counted %d times, want 1", n)
			}
		})
	}
}

func TestAFaultFiresOnlyWhereItHasSomethingToSpoil(t *testing.T) {
	t.Parallel()
	b := newFaultBench(t)
	for _, kind := range []FaultKind{FaultForeignLink, FaultMissingLink, FaultCutBody, FaultTruncatedJSON, FaultEmptyBody} {
		b.faults.Clear()
		b.faults.Add(Rule{Kind: kind, Times: 1})
		if got := b.do(http.MethodPatch, deltaPath); got.status != http.StatusNoContent || got.header.Get("OData-EntityId") == "" {
			t.Errorf("%s spoiled an answer without a body: %+v", kind, got)
		}
		if n := b.faults.Counts()[string(kind)]; n != 0 {
			t.Errorf("%s counted %d times, want 0", kind, n)
		}
		// The one time is still to come.
		b.do(http.MethodGet, deltaPath)
		if n := b.faults.Counts()[string(kind)]; n != 1 {
			t.Errorf("%s counted %d times, want 1", kind, n)
		}
	}
	b.faults.Clear()
	b.faults.Add(Rule{Kind: FaultExpiredToken})
	if got := b.do(http.MethodGet, "/api/data/v9.2/accounts"); got.status != http.StatusOK {
		t.Errorf("a request without a token expired: %+v", got)
	}
}

func TestRulesFireOnlyOnTheRequestsTheyName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule   Rule
		method string
		path   string
		fires  bool
	}{
		"any":                      {Rule{}, "GET", "/api/data/v9.2/accounts", true},
		"method":                   {Rule{Method: "patch"}, "PATCH", "/api/data/v9.2/accounts(1)", true},
		"another method":           {Rule{Method: "PATCH"}, "GET", "/api/data/v9.2/accounts", false},
		"path":                     {Rule{PathContains: "accountnumber='A 1'"}, "GET", "/api/data/v9.2/accounts(accountnumber='A%201')", true},
		"query":                    {Rule{PathContains: "$deltatoken=1!2"}, "GET", deltaPath, true},
		"another path":             {Rule{PathContains: "contacts"}, "GET", "/api/data/v9.2/accounts", false},
		"table":                    {Rule{Table: "account"}, "GET", "/api/data/v9.2/accounts", true},
		"record of the table":      {Rule{Table: "transactioncurrency"}, "GET", "/api/data/v9.2/transactioncurrencies(1)", true},
		"another table":            {Rule{Table: "contact"}, "GET", "/api/data/v9.2/accounts?$filter=contacts", false},
		"table with a longer name": {Rule{Table: "account"}, "GET", "/api/data/v9.2/accountsx", false},
		"batch":                    {Rule{Table: "account"}, "PATCH", "/api/data/v9.2/$batch", false},
	} {
		b := newFaultBench(t)
		c.rule.Kind = FaultThrottle
		b.faults.Add(c.rule)
		if got := b.do(c.method, c.path); (got.status == http.StatusTooManyRequests) != c.fires {
			t.Errorf("%s: status %d, fires %v", name, got.status, c.fires)
		}
	}
}

func TestRulesCountTheirTimesAndWhatPassesBefore(t *testing.T) {
	t.Parallel()
	b := newFaultBench(t)
	b.faults.Add(Rule{Kind: FaultThrottle, After: 2, Times: 3})
	var statuses []int
	for range 7 {
		statuses = append(statuses, b.do(http.MethodPatch, deltaPath).status)
	}
	if diff := cmp.Diff([]int{204, 204, 429, 429, 429, 204, 204}, statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func TestTheFirstRuleThatFiresWinsAfterEveryLatency(t *testing.T) {
	t.Parallel()
	b := newFaultBench(t)
	b.faults.Add(Rule{Kind: FaultLatency, Delay: time.Millisecond})
	b.faults.Add(Rule{Kind: FaultServerError, Status: 502, Times: 1})
	b.faults.Add(Rule{Kind: FaultLatency, Delay: time.Millisecond})
	b.faults.Add(Rule{Kind: FaultThrottle})
	first, second := b.do(http.MethodGet, deltaPath), b.do(http.MethodGet, deltaPath)
	if first.status != 502 || second.status != 429 {
		t.Errorf("statuses %d, %d, want 502, 429", first.status, second.status)
	}
	want := map[string]int{"latency": 3, "server_error": 1, "throttle": 1}
	if diff := cmp.Diff(want, b.faults.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestTheSameSeedMakesTheSameFaults(t *testing.T) {
	t.Parallel()
	draw := func(seed uint64) (fired []bool) {
		f := NewFaults(seed)
		f.Add(Rule{Kind: FaultThrottle, Probability: 0.3})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for range 1000 {
			fired = append(fired, len(f.pick(r, func(s string) string { return s })) > 0)
		}
		return fired
	}
	first, again, other := draw(1), draw(1), draw(2)
	if !cmp.Equal(first, again) {
		t.Error("one seed, two histories")
	}
	if cmp.Equal(first, other) {
		t.Error("two seeds, one history")
	}
	n := 0
	for _, fired := range first {
		if fired {
			n++
		}
	}
	if n < 230 || n > 370 {
		t.Errorf("fired %d of 1,000 at probability 0.3", n)
	}
}

func TestALateWriteIsAppliedAfterTheCallerWasCutOff(t *testing.T) {
	t.Parallel()
	b := newFaultBench(t)
	b.faults.Add(Rule{Kind: FaultLateApply, Delay: 20 * time.Millisecond, Times: 1})
	began := time.Now()
	if got := b.do(http.MethodPatch, deltaPath); got.sendErr == nil {
		t.Fatalf("answered: %+v", got)
	}
	if b.applied.Load() != 0 && time.Since(began) < 20*time.Millisecond {
		t.Error("applied before its time")
	}
	b.faults.Wait()
	if body := <-b.bodies; body != `{"name":"x"}` {
		t.Errorf("applied with body %q", body)
	}
}

func TestAWriteIsAppliedThoughTheCallerLeavesDuringASlowAnswer(t *testing.T) {
	t.Parallel()
	b := newFaultBench(t)
	b.faults.Add(Rule{Kind: FaultSlowBody, Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-b.bodies
		cancel()
	}()
	if got := b.doContext(ctx, http.MethodGet, deltaPath); !errors.Is(errors.Join(got.sendErr, got.bodyErr), context.Canceled) {
		t.Errorf("got %+v", got)
	}
}

func TestAHangEndsWhenTheCallerLeavesAndAppliesNothing(t *testing.T) {
	t.Parallel()
	for _, rule := range []Rule{{Kind: FaultHang}, {Kind: FaultLatency, Delay: time.Hour}} {
		b := newFaultBench(t)
		b.faults.Add(rule)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		got := b.doContext(ctx, http.MethodPatch, deltaPath)
		cancel()
		if !errors.Is(got.sendErr, context.DeadlineExceeded) {
			t.Errorf("%s: got %+v", rule.Kind, got)
		}
		b.server.Close() // returns only when the handler has
		if b.applied.Load() != 0 {
			t.Errorf("%s: applied", rule.Kind)
		}
	}
}

func TestCutsCloseTheConnectionWithoutAByte(t *testing.T) {
	t.Parallel()
	b := newFaultBench(t)
	b.faults.Add(Rule{Kind: FaultCutAfterCommit})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PATCH "+deltaPath+" HTTP/1.1\r\nHost: crm.contoso.com\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestFaultsAreInTheWriteLog(t *testing.T) {
	t.Parallel()
	f := NewFaults(1)
	f.Add(Rule{Kind: FaultThrottle, Times: 1})
	s, err := New(Options{Faults: f})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/data/v9.2/accounts", nil)
	r.Header.Set("x-ms-client-request-id", "r1")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	var logged []LogEntry
	for _, e := range s.Log(1) {
		if e.Kind == KindFault {
			logged = append(logged, e)
		}
	}
	if w.Code != http.StatusTooManyRequests || len(logged) != 1 || logged[0].Operation != "throttle" || logged[0].Request != "r1" {
		t.Errorf("status %d, log %+v", w.Code, logged)
	}
}

func TestRulesWithoutAMeaningAreRefused(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]Rule{
		"no kind": {}, "unknown kind": {Kind: "earthquake"}, "probability": {Kind: FaultHang, Probability: 1.5},
		"no number": {Kind: FaultHang, Probability: math.NaN()}, "negative times": {Kind: FaultHang, Times: -1},
		"negative delay": {Kind: FaultHang, Delay: -1}, "status": {Kind: FaultError, Status: 99},
		"facet": {Kind: FaultThrottle, Facet: "speed"}, "header": {Kind: FaultThrottle, RetryAfter: "1\r\nX: y"},
	} {
		if rule.Validate() == nil || NewFaults(1).Add(rule) != 0 {
			t.Errorf("%s: accepted", name)
		}
	}
	f := NewFaults(1)
	for range maxFaultRules {
		f.Add(Rule{Kind: FaultHang})
	}
	if f.Add(Rule{Kind: FaultHang}) != 0 {
		t.Error("rules have no bound")
	}
}

func TestNoFaultsLeaveTheAPIAlone(t *testing.T) {
	t.Parallel()
	var f *Faults
	w := httptest.NewRecorder()
	f.wrap(nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusTeapot {
		t.Errorf("status %d", w.Code)
	}
}

func TestFaultsMayBeUsedFromManyGoroutines(t *testing.T) {
	t.Parallel()
	f := NewFaults(1)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				id := f.Add(Rule{Kind: FaultThrottle, Times: 1})
				f.pick(r, func(s string) string { return s })
				f.Counts()
				f.states()
				f.Remove(id)
			}
		})
	}
	wg.Wait()
	if n := f.Counts()["throttle"]; n == 0 || n > 800 {
		t.Errorf("fired %d times", n)
	}
}
