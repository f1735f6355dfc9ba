package sim

import (
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
)

// batch posts the operations as batch b.
func (x *ruleCall) batch(prefer string, operations ...string) answer {
	x.Helper()
	return x.do("POST", "$batch", crlf(strings.Join(operations, "")+"--b--\n"), `Content-Type: multipart/mixed; boundary="b"`, "Prefer: "+prefer)
}

func TestRulesOfBatch(t *testing.T) {
	t.Parallel()
	one := func(number, body string) string { return batchOperation("b", "", upsertOf(number, body)) }
	member := func(id, number, body string) string { return batchOperation("c", id, upsertOf(number, body)) }
	broken := `{"name":"` + tooLong + `"}`
	runRules(t, []rule{
		{"5 batch: answers in order, multipart with boundary batchresponse_", Options{}, func(x *ruleCall) {
			a := x.batch("", one("1", `{}`), batchOperation("b", "", "GET accounts(accountnumber='1') HTTP/1.1\n")).want(x, 200, "")
			x.is(strings.HasPrefix(a.header.Get("Content-Type"), "multipart/mixed; boundary=batchresponse_"), "%v", a.header)
			x.is(strings.Index(a.body, "204 No Content") < strings.Index(a.body, "200 OK") && strings.Contains(a.body, "200 OK"), "%s", a.body)
		}},
		{"5 batch: without continue-on-error the outer status is the failure's, the rest does not run", Options{}, func(x *ruleCall) {
			a := x.batch("", one("1", `{}`), one("2", broken), one("3", `{}`)).want(x, 400, "")
			x.is(strings.HasPrefix(a.header.Get("Content-Type"), "multipart/mixed") && strings.Count(a.body, "HTTP/1.1 ") == 2, "%s", a.body)
			x.is(exists(x.s, "1") && !exists(x.s, "3"), "the first stays, the third does not run")
		}},
		{"5 batch: with continue-on-error the outer status is 200 and each part has its own", Options{}, func(x *ruleCall) {
			a := x.batch("odata.continue-on-error", one("1", broken), one("2", `{}`)).want(x, 200, "")
			x.holds(a, "HTTP/1.1 400", codeStringTooLong, "HTTP/1.1 204")
		}},
		{"5 batch: a change set is atomic", Options{}, func(x *ruleCall) {
			x.batch("", changeSetOf(member("1", "1", `{}`), member("2", "2", broken))).want(x, 400, "")
			x.is(!exists(x.s, "1"), "half a change set")
			x.batch("", changeSetOf(member("1", "1", `{}`), member("2", "2", `{}`))).want(x, 200, "")
			x.is(exists(x.s, "1") && exists(x.s, "2"), "not written")
		}},
		{"13 batch: a failed change set is one part in a changesetresponse, with the failing Content-ID", Options{}, func(x *ruleCall) {
			a := x.batch("", changeSetOf(member("1", "1", `{}`), member("2", "2", broken)))
			x.holds(a, "boundary=changesetresponse_", "Content-ID: 2")
			x.is(strings.Count(a.body, "HTTP/1.1 ") == 1, "%s", a.body)
		}},
		{"5 batch: $1 refers to an earlier request of the set", Options{}, func(x *ruleCall) {
			create := batchOperation("c", "1", "POST contacts HTTP/1.1\nContent-Type: application/json\n\n{\"lastname\":\"Lee\"}")
			x.batch("", changeSetOf(create, member("2", "1", `{"primarycontactid@odata.bind":"$1"}`))).want(x, 200, "")
			x.is(x.row("accounts(accountnumber='1')")["_primarycontactid_value"] != nil, "not bound")
			x.holds(x.batch("", changeSetOf(member("2", "2", `{"primarycontactid@odata.bind":"$1"}`), create)).want(x, 400, ""), "Content-ID Reference: '$1' does not exist in the batch context.")
		}},
		{"5 batch: no GET in a change set, no batch in a batch", Options{}, func(x *ruleCall) {
			x.batch("", changeSetOf(batchOperation("c", "1", "GET accounts HTTP/1.1\n"))).want(x, 400, "")
			x.batch("", batchOperation("b", "", "POST $batch HTTP/1.1\nContent-Type: multipart/mixed; boundary=x\n\n--x--")).want(x, 400, "")
		}},
		{"5 batch: at most 1,000 requests, else plain JSON", Options{}, func(x *ruleCall) {
			a := x.batch("", strings.Repeat(one("1", `{}`), 1001)).want(x, 400, "")
			x.is(strings.HasPrefix(a.header.Get("Content-Type"), "application/json") && !exists(x.s, "1"), "%s", a.body)
		}},
		{"5 batch: the URL inside is absolute, rooted or relative", Options{}, func(x *ruleCall) {
			for i, root := range []string{x.base + "/api/data/v9.2/", "/api/data/v9.2/", ""} {
				number := string(rune('1' + i))
				x.batch("", strings.Replace(one(number, `{}`), "/api/data/v9.2/", root, 1)).want(x, 200, "")
				x.is(exists(x.s, number), "%s", root)
			}
		}},
		{"5 batch: conditions belong to the request inside", Options{}, func(x *ruleCall) {
			x.batch("", batchOperation("b", "", strings.Replace(upsertOf("1", `{}`), "Content-Type", "If-Match: *\nContent-Type", 1))).want(x, 404, "")
		}},
		{"13 batch: lines end in CRLF, else 400", Options{}, func(x *ruleCall) {
			x.do("POST", "$batch", one("1", `{}`)+"--b--\n", "Content-Type: multipart/mixed; boundary=b").want(x, 400, "")
		}},
	})
}

func TestRulesOfLimitsAndLogins(t *testing.T) {
	t.Parallel()
	throttled := func(facet, code, text string) rule {
		return rule{"6 limits: 429 with code and text, facet " + facet, Options{}, func(x *ruleCall) {
			addRule(x, x.s, Rule{Kind: FaultThrottle, Facet: facet, RetryAfter: "37", Times: 1})
			a := x.get("accounts").want(x, 429, code)
			x.is(a.header.Get("Retry-After") == "37", "%v", a.header)
			x.holds(a, text)
			x.get("accounts").want(x, 200, "")
		}}
	}
	runRules(t, []rule{
		throttled("requests", "0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."),
		throttled("time", "0x80072321", "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds."),
		throttled("concurrency", "0x80072326", "Number of concurrent requests exceeded the limit of 52."),
		{"6 limits: requests of a user in the window; free again after Retry-After, which grows", Options{Limits: &ServiceLimits{Requests: 2}}, func(x *ruleCall) {
			x.get("WhoAmI").want(x, 200, "")
			x.get("WhoAmI").want(x, 200, "")
			x.at.pass(200e9)
			first := x.get("WhoAmI").want(x, 429, "0x80072322").retryAfter(x)
			x.is(first > 90 && first <= 101, "Retry-After %d", first)
			x.is(x.get("WhoAmI").want(x, 429, "").retryAfter(x) >= first, "it shrank")
			x.at.pass(301e9)
			x.get("WhoAmI").want(x, 200, "")
		}},
		{"6 limits: requests at once, refused immediately", Options{Limits: &ServiceLimits{Concurrent: 1}}, func(x *ruleCall) {
			inside, leave := make(chan struct{}), make(chan struct{})
			left := make(chan int, 1)
			// The server asks for a body while the request counts as running.
			ctx := httptrace.WithClientTrace(x.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(inside) }})
			r, err := http.NewRequestWithContext(ctx, "POST", x.base+"/api/data/v9.1/accounts", &gate{open: leave, rest: strings.NewReader(`{}`)})
			if err != nil {
				x.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Expect", "100-continue")
			patient := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: 60e9}}
			x.Cleanup(patient.CloseIdleConnections)
			go func() {
				status := 0
				if resp, err := patient.Do(r); err == nil {
					status = resp.StatusCode
					_ = resp.Body.Close()
				}
				left <- status
			}()
			<-inside
			x.get("WhoAmI").want(x, 429, "0x80072326")
			close(leave)
			x.is(<-left == 204, "the running request failed")
			x.get("WhoAmI").want(x, 200, "")
		}},
		{"6 limits: rate headers, the time with a thousands separator", Options{}, func(x *ruleCall) {
			h := x.get("WhoAmI").header
			x.is(h.Get("x-ms-ratelimit-time-remaining-xrm-requests") == "1,200.00" && h.Get("x-ms-ratelimit-burst-remaining-xrm-requests") == "7999" && h.Get("x-ms-dop-hint") != "", "%v", h)
		}},
		{"6 limits: none on premises", Options{Profile: OnPremises}, func(x *ruleCall) {
			x.is(x.get("WhoAmI").header.Get("x-ms-ratelimit-burst-remaining-xrm-requests") == "", "rate headers")
			if _, err := New(Options{Profile: OnPremises, Limits: &ServiceLimits{}}); err == nil {
				x.Error("limits are taken")
			}
		}},
		{"8 login: client credentials at the token endpoint, accepted until they expire", Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}}, func(x *ruleCall) {
			form := entraForm()
			form.Set("scope", x.base+"/.default")
			var token struct {
				AccessToken string `json:"access_token"`
				ExpiresIn   int    `json:"expires_in"`
			}
			a := x.do("POST", x.base+x.s.auth.tokenPath(), form.Encode(), "Content-Type: application/x-www-form-urlencoded").want(x, 200, "")
			a.decode(x, &token)
			x.is(token.ExpiresIn == 3600 || token.ExpiresIn == 3599, "expires in %d s", token.ExpiresIn)
			x.get("WhoAmI", "Authorization: Bearer "+token.AccessToken).want(x, 200, "")
			x.at.pass(3601e9)
			expired := x.get("WhoAmI", "Authorization: Bearer "+token.AccessToken).want(x, 401, "")
			x.is(strings.Contains(expired.header.Get("WWW-Authenticate"), "error=invalid_token"), "%v", expired.header)
		}},
		{"8 discovery: 401 with authorization_uri and resource_id", Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}}, func(x *ruleCall) {
			got := x.get(x.base+"/api/discovery/?SDKClientVersion=9.1").want(x, 401, "").header.Get("WWW-Authenticate")
			x.is(strings.HasPrefix(got, "Bearer authorization_uri=") && strings.Contains(got, "/oauth2/authorize, resource_id="), "%s", got)
		}},
		{"8 AD FS: password grant with a resource", Options{Profile: OnPremises, Auth: Auth{Method: AuthADFS, ClientID: "native", User: `contoso\svc`, Password: "p&w"}}, func(x *ruleCall) {
			form := adfsForm()
			form.Set("resource", x.base+"/")
			site, err := url.Parse(x.base)
			if err != nil {
				x.Fatal(err)
			}
			x.holds(x.do("POST", "http://"+site.Host+x.s.auth.tokenPath(), form.Encode(), "Content-Type: application/x-www-form-urlencoded").want(x, 200, ""), `"access_token"`)
		}},
		{"8 Windows: a challenge with Negotiate and NTLM", Options{Profile: OnPremises, Auth: Auth{Method: AuthNTLM, User: `contoso\svc`, Password: "p"}}, func(x *ruleCall) {
			got := strings.Join(x.get("WhoAmI").want(x, 401, "").header.Values("WWW-Authenticate"), ",")
			x.is(strings.Contains(got, "NTLM") && strings.Contains(got, "Negotiate"), "%s", got)
		}},
	})
}

// gate is a body that is read when open is closed.
type gate struct {
	open chan struct{}
	rest *strings.Reader
}

func (g *gate) Read(p []byte) (int, error) {
	<-g.open
	return g.rest.Read(p)
}
