package webapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

// applied is the end of one write, without what differs from run to run.
type applied struct {
	Effect   schema.Effect
	Requests int
	HasID    bool
	Verdict  string
	Code     string
	Unsure   bool
}

func appliedOf(r schema.Result, err error) applied {
	a := applied{Effect: r.Effect, Requests: r.Requests, HasID: r.ID != ""}
	if e := outcome.Of(err); e != nil {
		a.Verdict, a.Code, a.Unsure = string(e.Verdict)+" "+string(e.Reason), e.Code, e.Ambiguous
	} else if err != nil {
		a.Verdict = err.Error()
	}
	return a
}

// applyTogether makes the writes at the same time, so that they share one request:
// the client's Batch.Max must be their number.
func applyTogether(t *testing.T, c *Client, writes []*schema.Write) []applied {
	t.Helper()
	c.batches.mu.Lock()
	if c.batches.most != len(writes) {
		t.Fatalf("%d writes do not fill a batch of %d", len(writes), c.batches.most)
	}
	c.batches.size, c.batches.linger = len(writes), time.Hour
	c.batches.flying++ // as if another write were under way: nothing is sent before all are here
	c.batches.mu.Unlock()
	got := make([]applied, len(writes))
	var group sync.WaitGroup
	for i, w := range writes {
		group.Go(func() { got[i] = appliedOf(c.Apply(t.Context(), w)) })
	}
	group.Wait()
	c.batches.landed(1)
	return got
}

// upserts are n writes to n records.
func upserts(n int) []*schema.Write {
	writes := make([]*schema.Write, n)
	for i := range writes {
		writes[i] = upsertOf(i)
	}
	return writes
}

func batching(n int) func(*Config) {
	return func(c *Config) { c.Batch = BatchConfig{Max: n} }
}

// innerRequest is one request of a received batch.
type innerRequest struct {
	line   string
	header http.Header
	body   string
}

// readBatchRequest takes a batch apart the strict way: every line ends in CRLF.
func readBatchRequest(t *testing.T, r *http.Request) []innerRequest {
	t.Helper()
	raw, _ := io.ReadAll(r.Body)
	boundary := boundaryOf(r.Header)
	if n := bytes.Count(raw, []byte("\n")); n != bytes.Count(raw, []byte("\r\n")) || boundary == "" {
		t.Errorf("a batch with boundary %q and a line that does not end in CRLF:\n%s", boundary, raw)
	}
	text, ok := strings.CutSuffix(string(raw), "\r\n--"+boundary+"--\r\n")
	text, ok2 := strings.CutPrefix(text, "--"+boundary+"\r\n")
	if !ok || !ok2 {
		t.Errorf("a batch without its boundaries:\n%s", raw)
	}
	var list []innerRequest
	for part := range strings.SplitSeq(text, "\r\n--"+boundary+"\r\n") {
		outer, inner, _ := strings.Cut(part, "\r\n\r\n")
		if outer != "Content-Type: application/http\r\nContent-Transfer-Encoding: binary" {
			t.Errorf("a part with the header %q", outer)
		}
		head, body, _ := strings.Cut(inner, "\r\n\r\n")
		line, header, _ := strings.Cut(head, "\r\n")
		list = append(list, innerRequest{line, partHeader([]byte(header)), body})
	}
	return list
}

// part renders one part of an answer.
func part(status int, header, body string) string {
	return fmt.Sprintf("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 %d %s\r\nOData-Version: 4.0\r\n%s\r\n%s",
		status, http.StatusText(status), header, body)
}

// batchAnswer renders an answer from its parts.
func batchAnswer(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--batchresponse_1\r\n" + p + "\r\n")
	}
	return b.String() + "--batchresponse_1--\r\n"
}

// multipart answers a batch.
func multipart(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "multipart/mixed; boundary=batchresponse_1")
	w.Header().Set("OData-Version", "4.0")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func good(n int) []string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = part(204, "OData-EntityId: https://contoso.example/api/data/v9.2/accounts(accountnumber='x')\r\n", "")
	}
	return parts
}

// TestTheBytesOfABatch holds the request against a file that was checked by hand
// against "Execute batch operations using the Web API".
func TestTheBytesOfABatch(t *testing.T) {
	t.Parallel()
	c, err := New(Config{URL: "https://crm.contoso.example/CONTOSO", Version: "v9.1", Batch: BatchConfig{Max: 10}})
	if err != nil {
		t.Fatal(err)
	}
	var riders []*passenger
	c.batches.flying = 1
	for _, w := range []*schema.Write{
		{Operation: schema.OpUpsert, Body: json.RawMessage(`{"name":"Fabrikam","primarycontactid@odata.bind":"/contacts(emailaddress1='a%40b.example')"}`)},
		{Operation: schema.OpCreate, Body: json.RawMessage(`{"name":"new"}`)},
		{Operation: schema.OpUpdate, Body: json.RawMessage("{\"name\":\n\"pretty\"}"), WantResult: true},
		{Operation: schema.OpDelete},
	} {
		w.Table, w.EntitySet, w.Predicate = "account", "accounts", "accountnumber='A%201'"
		a := &application{client: c, write: w}
		call := &call{method: http.MethodPatch, op: string(w.Operation), body: w.Body, header: map[string]string{}}
		switch w.Operation {
		case schema.OpDelete:
			call.method = http.MethodDelete
		case schema.OpUpdate:
			call.header["If-Match"] = "*"
		case schema.OpCreate:
			call.header["If-None-Match"] = "*"
		}
		a.complete(call)
		riders = append(riders, &passenger{call: call})
	}
	got, err := c.batchBody("batch_b1", riders)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "batch", "request.http")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(crlf(string(want)), strings.Replace(string(got), "{\"name\":\n", "{\"name\":\r\n", 1)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestTheBoundaryStandsInNoBody(t *testing.T) {
	t.Parallel()
	riders := []*passenger{{call: &call{body: []byte(`{}`)}}, {call: &call{body: []byte(`{"name":"batch_00"}`)}}}
	if !inBodies(riders, "batch_00") || inBodies(riders, "batch_01") {
		t.Error("a boundary within a body is not seen")
	}
	one, other := newBoundary(riders), newBoundary(riders)
	if one == other || len(one) != len("batch_")+32 {
		t.Errorf("boundaries %s, %s", one, other)
	}
}

// TestABatchEndsLikeItsWritesAlone makes the same writes one by one and in one
// batch, against two simulators, and compares every single end.
func TestABatchEndsLikeItsWritesAlone(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		writes := func(o *organization) []*schema.Write {
			withResult := o.write(t, schema.OpUpsert, "W2", `{"name":"told"}`)
			withResult.WantResult = true
			created := o.write(t, schema.OpCreate, "N1", `{"name":"new","accountnumber":"N1"}`)
			created.WantResult = true
			missing := `{"name":"x","primarycontactid@odata.bind":"/contacts(` + guid1 + `)"}`
			self := `{"name":"x","parentaccountid@odata.bind":"/accounts(accountnumber='nobody')"}`
			onCreate := o.write(t, schema.OpUpsert, "O1", `{"name":"o"}`)
			onCreate.OnCreate = json.RawMessage(`{"name":"o","description":"new"}`)
			return []*schema.Write{
				o.write(t, schema.OpUpsert, "W1", `{"name":"Ünïcode \u00e9 and \"quotes\""}`),
				withResult, created,
				o.write(t, schema.OpCreate, "E1", `{"name":"there already","accountnumber":"E1"}`),
				o.write(t, schema.OpUpdate, "E2", `{"name":"changed"}`),
				o.write(t, schema.OpUpdate, "nobody", `{"name":"changed"}`),
				o.write(t, schema.OpDelete, "E3", ""),
				o.write(t, schema.OpDelete, "nobody2", ""),
				o.write(t, schema.OpUpsert, "P1", missing),
				o.write(t, schema.OpUpdate, "E4", self),
				o.write(t, schema.OpUpsert, "B1", `{"nothere":1}`),
				o.write(t, schema.OpUpsert, "B2", `{"name":"`+strings.Repeat("x", 161)+`"}`),
				o.write(t, schema.OpUpsert, "key with 'quotes' and é", `{"name":"odd key"}`),
				onCreate,
			}
		}
		prepare := func() *organization {
			o := newOrganization(t, sim.Options{Profile: profile})
			for _, number := range []string{"E1", "E2", "E3", "E4"} {
				if _, err := o.client.Apply(t.Context(), o.write(t, schema.OpUpsert, number, `{"name":"before"}`)); err != nil {
					t.Fatal(err)
				}
			}
			return o
		}
		alone := prepare()
		var want []applied
		for _, w := range writes(alone) {
			want = append(want, appliedOf(alone.client.Apply(t.Context(), w)))
		}
		together := prepare()
		list := writes(together)
		together.client.batches = newBatcher(together.client, BatchConfig{Max: len(list) - 1})
		// The write with OnCreate goes alone and does not wait for the others.
		if got := appliedOf(together.client.Apply(t.Context(), list[len(list)-1])); got != want[len(want)-1] {
			t.Errorf("with OnCreate: %+v, want %+v", got, want[len(want)-1])
		}
		before := together.sim.Requests().Total()
		got := applyTogether(t, together.client, list[:len(list)-1])
		if diff := cmp.Diff(want[:len(want)-1], got); diff != "" {
			t.Errorf("alone and together differ (-alone +together):\n%s", diff)
		}
		// One request for all, and one read for each "not there" that is not clear.
		if n := together.sim.Requests().Total() - before; n > 3 {
			t.Errorf("%d HTTP requests for a batch of %d", n, len(list)-1)
		}
	})
}

func TestPartsAreAnsweredEachToItsOwnWrite(t *testing.T) {
	t.Parallel()
	const n = 100
	var requests int
	c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		var parts []string
		for _, inner := range readBatchRequest(t, r) {
			var number int
			if _, err := fmt.Sscanf(inner.line, "PATCH /api/data/v9.2/accounts(accountnumber='A%d') HTTP/1.1", &number); err != nil {
				t.Errorf("request line %q", inner.line)
			}
			if want := fmt.Sprintf(`{"name":"Contoso %d"}`, number); inner.body != want {
				t.Errorf("body %q of number %d", inner.body, number)
			}
			switch {
			case number%10 == 3:
				parts = append(parts, part(400, "Content-Type: application/json\r\n", apiError("0x80040265", "no")))
			case number%10 == 4:
				parts = append(parts, part(404, "Content-Type: application/json\r\n", apiError("0x80060891", "A record with the specified key values does not exist in contact entity")))
			case number%10 == 5:
				parts = append(parts, part(412, "", apiError("0x80060892", "Entity Key violated.")))
			default:
				parts = append(parts, part(204, "", ""))
			}
		}
		multipart(w, 200, batchAnswer(parts...))
	}), batching(n))
	for i, got := range applyTogether(t, c, upserts(n)) {
		want := applied{Requests: 1}
		switch i % 10 {
		case 3:
			want.Verdict, want.Code = "reject plugin", "0x80040265"
		case 4:
			want.Verdict, want.Code = "park missing_reference", "0x80060891"
		case 5:
			want.Verdict, want.Code = "retry-race duplicate", "0x80060892"
		default:
			want.Effect = schema.EffectWritten
		}
		if got != want {
			t.Errorf("write %d: %+v, want %+v", i, got, want)
		}
	}
	if requests != 1 {
		t.Errorf("%d requests", requests)
	}
}

// TestAnswersThatAreNoWholeBatchAnswer scripts the answer to a batch of four.
func TestAnswersThatAreNoWholeBatchAnswer(t *testing.T) {
	t.Parallel()
	written := applied{Effect: schema.EffectWritten, Requests: 1}
	unsure := func(verdict string) applied { return applied{Verdict: verdict, Requests: 1, Unsure: true} }
	all := func(a applied) []applied { return []applied{a, a, a, a} }
	four := batchAnswer(good(4)...)
	for name, c := range map[string]struct {
		status int
		answer string
		length int // promised when more than sent
		want   []applied
	}{
		"whole":                    {200, four, 0, all(written)},
		"bare line feeds":          {200, strings.ReplaceAll(four, "\r\n", "\n"), 0, all(written)},
		"preamble and epilogue":    {200, "hello\r\n" + four + "bye\r\n", 0, all(written)},
		"cut in the third":         {200, four[:strings.LastIndex(four, "--batchresponse_1\r\n")-20], len(four), []applied{written, written, unsure("retry network"), unsure("retry network")}},
		"cut in the last boundary": {200, strings.TrimSuffix(four, "_1--\r\n"), len(four), []applied{written, written, written, unsure("retry network")}},
		"no last boundary":         {200, strings.TrimSuffix(four, "--batchresponse_1--\r\n"), 0, []applied{written, written, written, unsure("retry network")}},
		"two answers too few":      {200, batchAnswer(good(2)...), 0, []applied{written, written, unsure("retry network"), unsure("retry network")}},
		"one answer too many":      {200, batchAnswer(good(5)...), 0, all(unsure("retry bad_answer"))},
		"another boundary":         {200, strings.ReplaceAll(four, "response_1", "response_2"), 0, all(unsure("retry network"))},
		"empty":                    {200, "", 0, all(unsure("retry network"))},
		"a change set":             {200, batchAnswer(append(good(3), "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n--c--")...), 0, all(unsure("retry bad_answer"))},
		"a part without a status":  {200, batchAnswer(append(good(3), "Content-Type: application/http\r\n\r\nOData-Version: 4.0\r\n\r\n")...), 0, all(unsure("retry bad_answer"))},
		"a status of 99":           {200, batchAnswer(append(good(3), strings.Replace(good(1)[0], "204", "099", 1))...), 0, all(unsure("retry bad_answer"))},
		"a redirect within":        {200, batchAnswer(append(good(3), part(302, "Location: https://evil.example/\r\n", ""))...), 0, []applied{written, written, written, {Verdict: "stop bad_answer", Requests: 1}}},
		"204 without OData":        {200, batchAnswer(append(good(3), strings.NewReplacer("OData-Version: 4.0\r\n", "", "OData-EntityId: ", "X: ").Replace(good(1)[0]))...), 0, []applied{written, written, written, unsure("retry bad_answer")}},
		"an answer as by a read":   {200, batchAnswer(append(good(3), part(200, "", "[1]"))...), 0, []applied{written, written, written, unsure("retry bad_answer")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				readBatchRequest(t, r)
				if c.length > 0 {
					w.Header().Set("Content-Length", fmt.Sprint(c.length))
				}
				multipart(w, c.status, c.answer)
			}), batching(4))
			// Which caller is which place in the batch is chance; the ends are not.
			if diff := cmp.Diff(tally(c.want), tally(applyTogether(t, client, upserts(4)))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func tally(list []applied) map[applied]int {
	m := map[applied]int{}
	for _, a := range list {
		m[a]++
	}
	return m
}

// batchless answers batches by refuse, and single writes well unless refuseOne answers them.
type batchless struct {
	t         *testing.T
	refuse    func(w http.ResponseWriter, requests []innerRequest)
	refuseOne func(w http.ResponseWriter, path string) bool
	mu        sync.Mutex
	sizes     []int
	singles   int
}

func (s *batchless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/$batch") {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		s.singles++
		s.mu.Unlock()
		if s.refuseOne != nil && s.refuseOne(w, r.URL.Path) {
			return
		}
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(204)
		return
	}
	requests := readBatchRequest(s.t, r)
	s.mu.Lock()
	s.sizes = append(s.sizes, len(requests))
	s.mu.Unlock()
	s.refuse(w, requests)
}

func TestABatchRefusedAsAWholeIsSplitDownToSingleRequests(t *testing.T) {
	t.Parallel()
	s := &batchless{t: t}
	s.refuse = func(w http.ResponseWriter, requests []innerRequest) {
		for _, r := range requests {
			if strings.Contains(r.line, "'A5'") { // one write that no batch takes
				answering(400, apiError("", "Stream was not readable."))(w, nil)
				return
			}
		}
		multipart(w, 200, batchAnswer(good(len(requests))...))
	}
	c, _ := newTestClient(t, s, batching(16))
	for i, got := range applyTogether(t, c, upserts(16)) {
		if (got != applied{Effect: schema.EffectWritten, Requests: 1}) {
			t.Errorf("write %d: %+v", i, got)
		}
	}
	total := s.singles
	for _, n := range s.sizes {
		total += n
	}
	// 16, two of 8, two of 4, two of 2, two single ones.
	if len(s.sizes) != 7 || s.singles != 2 || total != 16+16+8+4+2 {
		t.Errorf("batches of %v and %d single requests", s.sizes, s.singles)
	}
}

func TestATooLargeBatchMakesTheNextOnesSmaller(t *testing.T) {
	t.Parallel()
	s := &batchless{t: t}
	s.refuse = func(w http.ResponseWriter, requests []innerRequest) {
		if len(requests) > 5 {
			answering(413, "")(w, nil)
			return
		}
		multipart(w, 200, batchAnswer(good(len(requests))...))
	}
	c, _ := newTestClient(t, s, batching(16))
	for i, got := range applyTogether(t, c, upserts(16)) {
		if (got != applied{Effect: schema.EffectWritten, Requests: 1}) {
			t.Errorf("write %d: %+v", i, got)
		}
	}
	if c.batches.size > 5 {
		t.Errorf("size %d after batches above 5 were refused: %v", c.batches.size, s.sizes)
	}
	c.batches.learn(whole, time.Second, c.batches.size)
	c.batches.learn(whole, time.Second, c.batches.size)
	if c.batches.size < 6 || c.batches.size > 16 {
		t.Errorf("size %d: it does not grow back", c.batches.size)
	}
}

func TestAServerWithoutBatchesGetsSingleRequests(t *testing.T) {
	t.Parallel()
	for _, status := range []int{404, 405, 415, 501} {
		s := &batchless{t: t}
		s.refuse = func(w http.ResponseWriter, _ []innerRequest) { answering(status, apiError("", "no"))(w, nil) }
		c, _ := newTestClient(t, s, batching(8))
		for i, got := range applyTogether(t, c, upserts(8)) {
			if (got != applied{Effect: schema.EffectWritten, Requests: 1}) {
				t.Errorf("status %d, write %d: %+v", status, i, got)
			}
		}
		for i := range 5 {
			if _, err := c.Apply(t.Context(), upsertOf(i)); err != nil {
				t.Error(err)
			}
		}
		if len(s.sizes) != 1 || s.singles != 13 {
			t.Errorf("status %d: %d batches and %d single requests, want the one that told and 13", status, len(s.sizes), s.singles)
		}
	}
}

func TestAServerThatStopsAtAFailureIsSentTheRestAgain(t *testing.T) {
	t.Parallel()
	s := &batchless{t: t}
	bad := func(line string) bool { return strings.Contains(line, "'A2'") || strings.Contains(line, "'A6'") }
	// The writes of a batch stand in the order in which they came: the last one may be left alone.
	s.refuseOne = func(w http.ResponseWriter, path string) bool {
		if bad(path) {
			answering(400, apiError("0x80040265", "no"))(w, nil)
		}
		return bad(path)
	}
	s.refuse = func(w http.ResponseWriter, requests []innerRequest) {
		var parts []string
		for _, r := range requests {
			if bad(r.line) {
				parts = append(parts, part(400, "", apiError("0x80040265", "no")))
				multipart(w, 400, batchAnswer(parts...))
				return
			}
			parts = append(parts, part(204, "", ""))
		}
		multipart(w, 200, batchAnswer(parts...))
	}
	c, _ := newTestClient(t, s, batching(8))
	for i, got := range applyTogether(t, c, upserts(8)) {
		want := applied{Effect: schema.EffectWritten, Requests: 1}
		if i == 2 || i == 6 {
			want = applied{Requests: 1, Verdict: "reject plugin", Code: "0x80040265"}
		}
		if got != want {
			t.Errorf("write %d: %+v, want %+v", i, got, want)
		}
	}
}

func TestFailuresOfTheWholeBatchAreEveryWritesOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse http.HandlerFunc
		want   applied
	}{
		"throttled":   {answering(429, apiError("0x80072322", "too many")), applied{Verdict: "retry-after throttled", Code: "0x80072322", Requests: 1}},
		"unavailable": {answering(503, ""), applied{Verdict: "retry server", Requests: 1, Unsure: true}},
		"API error":   {answering(500, apiError("0x80040216", "oh")), applied{Verdict: "retry server", Code: "0x80040216", Requests: 1, Unsure: true}},
		"gateway":     {answering(502, "<html>"), applied{Verdict: "retry server", Requests: 1, Unsure: true}},
		"login page": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(200)
		}, applied{Verdict: "retry bad_answer", Requests: 1, Unsure: true}},
		"JSON":     {answering(200, `{"value":[]}`), applied{Verdict: "retry bad_answer", Requests: 1, Unsure: true}},
		"hang up":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, applied{Verdict: "retry network", Requests: 1, Unsure: true}},
		"no login": {answering(401, ""), applied{Verdict: "stop unauthorized", Requests: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				c.refuse(w, r)
			}), batching(4))
			for i, got := range applyTogether(t, client, upserts(4)) {
				if got != c.want {
					t.Errorf("write %d: %+v, want %+v", i, got, c.want)
				}
			}
		})
	}
}

func TestAFailureNamesTheWriteNotTheBatch(t *testing.T) {
	t.Parallel()
	c, _ := newTestClient(t, answering(503, ""), batching(2))
	c.batches.flying = 1
	var group sync.WaitGroup
	for i := range 2 {
		group.Go(func() {
			_, err := c.Apply(t.Context(), upsertOf(i))
			wantText(t, err, fmt.Sprintf("PATCH accounts(accountnumber='A%d')", i))
			if e := outcome.Of(err); e != nil && errors.Is(e, errBatchCut) {
				t.Error("not cut")
			}
		})
	}
	group.Wait()
}
