package sim

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The rules tests are the collected facts about the Web API, one named subtest for
// each rule, over real HTTP. A name begins with the section of the facts it is
// from: 0 headers and errors, 1 change tracking, 2 alternate keys, 3 upsert and
// binding, 4 one update for special messages, 5 $batch, 6 service limits,
// 7 metadata, 8 authentication, 9 webhooks, 10 data types, 13 recorded exchanges.

// rule is one fact, with the options of the server that shows it.
type rule struct {
	name string
	o    Options
	run  func(x *ruleCall)
}

// ruleCall is a server on a TCP port and a client of it. It fails its test as
// a failer, so that helpers of other tests work with it.
type ruleCall struct {
	*testing.T
	s      *Server
	base   string // scheme, host and organization
	client *http.Client
	at     *clock
}

func runRules(t *testing.T, rules []rule) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range rules {
		if seen[c.name] {
			t.Fatalf("two rules are called %q", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at := &clock{now: epoch}
			if c.o.Now == nil {
				c.o.Now = at.Now
			}
			s := newTestServer(t, c.o)
			base, err := s.Start("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			c.run(&ruleCall{t, s, base, &http.Client{Transport: transport, Timeout: time.Minute}, at})
		})
	}
}

// do sends a request below /api/data/v9.1/, or to an absolute URL.
func (x *ruleCall) do(method, path, body string, headers ...string) answer {
	x.Helper()
	url := path
	if !strings.HasPrefix(path, "http://") {
		url = x.base + "/api/data/v9.1/" + path
	}
	r, err := http.NewRequestWithContext(x.Context(), method, strings.ReplaceAll(url, " ", "%20"), strings.NewReader(body))
	if err != nil {
		x.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := x.client.Do(r)
	if err != nil {
		x.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		x.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

func (x *ruleCall) get(path string, headers ...string) answer {
	x.Helper()
	return x.do("GET", path, "", headers...)
}

// upsert PATCHes and wants 204.
func (x *ruleCall) upsert(path, body string, headers ...string) answer {
	x.Helper()
	return x.do("PATCH", path, body, headers...).want(x, 204, "")
}

// is reports a fact that does not hold.
func (x *ruleCall) is(ok bool, format string, args ...any) {
	x.Helper()
	if !ok {
		x.Errorf(format, args...)
	}
}

// holds wants every text in the answer's body.
func (x *ruleCall) holds(a answer, texts ...string) {
	x.Helper()
	for _, text := range texts {
		x.is(strings.Contains(a.body, text), "no %s in %.2000s", text, a.body)
	}
}

// row reads one record.
func (x *ruleCall) row(path string, headers ...string) map[string]any {
	x.Helper()
	var row map[string]any
	x.get(path, headers...).want(x, 200, "").decode(x, &row)
	return row
}

func TestRulesOfHeadersAndErrors(t *testing.T) {
	t.Parallel()
	const notes = `Prefer: odata.include-annotations="*"`
	coded := func(name, code string, status int, run func(x *ruleCall) answer, o Options) rule {
		return rule{"0 code " + code + " " + name, o, func(x *ruleCall) { run(x).want(x, status, code) }}
	}
	patch := func(body string, headers ...string) func(x *ruleCall) answer {
		return func(x *ruleCall) answer { return x.do("PATCH", "accounts(accountnumber='R')", body, headers...) }
	}
	runRules(t, []rule{
		{"0 path: v9.0 to v9.2 online, others 501", Options{}, func(x *ruleCall) {
			for v, status := range map[string]int{"v9.0": 200, "v9.1": 200, "v9.2": 200, "v8.2": 501, "v9.3": 501} {
				x.get(x.base+"/api/data/"+v+"/WhoAmI").want(x, status, "")
			}
		}},
		{"0 path: on premises below the organization, without v9.2", Options{Profile: OnPremises, Organization: "fabrikam"}, func(x *ruleCall) {
			x.is(strings.HasSuffix(x.base, "/fabrikam"), "base %s", x.base)
			x.get("WhoAmI").want(x, 200, "")
			x.get(x.base+"/api/data/v9.2/WhoAmI").want(x, 501, "")
			x.get(strings.TrimSuffix(x.base, "/fabrikam")+"/api/data/v9.1/WhoAmI").want(x, 404, "")
		}},
		{"0 If-None-Match: null is no condition", Options{}, func(x *ruleCall) {
			x.upsert("accounts(accountnumber='R')", `{"name":"n"}`, "If-None-Match: null")
			x.upsert("accounts(accountnumber='R')", `{"name":"m"}`, "If-None-Match: null")
			x.get("accounts(accountnumber='R')", "If-None-Match: null").want(x, 200, "")
		}},
		{"0 headers: OData-Version, Content-Type, REQ_ID, online x-ms-service-request-id", Options{}, func(x *ruleCall) {
			h := x.get("accounts").header
			x.is(h.Get("OData-Version") == "4.0" && h.Get("Content-Type") == "application/json; odata.metadata=minimal" &&
				h.Get("REQ_ID") != "" && h.Get("x-ms-service-request-id") != "", "%v", h)
		}},
		{"0 headers: Preference-Applied names what was applied", Options{}, func(x *ruleCall) {
			got := x.get("accounts", "Prefer: odata.track-changes,odata.maxpagesize=5").header.Get("Preference-Applied")
			x.is(got == "odata.track-changes,odata.maxpagesize=5", "%q", got)
		}},
		{"0 error envelope: code and message", Options{}, func(x *ruleCall) {
			x.holds(x.get("accounts("+testID(1)+")").want(x, 404, codeNotFound), `{"error":{"code":"0x80040217","message":"account With Id = `+testID(1)+` Does Not Exist"`)
		}},
		{"0 error envelope: on premises an innererror, and no code from the OData layer", Options{Profile: OnPremises}, func(x *ruleCall) {
			a := x.get("accounts?$select=nothing").want(x, 400, "")
			x.holds(a, `"innererror":{"message":`, `"type":`, `"stacktrace":`)
			x.is(a.code(x) == "", "code %q", a.code(x))
		}},
		{"0 error envelope: annotations on request, the duplicate's columns as XML", Options{}, func(x *ruleCall) {
			x.upsert("accounts(accountnumber='R')", `{}`)
			a := x.do("POST", "accounts", `{"accountnumber":"R"}`, notes).want(x, 412, codeDuplicateKey)
			x.holds(a, "@Microsoft.PowerApps.CDS.ErrorDetails.DuplicateAttributes", "<accountnumber>R</accountnumber>", "@Microsoft.PowerApps.CDS.ErrorDetails.DuplicateEntity")
		}},
		{"0 error envelope: annotations HelpLink and InnerError on request, each by name", Options{}, func(x *ruleCall) {
			x.holds(x.get("accounts("+testID(1)+")", notes).want(x, 404, ""), `"@Microsoft.PowerApps.CDS.HelpLink":"http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a80040217&client=platform"`, detailInner)
			one := x.get("accounts("+testID(1)+")", "Prefer: odata.include-annotations=Microsoft.PowerApps.CDS.HelpLink").want(x, 404, "")
			x.is(strings.Contains(one.body, detailHelpLink) && !strings.Contains(one.body, detailInner), "%s", one.body)
			x.is(!strings.Contains(x.get("accounts("+testID(1)+")").body, "CDS"), "annotations without being asked")
		}},
		{"0 status 304: a read with the current etag", Options{}, func(x *ruleCall) {
			x.upsert("accounts(accountnumber='R')", `{}`)
			tag := x.get("accounts(accountnumber='R')").header.Get("ETag")
			x.get("accounts(accountnumber='R')", "If-None-Match: "+tag).want(x, 304, "")
		}},
		{"0 status 401: no login", Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}}, func(x *ruleCall) {
			x.get("WhoAmI").want(x, 401, "")
		}},
		{"0 status 404: unknown segment", Options{}, func(x *ruleCall) {
			x.holds(x.get("nothings").want(x, 404, codeInvalidRequest), "Resource not found for the segment 'nothings'.")
		}},
		{"0 status 405: wrong verb", Options{}, func(x *ruleCall) { x.do("PUT", "accounts", `{}`).want(x, 405, "") }},
		{"0 status 413: body too large", Options{}, func(x *ruleCall) {
			x.do("POST", "accounts", `{"description":"`+strings.Repeat("x", maxBody)+`"}`).want(x, 413, "")
		}},
		{"0 status 501: what is not offered", Options{}, func(x *ruleCall) { x.do("POST", "WinOpportunity", `{}`).want(x, 501, "") }},
		coded("the URL's record by key", codeNotFoundByKey, 404, func(x *ruleCall) answer { return x.get("accounts(accountnumber='R')") }, Options{}),
		coded("row version does not match", codeConcurrency, 412, func(x *ruleCall) answer {
			x.upsert("accounts(accountnumber='R')", `{}`)
			return x.do("DELETE", "accounts(accountnumber='R')", "", `If-Match: W/"1"`)
		}, Options{}),
		coded("table without optimistic concurrency", codeConcurrencyOff, 400, func(x *ruleCall) answer {
			x.upsert("equipments("+testID(1)+")", `{"name":"crane"}`)
			return x.do("PATCH", "equipments("+testID(1)+")", `{}`, `If-Match: W/"1"`)
		}, Options{}),
		coded("taken id", codeDuplicateRecord, 412, func(x *ruleCall) answer {
			x.upsert("accounts("+testID(1)+")", `{}`)
			return x.do("POST", "accounts", `{"accountid":"`+testID(1)+`"}`)
		}, Options{}),
		coded("missing privilege", "0x80040220", 403, func(x *ruleCall) answer {
			addRule(x, x.s, Rule{Kind: FaultRevokedPrivilege, Table: "account"})
			return x.get("accounts")
		}, Options{}),
		coded("unknown caller", codeUserUnknown, 403, func(x *ruleCall) answer { return x.get("WhoAmI", "MSCRMCallerID: "+testID(1)) }, Options{}),
		coded("plug-in abort", "0x80040265", 400, func(x *ruleCall) answer {
			addRule(x, x.s, Rule{Kind: FaultPluginAbort, Table: "account"})
			return patch(`{}`)(x)
		}, Options{}),
		coded("text too long", codeStringTooLong, 400, patch(`{"name":"`+tooLong+`"}`), Options{}),
		coded("option unknown", codeOptionValue, 400, patch(`{"industrycode":999}`), Options{}),
		coded("integer out of range", codeIntegerRange, 400, patch(`{"numberofemployees":-1}`), Options{}),
		coded("decimal out of range", codeDecimalRange, 400, patch(`{"revenue":-1}`), Options{}),
		coded("status of another state", codeStateStatus, 400, patch(`{"statecode":0,"statuscode":2}`), Options{}),
		coded("property unknown", codeInvalidPayload, 400, patch(`{"nothing":1}`), Options{}),
	})
}
