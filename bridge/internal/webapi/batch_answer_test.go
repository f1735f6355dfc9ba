package webapi

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPartsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	bodies := []string{"", "{}", `{"a":"--batchresponse_1"}`, "{\r\n \"a\": \"b\"\r\n}", `{"a":"\r\n--batchresponse_1--"}`, "--batchresponse_10\r\nx", "ü"}
	for range 200 {
		var parts []string
		var statuses []int
		var want []string
		for range random.IntN(20) {
			status, body := 100+random.IntN(500), bodies[random.IntN(len(bodies))]
			parts = append(parts, part(status, "X-Number: 7\r\n", body))
			statuses, want = append(statuses, status), append(want, body)
		}
		text := batchAnswer(parts...)
		if random.IntN(2) == 0 {
			text = "preamble\r\n--batchresponse_12\r\n" + text + "epilogue"
		}
		got, ended, err := parseBatchAnswer([]byte(text), "batchresponse_1", len(parts))
		if err != nil || !ended || len(got) != len(parts) {
			t.Fatalf("%d parts, ended %t, %v of:\n%s", len(got), ended, err, text)
		}
		for i, p := range got {
			if p.status != statuses[i] || string(p.body) != want[i] || p.lines.Get("X-Number") != "7" || p.lines.Get("OData-Version") != "4.0" {
				t.Errorf("part %d: %+v, body %q, want %d with %q", i, p, p.body, statuses[i], want[i])
			}
		}
	}
}

// TestACutAnswerIsABeginning cuts an answer at every byte: what is read is a
// beginning of its parts, never another thing, and it is whole only with the end.
func TestACutAnswerIsABeginning(t *testing.T) {
	t.Parallel()
	whole := batchAnswer(part(204, "", ""), part(400, "", `{"error":{"code":"1"}}`), part(201, "", `{"name":"x"}`))
	want, _, err := parseBatchAnswer([]byte(whole), "batchresponse_1", 3)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for at := range len(whole) {
		got, ended, err := parseBatchAnswer([]byte(whole[:at]), "batchresponse_1", 3)
		if err != nil || len(got) < last || ended != strings.HasSuffix(strings.TrimRight(whole[:at], "\r\n"), "_1--") {
			t.Fatalf("cut at %d: %d parts, ended %t, %v", at, len(got), ended, err)
		}
		last = len(got)
		for i := range got {
			if got[i].status != want[i].status || !bytes.Equal(got[i].body, want[i].body) {
				t.Errorf("cut at %d: part %d is %d %q", at, i, got[i].status, got[i].body)
			}
		}
	}
	if last != 3 {
		t.Errorf("%d parts before the last byte", last)
	}
}

func TestAnswersThatFitNoRequestsAreRefusedWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"more than asked":      {batchAnswer(good(3)...), "more answers"},
		"nested":               {batchAnswer("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x--"), "no HTTP answer"},
		"no content type":      {batchAnswer("X: 1\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), "no HTTP answer"},
		"no blank line":        {batchAnswer("Content-Type: application/http"), "no header"},
		"status line cut":      {batchAnswer("Content-Type: application/http\r\n\r\nHTTP/1.1 204"), "status line"},
		"no status":            {batchAnswer("Content-Type: application/http\r\n\r\nHTTP/1.1 abc OK\r\n\r\n"), "status line"},
		"status 600":           {batchAnswer("Content-Type: application/http\r\n\r\nHTTP/1.1 600 X\r\n\r\n"), "status line"},
		"status 2040":          {batchAnswer("Content-Type: application/http\r\n\r\nHTTP/1.1 2040 X\r\n\r\n"), "status line"},
		"another protocol":     {batchAnswer("Content-Type: application/http\r\n\r\nSMTP/1.1 204 X\r\n\r\n"), "status line"},
		"header cut":           {batchAnswer("Content-Type: application/http\r\n\r\nHTTP/1.1 204 OK\r\nOData-Version: 4.0"), "ends in its header"},
		"header without end":   {batchAnswer("Content-Type: application/http\r\n\r\nHTTP/1.1 204 OK\r\nX: " + strings.Repeat("x", maxPartHeader) + "\r\n\r\n"), "ends in its header"},
		"bomb of header lines": {batchAnswer("Content-Type: application/http\r\n\r\nHTTP/1.1 204 OK\r\n" + strings.Repeat("X: 1\r\n", maxPartHeader) + "\r\n"), "ends in its header"},
	} {
		parts, ended, err := parseBatchAnswer([]byte(c.text), "batchresponse_1", 2)
		var bad *malformed
		if parts != nil || ended || !errors.As(err, &bad) || !strings.Contains(bad.text, c.want) {
			t.Errorf("%s: %d parts, ended %t, %v; want %q", name, len(parts), ended, err, c.want)
		}
	}
}

// FuzzBatchAnswer: no answer makes more parts than were asked for, a status out
// of range, or bytes that were not in it; and a beginning of an answer never tells
// something else about a part than the whole.
func FuzzBatchAnswer(f *testing.F) {
	f.Add([]byte(batchAnswer(good(3)...)), "batchresponse_1", uint8(3))
	f.Add([]byte(batchAnswer(part(400, "", `{"a":"--b"}`), part(200, "X: 1\r\n", "{}"))), "batchresponse_1", uint8(2))
	f.Add([]byte("--b\n\n--b--"), "b", uint8(1))
	f.Add([]byte("--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 \r\n\r\n--b--"), "b", uint8(1))
	f.Add([]byte("--b--"), "b", uint8(0))
	f.Fuzz(func(t *testing.T, raw []byte, boundary string, n uint8) {
		if boundary == "" {
			return
		}
		parts, ended, err := parseBatchAnswer(raw, boundary, int(n))
		if err != nil {
			if parts != nil || ended || err.Error() == "" {
				t.Errorf("refused with %v, and %d parts", err, len(parts))
			}
			return
		}
		if len(parts) > int(n) {
			t.Errorf("%d parts for %d requests", len(parts), n)
		}
		for _, p := range parts {
			if p.status < 100 || p.status > 599 || !bytes.Contains(raw, p.body) || partHeader(p.lines) == nil {
				t.Errorf("part %+v", p)
			}
		}
		for _, at := range []int{len(raw) / 3, len(raw) / 2, max(len(raw)-1, 0)} {
			fewer, _, err := parseBatchAnswer(raw[:at], boundary, int(n))
			if err != nil || len(fewer) > len(parts) {
				t.Errorf("the first %d bytes: %d parts, %v; all: %d", at, len(fewer), err, len(parts))
				continue
			}
			same := slices.EqualFunc(fewer, parts[:len(fewer)], func(a, b batchPart) bool {
				return a.status == b.status && bytes.Equal(a.body, b.body)
			})
			if !same {
				t.Errorf("the first %d bytes tell something else", at)
			}
		}
	})
}

func BenchmarkBatchOf100(b *testing.B) {
	c, err := New(Config{URL: "https://contoso.example"})
	if err != nil {
		b.Fatal(err)
	}
	riders := make([]*passenger, 100)
	for i := range riders {
		w := upsertOf(i)
		riders[i] = &passenger{call: &call{method: "PATCH", path: w.Path(), body: w.Body}}
	}
	answer := []byte(batchAnswer(good(100)...))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.batchBody(newBoundary(riders), riders); err != nil {
			b.Fatal(err)
		}
		parts, _, err := parseBatchAnswer(answer, "batchresponse_1", 100)
		if err != nil || len(parts) != 100 {
			b.Fatal(fmt.Errorf("%d parts, %w", len(parts), err))
		}
	}
}

// TestAPartIsJudgedAsIfItHadComeAlone crosses every status with every listed code
// and some bodies that are no error of the API.
func TestAPartIsJudgedAsIfItHadComeAlone(t *testing.T) {
	t.Parallel()
	bodies := []string{"", "<html></html>", "oops", `{"Message":"no","ErrorCode":"0x80040265"}`, apiError("", "A record with matching key values already exists.")}
	for code := range byCode {
		bodies = append(bodies, apiError(code, "x"))
	}
	for _, code := range []string{codeNotThere, codeNotThereByKey, codeDuplicateKey, codeDuplicate, codeUniqueIndex, codeNoPrivilege, codeNoRight, codeUserDisabled, codeUserUnlicensed} {
		bodies = append(bodies, apiError(code, "x"))
	}
	for name, c := range calls() {
		if !c.isWrite() {
			continue
		}
		for status := 100; status <= 599; status++ {
			for _, body := range bodies {
				text := batchAnswer(part(status, "Retry-After: 7\r\n", body))
				parts, _, err := parseBatchAnswer([]byte(text), "batchresponse_1", 1)
				if err != nil || len(parts) != 1 {
					t.Fatalf("%s %d %q: %d parts, %v", name, status, body, len(parts), err)
				}
				a := parts[0].answer(time.Time{})
				a.refuse(nil) // as if what it says were not what was asked for
				got, want := classify(c, *a), verdictOf(c, status, http.Header{"Retry-After": {"7"}}, body)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s %d %q (-alone +part):\n%s", name, status, body, diff)
				}
			}
		}
	}
}
