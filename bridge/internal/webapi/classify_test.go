package webapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cebridge/schema/outcome"
)

// calls are one of each operation, and the variants that matter.
func calls() map[string]*call {
	return map[string]*call{
		"page":        {op: opPage, method: http.MethodGet, name: "accounts"},
		"linked page": {op: opPage, method: http.MethodGet, name: "accounts", linked: true},
		"search":      {op: opResolve, method: http.MethodGet, name: "accounts by name", inbound: true},
		"look":        {op: opExists, method: http.MethodGet, name: "accounts(1)", inbound: true},
		"exists":      {op: opExists, method: http.MethodGet, name: "accounts(1)"},
		"metadata":    {op: opMetadata, method: http.MethodGet, name: "EntityDefinitions"},
		"whoami":      {op: opWhoAmI, method: http.MethodGet, name: "WhoAmI"},
		"upsert":      {op: opUpsert, method: http.MethodPatch, name: "accounts(a=1)", body: []byte(`{"name":"A"}`)},
		"bind":        {op: opUpsert, method: http.MethodPatch, name: "accounts(a=1)", body: []byte(`{"x@odata.bind":"/contacts(b=1)"}`)},
		"owner":       {op: opUpsert, method: http.MethodPatch, name: "accounts(a=1)", body: []byte(`{"ownerid@odata.bind":"/teams(1)"}`)},
		"create":      {op: opCreate, method: http.MethodPatch, name: "accounts(a=1)", body: []byte(`{"name":"A"}`)},
		"update":      {op: opUpdate, method: http.MethodPatch, name: "accounts(a=1)", body: []byte(`{"name":"A"}`)},
		"delete":      {op: opDelete, method: http.MethodDelete, name: "accounts(a=1)"},
	}
}

func verdictOf(c *call, status int, header http.Header, body string) *outcome.Error {
	return classify(c, answer{status: status, header: header, body: []byte(body), sent: true, at: time.Unix(0, 0)})
}

func apiError(code, message string) string {
	return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)
}

// expect is "verdict reason".
func wantVerdict(t *testing.T, what string, e *outcome.Error, want string) {
	t.Helper()
	if got := string(e.Verdict) + " " + string(e.Reason); got != want {
		t.Errorf("%s: %s, want %s (%v)", what, got, want, e)
	}
}

// TestEveryStatusHasAVerdict lists the verdict of every status an API error can
// have without a code, for one read and one write; what is not listed follows
// its class.
func TestEveryStatusHasAVerdict(t *testing.T) {
	t.Parallel()
	special := map[int][2]string{ // read, write
		401: {"reauthenticate unauthorized", "reauthenticate unauthorized"},
		403: {"stop forbidden", "reject forbidden"},
		404: {"stop config", "stop config"},
		405: {"stop unsupported", "reject unsupported"},
		406: {"stop unsupported", "stop unsupported"},
		407: {"stop unauthorized", "stop unauthorized"},
		408: {"retry timeout", "retry timeout"},
		409: {"retry server", "retry server"},
		412: {"reject precondition", "retry-race duplicate"},
		413: {"stop too_large", "reject too_large"},
		414: {"stop too_large", "reject too_large"},
		415: {"stop unsupported", "stop unsupported"},
		423: {"retry server", "retry server"},
		425: {"retry server", "retry server"},
		429: {"retry-after throttled", "retry-after throttled"},
		431: {"stop too_large", "reject too_large"},
		501: {"stop unsupported", "stop unsupported"},
		505: {"stop unsupported", "stop unsupported"},
	}
	class := map[int][2]string{
		1: {"retry bad_answer", "retry bad_answer"},
		2: {"retry bad_answer", "retry bad_answer"},
		3: {"stop bad_answer", "stop bad_answer"},
		4: {"stop config", "reject invalid"},
		5: {"retry server", "retry server"},
	}
	all := calls()
	for status := 100; status <= 599; status++ {
		want, ok := special[status]
		if !ok {
			want = class[status/100]
		}
		for i, c := range []*call{all["page"], all["upsert"]} {
			for _, body := range []string{apiError("", "no"), apiError("0x0", "no"), `{"Message":"no"}`, `{"error":{}}`} {
				wantVerdict(t, fmt.Sprintf("%s %d %s", c.op, status, body), verdictOf(c, status, nil, body), want[i])
			}
		}
	}
}

// TestEveryAnswerHasAVerdictOfTheClosedSets crosses operations, statuses and
// bodies: no answer may fall through.
func TestEveryAnswerHasAVerdictOfTheClosedSets(t *testing.T) {
	t.Parallel()
	bodies := []string{"", "<html></html>", "oops", "null", "[]", `{}`, `{"error":null}`, apiError("", ""), apiError("0x80040216", "x"), "\xff"}
	for code := range byCode {
		bodies = append(bodies, apiError(code, "x"))
	}
	reasons := []outcome.Reason{outcome.Network, outcome.Timeout, outcome.Server, outcome.Throttled, outcome.Duplicate, outcome.DuplicateRule,
		outcome.MissingReference, outcome.NotFound, outcome.Precondition, outcome.Unauthorized, outcome.Forbidden, outcome.TargetForbidden,
		outcome.Plugin, outcome.Invalid, outcome.KeyCharacters, outcome.Unsupported, outcome.Config, outcome.TokenExpired, outcome.BadAnswer,
		outcome.ForeignLink, outcome.TooLarge}
	for name, c := range calls() {
		for status := 100; status <= 599; status++ {
			for _, body := range bodies {
				e := verdictOf(c, status, http.Header{"Retry-After": {"7"}}, body)
				if !slices.Contains(outcome.Verdicts[:], e.Verdict) || !slices.Contains(reasons, e.Reason) {
					t.Fatalf("%s %d %q: verdict %q, reason %q", name, status, body, e.Verdict, e.Reason)
				}
				if e.Op == "" || e.Status != status || e.Message == "" && body != apiError("", "") && !strings.HasPrefix(body, `{"error"`) {
					t.Fatalf("%s %d %q: tells too little: %+v", name, status, body, e)
				}
				if e.Ambiguous && !c.isWrite() {
					t.Fatalf("%s %d %q: a read is never ambiguous", name, status, body)
				}
				if e.RetryAfter != 7*time.Second {
					t.Fatalf("%s %d: Retry-After lost", name, status)
				}
			}
		}
	}
}

func TestCodesDecideBeforeTheStatus(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]map[string]string{
		"0x80040217": {"upsert": "park missing_reference", "create": "park missing_reference", "update": "reject not_found", "delete": "reject not_found", "exists": "reject not_found", "metadata": "stop config"},
		"0x80060891": {"upsert": "park missing_reference", "update": "reject not_found", "delete": "reject not_found", "exists": "reject not_found"},
		"0x80060890": {"upsert": "stop config"},
		"0x8006089D": {"upsert": "reject config"},
		"0x80060892": {"upsert": "retry-race duplicate", "update": "retry-race duplicate", "create": "reject duplicate"},
		"0x80040237": {"upsert": "retry-race duplicate", "create": "reject duplicate"},
		"0x80073002": {"upsert": "retry-race duplicate"},
		"0x80040333": {"upsert": "reject duplicate_rule", "create": "reject duplicate_rule"},
		"0x80060882": {"update": "reject precondition"},
		"0x80060883": {"update": "stop config"},
		"0x8006088D": {"update": "stop config"},
		"0x80044352": {"linked page": "reject token_expired", "page": "reject token_expired"},
		"0x80072491": {"page": "stop config"},
		"0x80072492": {"page": "stop config"},
		"0x80072322": {"page": "retry-after throttled", "upsert": "retry-after throttled"},
		"0x80072321": {"upsert": "retry-after throttled"},
		"0x80072326": {"upsert": "retry-after throttled"},
		"0x8005F103": {"upsert": "retry-after throttled"},
		"0x80060308": {"upsert": "retry-after throttled"},
		"0x80072324": {"upsert": "retry server"},
		"0x80044150": {"upsert": "retry server", "page": "retry server"},
		"0x80044151": {"upsert": "retry server"},
		"0x80040216": {"upsert": "retry server"},
		"0x80040220": {"upsert": "reject forbidden", "owner": "reject target_forbidden", "page": "stop forbidden", "search": "stop forbidden"},
		"0x80048306": {"upsert": "reject forbidden", "owner": "reject target_forbidden"},
		"0x80040231": {"upsert": "reject target_forbidden"},
		"0x80040225": {"upsert": "stop forbidden", "owner": "reject target_forbidden", "page": "stop forbidden"},
		"0x8004D24B": {"upsert": "stop forbidden", "owner": "reject target_forbidden", "page": "stop forbidden"},
		"0x80042F09": {"upsert": "stop forbidden", "owner": "reject target_forbidden", "page": "stop forbidden"},
		"0x8004A104": {"upsert": "stop forbidden", "owner": "stop forbidden", "page": "stop forbidden"},
		"0x8004A113": {"upsert": "stop forbidden", "owner": "stop forbidden"},
		"0x80072560": {"upsert": "stop forbidden", "owner": "stop forbidden"},
		"0x80040265": {"upsert": "reject plugin"},
		"0x80040224": {"upsert": "retry plugin"},
		"0x80044331": {"upsert": "reject invalid"},
		"0x8004431A": {"upsert": "reject invalid"},
		"0x8004432F": {"upsert": "reject invalid"},
		"0x80044330": {"upsert": "reject invalid"},
		"0x80048408": {"upsert": "reject invalid"},
		"0x80060888": {"upsert": "stop config", "page": "stop config", "delete": "stop config"},
		"0x80048D19": {"upsert": "reject invalid"},
	} {
		for op, verdict := range want {
			for _, status := range []int{400, 401, 403, 404, 405, 409, 410, 412, 500, 503} {
				for _, spelt := range []string{code, strings.ToLower(code), "0X" + strings.ToUpper(code[2:]), code[2:]} {
					e := verdictOf(calls()[op], status, nil, apiError(spelt, "x"))
					wantVerdict(t, fmt.Sprintf("%s %d %s", op, status, spelt), e, verdict)
					if e.Code != strings.ToLower(code) {
						t.Errorf("code %q, want %q", e.Code, strings.ToLower(code))
					}
				}
			}
		}
	}
}

func TestTextDecidesWhereTheCodeIsEmpty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op      string
		status  int
		message string
		want    string
	}{
		{"bind", 404, "contact With Id = " + guid1 + " Does Not Exist", "park missing_reference"},
		{"bind", 400, "A record with the specified key values does not exist in contact entity", "park missing_reference"},
		{"bind", 404, "", "park missing_reference"},
		{"update", 404, "account With Id = " + guid1 + " Does Not Exist", "reject not_found"},
		{"update", 404, "", "reject not_found"},
		{"exists", 404, "account With Id = " + guid1 + " Does Not Exist", "reject not_found"},
		{"exists", 404, "", "stop config"},
		{"exists", 404, "Resource not found for the segment 'accountz'.", "stop config"},
		{"delete", 404, "Resource not found for the segment 'accountz'.", "stop config"},
		{"upsert", 412, "A record with matching key values already exists.", "retry-race duplicate"},
		{"upsert", 500, "Cannot insert duplicate key row in object", "retry-race duplicate"},
		{"create", 412, "A record with matching key values already exists.", "reject duplicate"},
		{"create", 412, "", "reject duplicate"},
		{"update", 412, "", "reject precondition"},
		{"update", 412, "A record with matching key values already exists.", "retry-race duplicate"},
		{"upsert", 400, "The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.account'.", "stop config"},
		{"upsert", 400, "The property 'x' does not exist on type 'Microsoft.Dynamics.CRM.account'.", "reject invalid"},
		{"page", 400, "Could not find a property named 'x' on type 'Microsoft.Dynamics.CRM.account'.", "stop config"},
		{"page", 400, "Change tracking is not enabled for account.", "stop config"},
		{"linked page", 400, "The version stamp associated with the client has expired.", "reject token_expired"},
		{"linked page", 400, "Invalid $deltatoken", "reject token_expired"},
		{"linked page", 400, "The paging cookie is malformed", "reject token_expired"},
		{"linked page", 410, "gone", "reject token_expired"},
		{"page", 410, "gone", "stop config"},
		{"upsert", 410, "gone", "reject invalid"},
		{"linked page", 401, "the delta token", "reauthenticate unauthorized"},
		{"upsert", 400, "anything else", "reject invalid"},
	} {
		what := fmt.Sprintf("%s %d %q", c.op, c.status, c.message)
		wantVerdict(t, what, verdictOf(calls()[c.op], c.status, nil, apiError("", c.message)), c.want)
	}
}

func TestAnswersOfOthersThanTheAPISayNothingAboutTheData(t *testing.T) {
	t.Parallel()
	html := http.Header{"Content-Type": {"text/html"}}
	for _, c := range []struct {
		op     string
		status int
		body   string
		want   string
	}{
		{"upsert", 403, "<html>blocked</html>", "retry bad_answer"},
		{"upsert", 404, "<html>no site</html>", "retry bad_answer"},
		{"delete", 404, "", "retry bad_answer"},
		{"update", 404, "", "retry bad_answer"},
		{"exists", 404, "", "retry bad_answer"},
		{"exists", 404, "<html></html>", "retry bad_answer"},
		{"linked page", 404, "<html></html>", "retry bad_answer"},
		{"upsert", 412, "", "retry bad_answer"},
		{"upsert", 400, "<html>Bad Request - Error in query syntax.</html>", "reject key_characters"},
		{"upsert", 400, "", "reject key_characters"},
		{"page", 400, "", "retry bad_answer"},
		{"upsert", 302, "", "stop bad_answer"},
		{"page", 302, "<html>moved</html>", "stop bad_answer"},
		{"upsert", 503, "<html>down</html>", "retry server"},
	} {
		what := fmt.Sprintf("%s %d %q", c.op, c.status, c.body)
		e := verdictOf(calls()[c.op], c.status, html, c.body)
		wantVerdict(t, what, e, c.want)
		if strings.Contains(e.Error(), "blocked") || strings.Contains(e.Error(), "<") {
			t.Errorf("%s: the error quotes the page: %v", what, e)
		}
	}
}

func TestServiceUnavailableWithADelayHoldsForEverybody(t *testing.T) {
	t.Parallel()
	c := calls()["upsert"]
	wantVerdict(t, "with", verdictOf(c, 503, http.Header{"Retry-After": {"30"}}, ""), "retry-after server")
	wantVerdict(t, "without", verdictOf(c, 503, nil, ""), "retry server")
	wantVerdict(t, "junk", verdictOf(c, 503, http.Header{"Retry-After": {"soon"}}, ""), "retry server")
	wantVerdict(t, "500 with", verdictOf(c, 500, http.Header{"Retry-After": {"30"}}, ""), "retry server")
	wantVerdict(t, "429 without", verdictOf(c, 429, nil, ""), "retry-after throttled")
	wantVerdict(t, "429 with a success body", verdictOf(c, 429, nil, `{"accountid":"x"}`), "retry-after throttled")
}

func TestAmbiguousOnlyWhenNobodyKnows(t *testing.T) {
	t.Parallel()
	write, read := calls()["upsert"], calls()["page"]
	for _, c := range []struct {
		status int
		body   string
		want   bool
	}{
		{500, apiError("0x80044151", "timeout"), false}, {500, "", true}, {500, "<html>", true},
		{502, "", true}, {502, apiError("", "x"), true}, {504, apiError("", "x"), true}, {408, "", true},
		{503, "", true}, {503, apiError("", "x"), false}, {501, "", false},
		{400, "", false}, {401, "", false}, {404, apiError(codeNotThere, "x"), false}, {412, "", false}, {429, "", false}, {302, "", false},
		{202, "", true},
	} {
		if got := verdictOf(write, c.status, nil, c.body).Ambiguous; got != c.want {
			t.Errorf("%d %q: ambiguous %t", c.status, c.body, got)
		}
		if verdictOf(read, c.status, nil, c.body).Ambiguous {
			t.Errorf("%d: an ambiguous read", c.status)
		}
	}
	for _, sent := range []bool{true, false} {
		for _, err := range []error{io.ErrUnexpectedEOF, errTimeout, &malformed{"x"}, errTooLarge} {
			if got := classify(write, answer{err: err, sent: sent}).Ambiguous; got != sent {
				t.Errorf("%v, sent %t: ambiguous %t", err, sent, got)
			}
		}
	}
}

func TestFailuresWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	c := calls()["page"]
	for want, errs := range map[string][]error{
		"retry network":     {io.ErrUnexpectedEOF, errors.New("connection reset"), context.Canceled},
		"retry timeout":     {errTimeout, context.DeadlineExceeded, fmt.Errorf("x: %w", errTimeout)},
		"retry bad_answer":  {&malformed{"no value"}},
		"stop too_large":    {errTooLarge, fmt.Errorf("x: %w", errTooLarge)},
		"stop foreign_link": {fmt.Errorf("%w: another host", errForeignLink)},
	} {
		for _, err := range errs {
			wantVerdict(t, err.Error(), classify(c, answer{err: err}), want)
		}
	}
}
