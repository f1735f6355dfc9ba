package webapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

func upsertAccount() *schema.Write {
	return &schema.Write{
		Operation: schema.OpUpsert, Table: "account", EntitySet: "accounts",
		Key:       []schema.KeyPart{{Column: "accountnumber", Value: json.RawMessage(`"A 1"`)}},
		Predicate: "accountnumber='A%201'", Body: json.RawMessage(`{"name":"Fabrikam"}`),
	}
}

func applyError(c *Client, ctx context.Context, w *schema.Write) error {
	_, err := c.Apply(ctx, w)
	return err
}

// script answers requests one after another and keeps what it was sent.
type script struct {
	t       *testing.T
	answers []scripted
	seen    []string
}

type scripted struct {
	status int
	header map[string]string
	body   string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	line := r.Method + " " + strings.TrimPrefix(r.RequestURI, "/api/data/v9.2/")
	for _, name := range []string{"If-Match", "If-None-Match", "Prefer"} {
		if v := r.Header.Get(name); v != "" {
			line += " " + name + ":" + v
		}
	}
	s.seen = append(s.seen, line+" "+string(body))
	if len(s.seen) > len(s.answers) {
		s.t.Errorf("an unexpected request: %s", line)
		w.WriteHeader(500)
		return
	}
	a := s.answers[len(s.seen)-1]
	w.Header().Set("OData-Version", "4.0")
	if a.body != "" {
		w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

var (
	noContent   = scripted{status: 204}
	missingSelf = scripted{status: 404, body: apiError("0x80060891", "A record with the specified key values does not exist in account entity")}
	missingBind = scripted{status: 404, body: apiError("0x80060891", "A record with the specified key values does not exist in contact entity")}
	exists412   = scripted{status: 412, body: apiError("", "A record with matching key values already exists.")}
	duplicate   = scripted{status: 412, body: apiError("0x80060892", "Entity Key Number violated.")}
)

const (
	upsertLine = `PATCH accounts(accountnumber='A%201') {"name":"Fabrikam"}`
	updateLine = `PATCH accounts(accountnumber='A%201') If-Match:* {"name":"Fabrikam"}`
	createLine = `PATCH accounts(accountnumber='A%201') If-None-Match:* {"name":"Fabrikam"}`
	onNewLine  = `PATCH accounts(accountnumber='A%201') If-None-Match:* {"name":"Fabrikam","x":1}`
)

func TestApply(t *testing.T) {
	t.Parallel()
	operation := func(o schema.Operation) func(*schema.Write) { return func(w *schema.Write) { w.Operation = o } }
	update, create := operation(schema.OpUpdate), operation(schema.OpCreate)
	remove := func(w *schema.Write) { w.Operation, w.Body = schema.OpDelete, nil }
	onCreate := func(w *schema.Write) { w.OnCreate = json.RawMessage(`{"name":"Fabrikam","x":1}`) }
	wantResult := func(w *schema.Write) { w.WantResult = true }
	binding := func(target string) func(*schema.Write) {
		return func(w *schema.Write) {
			w.Operation, w.Body = schema.OpUpdate, json.RawMessage(`{"x@odata.bind":"/`+target+`(n='1')"}`)
		}
	}
	byID := func(w *schema.Write) { w.Key, w.ID, w.Predicate = nil, guid1, guid1 }
	const wantPath = `PATCH accounts(accountnumber='A%201')?$select=versionnumber Prefer:return=representation {"name":"Fabrikam"}`
	const boundLine = `PATCH accounts(accountnumber='A%201') If-Match:* {"x@odata.bind":"/accounts(n='1')"}`
	const getLine = `GET accounts(accountnumber='A%201')?$select=accountnumber `

	for name, c := range map[string]struct {
		change  []func(*schema.Write)
		answers []scripted
		seen    []string
		result  schema.Result
		fails   string // "verdict reason"
	}{
		"upsert": {nil, []scripted{noContent}, []string{upsertLine}, schema.Result{Effect: schema.EffectWritten}, ""},
		"upsert by id": {[]func(*schema.Write){byID}, []scripted{{status: 204, header: map[string]string{"OData-EntityId": "http://x/api/data/v9.2/accounts(" + strings.ToUpper(guid1) + ")"}}},
			[]string{"PATCH accounts(" + guid1 + `) {"name":"Fabrikam"}`}, schema.Result{Effect: schema.EffectWritten, ID: guid1}, ""},
		"upsert, key echoed": {nil, []scripted{{status: 204, header: map[string]string{"OData-EntityId": "http://x/api/data/v9.2/accounts(accountnumber='A%201')"}}},
			[]string{upsertLine}, schema.Result{Effect: schema.EffectWritten}, ""},
		"created, with result": {[]func(*schema.Write){wantResult}, []scripted{{status: 201, body: `{"@odata.etag":"W/\"77\"","versionnumber":77,"accountid":"` + strings.ToUpper(guid1) + `"}`}},
			[]string{wantPath}, schema.Result{Effect: schema.EffectCreated, ID: guid1, Version: 77}, ""},
		"updated, with result": {[]func(*schema.Write){wantResult}, []scripted{{status: 200, header: map[string]string{"ETag": `W/"78"`}, body: `{"activityid":"` + guid2 + `"}`}},
			[]string{wantPath}, schema.Result{Effect: schema.EffectUpdated, ID: guid2, Version: 78}, ""},
		"a result with an odd id": {[]func(*schema.Write){wantResult}, []scripted{{status: 200, body: `{"@odata.etag":"W/\"79\"","systemuserid":"` + guid3 + `","_x_value":"` + guid1 + `"}`}},
			[]string{wantPath}, schema.Result{Effect: schema.EffectUpdated, ID: guid3, Version: 79}, ""},
		"a result without id": {[]func(*schema.Write){wantResult}, []scripted{{status: 200, body: `{"a":"` + guid1 + `","b":"` + guid2 + `"}`}},
			[]string{wantPath}, schema.Result{Effect: schema.EffectUpdated}, ""},
		"update":               {[]func(*schema.Write){update}, []scripted{noContent}, []string{updateLine}, schema.Result{Effect: schema.EffectUpdated}, ""},
		"update of nothing":    {[]func(*schema.Write){update}, []scripted{missingSelf}, []string{updateLine}, schema.Result{}, "reject not_found"},
		"create":               {[]func(*schema.Write){create}, []scripted{noContent}, []string{createLine}, schema.Result{Effect: schema.EffectCreated}, ""},
		"create of a known":    {[]func(*schema.Write){create}, []scripted{exists412}, []string{createLine}, schema.Result{}, "reject duplicate"},
		"create, race":         {[]func(*schema.Write){create}, []scripted{duplicate}, []string{createLine}, schema.Result{}, "reject duplicate"},
		"delete":               {[]func(*schema.Write){remove}, []scripted{noContent}, []string{"DELETE accounts(accountnumber='A%201') "}, schema.Result{Effect: schema.EffectDeleted}, ""},
		"delete of nothing":    {[]func(*schema.Write){remove}, []scripted{missingSelf}, []string{"DELETE accounts(accountnumber='A%201') "}, schema.Result{Effect: schema.EffectAbsent}, ""},
		"delete, empty 404":    {[]func(*schema.Write){remove}, []scripted{{status: 404, body: apiError("", "")}}, []string{"DELETE accounts(accountnumber='A%201') "}, schema.Result{}, "reject not_found"},
		"delete, page of 404":  {[]func(*schema.Write){remove}, []scripted{{status: 404, body: "<html/>"}}, []string{"DELETE accounts(accountnumber='A%201') "}, schema.Result{}, "retry bad_answer"},
		"delete answered 200":  {[]func(*schema.Write){remove}, []scripted{{status: 200, body: "{}"}}, []string{"DELETE accounts(accountnumber='A%201') "}, schema.Result{}, "retry bad_answer"},
		"upsert race":          {nil, []scripted{duplicate}, []string{upsertLine}, schema.Result{}, "retry-race duplicate"},
		"missing reference":    {nil, []scripted{missingBind}, []string{upsertLine}, schema.Result{}, "park missing_reference"},
		"missing in own table": {nil, []scripted{missingSelf}, []string{upsertLine}, schema.Result{}, "park missing_reference"},

		"on_create, existing": {[]func(*schema.Write){onCreate}, []scripted{noContent}, []string{updateLine}, schema.Result{Effect: schema.EffectUpdated}, ""},
		"on_create, new":      {[]func(*schema.Write){onCreate}, []scripted{missingSelf, noContent}, []string{updateLine, onNewLine}, schema.Result{Effect: schema.EffectCreated}, ""},
		"on_create, race": {[]func(*schema.Write){onCreate}, []scripted{missingSelf, exists412, noContent}, []string{updateLine, onNewLine, updateLine},
			schema.Result{Effect: schema.EffectUpdated}, ""},
		"on_create, another key": {[]func(*schema.Write){onCreate}, []scripted{missingSelf, duplicate, missingSelf, duplicate, missingSelf, duplicate},
			[]string{updateLine, onNewLine, updateLine, onNewLine, updateLine, onNewLine}, schema.Result{}, "retry-race duplicate"},
		"on_create, missing reference": {[]func(*schema.Write){onCreate}, []scripted{missingSelf, missingBind}, []string{updateLine, onNewLine}, schema.Result{}, "park missing_reference"},

		"update, reference elsewhere": {[]func(*schema.Write){binding("contacts")}, []scripted{missingBind},
			[]string{strings.Replace(boundLine, "/accounts", "/contacts", 1)}, schema.Result{}, "park missing_reference"},
		"update, self missing, reference elsewhere": {[]func(*schema.Write){binding("contacts")}, []scripted{missingSelf},
			[]string{strings.Replace(boundLine, "/accounts", "/contacts", 1)}, schema.Result{}, "reject not_found"},
		"update, self or own reference, self there": {[]func(*schema.Write){binding("accounts")}, []scripted{missingSelf, {status: 200, body: `{"accountnumber":"A 1"}`}},
			[]string{boundLine, getLine}, schema.Result{}, "park missing_reference"},
		"update, self or own reference, self gone": {[]func(*schema.Write){binding("accounts")}, []scripted{missingSelf, missingSelf},
			[]string{boundLine, getLine}, schema.Result{}, "reject not_found"},
		"update, self or own reference, nobody says": {[]func(*schema.Write){binding("accounts")}, []scripted{missingSelf, {status: 500}},
			[]string{boundLine, getLine}, schema.Result{}, "retry server"},
		"update, no text": {[]func(*schema.Write){binding("contacts")}, []scripted{{status: 404, body: apiError("", "")}, {status: 200, body: `{"accountnumber":"A 1"}`}},
			[]string{strings.Replace(boundLine, "/accounts", "/contacts", 1), getLine}, schema.Result{}, "park missing_reference"},
		"update by id, the other id": {[]func(*schema.Write){binding("accounts"), byID}, []scripted{{status: 404, body: apiError("0x80040217", "account With Id = "+guid2+" Does Not Exist")}},
			[]string{strings.Replace(boundLine, "accountnumber='A%201'", guid1, 1)}, schema.Result{}, "park missing_reference"},
		"update by id, its own id": {[]func(*schema.Write){binding("accounts"), byID}, []scripted{{status: 404, body: apiError("0x80040217", "Entity 'Account' With Id = "+guid1+" Does Not Exist")}},
			[]string{strings.Replace(boundLine, "accountnumber='A%201'", guid1, 1)}, schema.Result{}, "reject not_found"},

		"204 of something else": {nil, []scripted{{status: 204, header: map[string]string{"OData-Version": ""}}}, []string{upsertLine}, schema.Result{}, "retry bad_answer"},
		"200 of a login page":   {nil, []scripted{{status: 200, header: map[string]string{"Content-Type": "text/html"}, body: "<html/>"}}, []string{upsertLine}, schema.Result{}, "retry bad_answer"},
		"200 without a body":    {nil, []scripted{{status: 200}}, []string{upsertLine}, schema.Result{}, "retry bad_answer"},
		"200 with an error":     {nil, []scripted{{status: 200, body: apiError("0x80040216", "x")}}, []string{upsertLine}, schema.Result{}, "retry bad_answer"},
		"202":                   {nil, []scripted{{status: 202, body: "{}"}}, []string{upsertLine}, schema.Result{}, "retry bad_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{t: t, answers: c.answers}
			client, _ := newTestClient(t, s)
			w := upsertAccount()
			for _, f := range c.change {
				f(w)
			}
			got, err := client.Apply(t.Context(), w)
			c.result.Requests = len(c.seen)
			if diff := cmp.Diff(c.result, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.seen, s.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			switch e := outcome.Of(err); {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "" && e == nil:
				t.Errorf("no verdict: %v", err)
			case c.fails != "":
				wantVerdict(t, name, e, c.fails)
				last := c.answers[len(c.answers)-1]
				if want := e.Status >= 200 && e.Status < 300; e.Ambiguous != want {
					t.Errorf("ambiguous %t after %d", e.Ambiguous, last.status)
				}
			}
		})
	}
}

func TestApplyRefusesAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	c, _ := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }))
	for name, change := range map[string]func(*schema.Write){
		"no predicate":         func(w *schema.Write) { w.Predicate = "" },
		"a slash":              func(w *schema.Write) { w.Predicate = "a='b/c'" },
		"a climb":              func(w *schema.Write) { w.Predicate = "a=1)/../contacts(b=2" },
		"an encoded climb":     func(w *schema.Write) { w.Predicate = "a=1)%2f..%2fcontacts(b=2" },
		"a query":              func(w *schema.Write) { w.Predicate = "a=1)?$filter=x" },
		"a fragment":           func(w *schema.Write) { w.Predicate = "a=1#" },
		"a blank":              func(w *schema.Write) { w.Predicate = "a='b c'" },
		"a line break":         func(w *schema.Write) { w.Predicate = "a='b'\r\nHost: x" },
		"a bad escape":         func(w *schema.Write) { w.Predicate = "a='%zz'" },
		"an entity set path":   func(w *schema.Write) { w.EntitySet = "accounts(1)/contacts" },
		"no entity set":        func(w *schema.Write) { w.EntitySet = "" },
		"no table":             func(w *schema.Write) { w.Table = "" },
		"no body":              func(w *schema.Write) { w.Body = nil },
		"an unknown operation": func(w *schema.Write) { w.Operation = "merge" },
	} {
		w := upsertAccount()
		change(w)
		result, err := c.Apply(t.Context(), w)
		if e := outcome.Of(err); e == nil || e.Ambiguous || result.Requests != 0 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
}

func TestIDInURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"": "", "https://x/api/data/v9.2/accounts(" + guid1 + ")": guid1, "accounts(" + strings.ToUpper(guid1) + ")": guid1,
		"https://x/accounts(accountnumber='" + guid1 + "')": "", "https://x/accounts": "", "x)(": "", "(" + guid1: guid1,
	} {
		if got := idInURL(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

// FuzzResult feeds arbitrary answers to the reader of write results: it must not
// panic, and what it accepts must be a plausible result.
func FuzzResult(f *testing.F) {
	f.Add(204, "4.0", "accounts("+guid1+")", `W/"1"`, "")
	f.Add(201, "4.0", "", "", `{"accountid":"`+guid1+`","versionnumber":7}`)
	f.Fuzz(func(t *testing.T, status int, version, entity, etag, body string) {
		header := http.Header{"Odata-Version": {version}, "Odata-Entityid": {entity}, "Etag": {etag}}
		for _, op := range []string{opUpsert, opCreate, opUpdate, opDelete} {
			r, err := readResult(op, "account", status, header, strings.NewReader(body))
			if err != nil {
				if r != (schema.Result{}) {
					t.Fatalf("an error and a result: %+v", r)
				}
				continue
			}
			if r.Effect == "" || r.Version < 0 || r.ID != "" && (!schema.IsGUID(r.ID) || r.ID != strings.ToLower(r.ID)) {
				t.Fatalf("%+v", r)
			}
			if status == 204 && version == "" && entity == "" || status != 204 && !json.Valid([]byte(strings.TrimPrefix(body, string(bom)))) {
				t.Fatalf("accepted %d %q", status, body)
			}
		}
	})
}
