package sim

import (
	"bufio"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// requestCorpus are requests of every kind, well-formed and not.
var requestCorpus = []struct{ line, headers, body string }{
	{"GET /api/data/v9.2/", "", ""},
	{"GET /contoso/api/data/v9.1/accounts?$select=name&$top=2", "", ""},
	{"GET /api/data/v9.1/accounts?$select=name&$filter=contains(name,'a') and (revenue gt 5 or not startswith(name,'b'))&$orderby=name desc&$count=true", "Prefer: odata.maxpagesize=1,odata.include-annotations=\"*\"", ""},
	{"GET /api/data/v9.1/accounts?$select=name", "Prefer: odata.track-changes,odata.maxpagesize=1", ""},
	{"GET /api/data/v9.1/accounts?$deltatoken=914000%2108%2f22%2f2025%2008%3a10%3a44", "", ""},
	{"GET /api/data/v9.1/accounts/$count?$deltatoken=1%2108%2f22%2f2025+08%3a10%3a44", "", ""},
	{"GET /api/data/v9.1/accounts?$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%253caccountid%2520last%253d%2522%257b10000000-0000-0000-0000-000000000001%257d%2522%2520first%253d%2522%257b10000000-0000-0000-0000-000000000001%257d%2522%2520%252f%253e%253c%252fcookie%253e%22%20istracking=%22False%22%20/%3E", "", ""},
	{"GET /api/data/v9.1/accounts?$expand=primarycontactid($select=fullname),contact_customer_accounts($filter=lastname eq 'x';$orderby=lastname;$top=1)", "", ""},
	{"GET /api/data/v9.1/accounts(10000000-0000-0000-0000-000000000001)/contact_customer_accounts?$select=lastname", "", ""},
	{"PATCH /api/data/v9.1/accounts(accountnumber='A%20''1')", "Prefer: return=representation", `{"name":"n","revenue":1.5,"primarycontactid@odata.bind":"/contacts(10000000-0000-0000-0000-000000000002)"}`},
	{"PATCH /api/data/v9.1/accounts(10000000-0000-0000-0000-000000000001)", "If-Match: W/\"914005\"", `{"parentaccountid":null,"statecode":1,"new_channels":"1,9","lastusedincampaign":"2025-01-05"}`},
	{"POST /api/data/v9.1/accounts", "MSCRMCallerID: 10000000-0000-0000-0000-000000000002", `{"accountid":"10000000-0000-0000-0000-000000000003","ownerid@odata.bind":"systemusers(10000000-0000-0000-0000-000000000002)"}`},
	{"DELETE /api/data/v9.1/accounts(10000000-0000-0000-0000-000000000001)/primarycontactid/$ref", "", ""},
	{"POST /api/data/v9.1/accounts(10000000-0000-0000-0000-000000000001)/contact_customer_accounts/$ref", "", `{"@odata.id":"contacts(10000000-0000-0000-0000-000000000002)"}`},
	{"PUT /api/data/v9.1/accounts(10000000-0000-0000-0000-000000000001)/name", "", `{"value":"x"}`},
	{"POST /api/data/v9.2/accounts/Microsoft.Dynamics.CRM.UpsertMultiple", "", `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","@odata.id":"accounts(accountnumber='1')","name":"x"}]}`},
	{"GET /api/data/v9.1/EntityDefinitions(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet", "", ""},
	{"GET /api/data/v9.1/EntityDefinitions?$select=LogicalName&$filter=ChangeTrackingEnabled eq true", "Consistency: Strong", ""},
	{"POST /api/data/v9.1/EntityDefinitions(LogicalName='account')/Keys", "", `{"SchemaName":"new_K","KeyAttributes":["name"]}`},
	{"GET /api/data/v9.1/$metadata?annotations=true", "Accept: application/xml", ""},
	{"GET /api/data/v9.1/WhoAmI()", "", ""},
	{"GET /api/data/v9.1/RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'", "", ""},
	{"POST /api/data/v9.1/$batch", "Content-Type: multipart/mixed; boundary=b", "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET /api/data/v9.1/accounts HTTP/1.1\r\n\r\n\r\n--b--\r\n"},
	{"POST /api/data/v9.1/$batch", "Content-Type: multipart/mixed; boundary=b", "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 1\r\n\r\nPOST /api/data/v9.1/contacts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{\"lastname\":\"x\"}\r\n--c--\r\n--b--\r\n"},
	{"GET /sim/log?from=1", "", ""},
	{"GET /sim/stats", "", ""},
	{"POST /sim/tables/account/drop-column", "", `{"column":"fax"}`},
	{"POST /sim/tables/account/hold", "", `{"id":"10000000-0000-0000-0000-000000000001","columns":{"name":"x"}}`},
	{"POST /sim/snapshots", "", ""},
	{"GET /api/data/v9.1/accounts(accountnumber='%2f')", "", ""},
	{"OPTIONS *", "", ""},
	{"GET /api/data/v9.9/accounts", "", ""},
	{"PATCH /api/data/v9.1/accounts(new_erpnumber=@k)?@k='x'", "", `{}`},
	{"POST /api/data/v9.1/accounts", "Content-Type: text/plain", `{"name":`},
	{"POST /api/data/v9.1/accounts", "", `{"name":"\ud800","revenue":1e999,"name":"twice"}`},
}

// rawRequest is the request as bytes. Blanks in the URL are encoded, and a body
// has its length, so that most mutations get past net/http.
func rawRequest(line, headers, body string) string {
	method, target, _ := strings.Cut(line, " ")
	b := method + " " + strings.ReplaceAll(target, " ", "%20") + " HTTP/1.1\r\nHost: org.example\r\n"
	if headers != "" {
		b += headers + "\r\n"
	}
	if body != "" {
		b += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
		if !strings.Contains(headers, "Content-Type") {
			b += "Content-Type: application/json\r\n"
		}
	}
	return b + "\r\n" + body
}

// FuzzRequest: whatever is sent, the simulator answers like a Web API: it neither
// panics nor fails with a 5xx other than 501, and what it calls JSON is JSON.
func FuzzRequest(f *testing.F) {
	for _, c := range requestCorpus {
		f.Add(c.line, c.headers, c.body, strings.Contains(c.line, "/contoso/"))
	}
	tables, err := DefaultSchema()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line, headers, body string, onPremises bool) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(rawRequest(line, headers, body))))
		if err != nil {
			return // net/http answers this itself
		}
		if strings.Contains(r.URL.Path, "faults") {
			return // a scripted fault may do all that is forbidden here
		}
		o := Options{Tables: tables}
		if onPremises {
			o.Profile = OnPremises
		}
		s := newTestServer(t, o)
		mustInsert(t, s, "contact", map[string]any{"contactid": testID(2), "lastname": "Lee", "parentcustomerid_account@odata.bind": nil})
		mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "name": "n", "primarycontactid@odata.bind": "contacts(" + testID(2) + ")"})
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented || w.Code < 200 {
			t.Fatalf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && w.Body.Len() > 0 {
			var v any
			if err := json.NewDecoder(w.Body).Decode(&v); err != nil {
				t.Fatalf("%s %s: %d with broken JSON: %v", r.Method, r.URL, w.Code, err)
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
}

func TestTheCorpusIsAnsweredAsMeant(t *testing.T) {
	t.Parallel()
	// A corpus of which most requests are refused would fuzz only the refusals.
	good := 0
	for _, c := range requestCorpus {
		s := newTestServer(t, Options{})
		mustInsert(t, s, "contact", map[string]any{"contactid": testID(2), "lastname": "Lee"})
		mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "name": "n"})
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(rawRequest(c.line, c.headers, c.body))))
		if err != nil {
			continue
		}
		w := httptest.NewRecorder()
		if s.Handler().ServeHTTP(w, r); w.Code < 300 {
			good++
		} else {
			t.Logf("%s: %d", c.line, w.Code)
		}
	}
	if good < len(requestCorpus)*2/3 {
		t.Errorf("only %d of %d requests succeed", good, len(requestCorpus))
	}
}

// spices are texts that mean something somewhere in a request.
var spices = []string{
	"", "'", "''", "(", ")", "((", "%", "%00", "%ff", "%2e%2e", "/", "//", "$", "$ref", "/$ref", "/$count", "$1", "@", "@odata.bind", "@odata.id", ",", ";", "=", "&", "null", "true", "-1",
	"9223372036854775808", "1e400", "{", "}", "[", "]", "\"", "\\u0000", ":", " eq ", " and ", "not ", "in", "*", "W/\"1\"", "accounts", "contacts", "accountid", "_primarycontactid_value",
	"primarycontactid", "contact_customer_accounts", "EntityDefinitions", "10000000-0000-0000-0000-000000000001", "Microsoft.Dynamics.CRM.", "$expand=", "$select=", "$filter=", "$skiptoken=", "$deltatoken=", "1!1", "\r\n", "--b",
}

// mutate changes a text in a few places.
func mutate(rng *rand.Rand, s string) string {
	for range rng.IntN(4) {
		at := rng.IntN(len(s) + 1)
		end := at + rng.IntN(min(8, len(s)-at)+1)
		s = s[:at] + spices[rng.IntN(len(spices))] + s[end:]
	}
	return s
}

// The seeds of the fuzz target, mutated in a way that is the same in every run.
func TestMutatedRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	const rounds = 4000
	rng := rand.New(rand.NewPCG(1, 2))
	s := newTestServer(t, Options{})
	mustInsert(t, s, "contact", map[string]any{"contactid": testID(2), "lastname": "Lee"})
	mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "name": "n", "primarycontactid@odata.bind": "contacts(" + testID(2) + ")"})
	answered := map[int]int{}
	for range rounds {
		c := requestCorpus[rng.IntN(len(requestCorpus))]
		raw := rawRequest(mutate(rng, c.line), mutate(rng, c.headers), mutate(rng, c.body))
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil || strings.HasPrefix(r.URL.Path, "/sim/faults") || strings.HasSuffix(r.URL.Path, "/faults") {
			continue
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		answered[w.Code]++
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Fatalf("%q: %d %s", raw, w.Code, w.Body)
		}
	}
	if answered[200] < rounds/50 || answered[400] < rounds/50 {
		t.Errorf("the mutations are too tame or too wild: %v", answered)
	}
}
