package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
)

// ring is one call that an endpoint received.
type ring struct {
	header http.Header
	query  string
	body   map[string]any
	size   int
}

// endpoint is a place for webhooks to call, without a network.
type endpoint struct {
	mu     sync.Mutex
	rings  []ring
	answer func(n int, r *http.Request) (*http.Response, error) // nil: 202
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	got := ring{header: r.Header, query: r.URL.RawQuery, size: len(raw)}
	if err := json.Unmarshal(raw, &got.body); err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.rings = append(e.rings, got)
	n := len(e.rings)
	e.mu.Unlock()
	if e.answer != nil {
		return e.answer(n, r)
	}
	return answerStatus(http.StatusAccepted)(n, r)
}

func answerStatus(status int) func(int, *http.Request) (*http.Response, error) {
	return func(_ int, r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	}
}

func (e *endpoint) all() []ring {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]ring(nil), e.rings...)
}

// messages lists what was rung about, for calls whose order does not matter.
func (e *endpoint) messages() map[string]int {
	counts := map[string]int{}
	for _, r := range e.all() {
		counts[r.header["x-ms-dynamics-request-name"][0]+" "+r.header["x-ms-dynamics-entity-name"][0]]++
	}
	return counts
}

// register makes an endpoint and a step through the Web API, as a tool would: it
// looks up message and filter first.
func register(t failer, s *Server, message, table, more string) {
	t.Helper()
	send(t, s, http.MethodPatch, "serviceendpoints("+testID(900)+")",
		`{"name":"Doorbell","contract":8,"url":"https://bell.contoso.example/ring?a=b","authtype":4,"authvalue":"s3cret value"}`).want(t, http.StatusNoContent, "")
	addStep(t, s, message, table, more).want(t, http.StatusNoContent, "")
}

func addStep(t failer, s *Server, message, table, more string) answer {
	t.Helper()
	found := send(t, s, http.MethodGet, "sdkmessages?$select=sdkmessageid&$filter=name eq '"+message+"'", "").page(t).Value
	if len(found) != 1 {
		t.Fatalf("%d messages %s", len(found), message)
	}
	id, _ := found[0]["sdkmessageid"].(string)
	filter := ""
	if table != "" {
		found = send(t, s, http.MethodGet, "sdkmessagefilters?$filter=_sdkmessageid_value eq "+id+" and primaryobjecttypecode eq '"+table+"'", "").page(t).Value
		if len(found) != 1 {
			t.Fatalf("%d filters of %s %s", len(found), message, table)
		}
		filterID, _ := found[0]["sdkmessagefilterid"].(string)
		filter = `,"sdkmessagefilterid@odata.bind":"/sdkmessagefilters(` + filterID + `)"`
	}
	return send(t, s, http.MethodPost, "sdkmessageprocessingsteps", `{"name":"Ring","mode":1,"stage":40,"rank":1,"supporteddeployment":0,"asyncautodelete":true,
		"sdkmessageid@odata.bind":"/sdkmessages(`+id+`)","eventhandler_serviceendpoint@odata.bind":"/serviceendpoints(`+testID(900)+`)"`+filter+more+`}`)
}

func hookServer(t *testing.T, e *endpoint) *Server {
	t.Helper()
	return newTestServer(t, Options{WebhookTransport: e})
}

func TestARegisteredWebhookIsReallyCalledOverTheNetwork(t *testing.T) {
	t.Parallel()
	e := &endpoint{}
	bell := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := e.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		w.WriteHeader(resp.StatusCode)
	}))
	t.Cleanup(bell.Close)
	s := newTestServer(t, Options{})
	register(t, s, "Create", "account", "")
	send(t, s, http.MethodPatch, "serviceendpoints("+testID(900)+")", `{"url":"`+bell.URL+`/ring"}`).want(t, http.StatusNoContent, "")
	send(t, s, http.MethodPost, "accounts", `{"name":"Aster Ltd"}`).want(t, http.StatusNoContent, "")
	s.WaitWebhooks()
	rings := e.all()
	if len(rings) != 1 || s.Webhooks() != (WebhookStats{Sent: 1}) {
		t.Fatalf("%d calls, %+v", len(rings), s.Webhooks())
	}
	if got := rings[0].header.Get("X-Ms-Dynamics-Entity-Name"); got != "account" || rings[0].query != "code=s3cret+value" {
		t.Errorf("entity %q, query %q", got, rings[0].query)
	}
}

func TestACallCarriesTheExecutionContextAndHeadersOfTheGuide(t *testing.T) {
	t.Parallel()
	e := &endpoint{}
	s := hookServer(t, e)
	register(t, s, "Update", "account", "")
	contact := mustInsert(t, s, "contact", map[string]any{"lastname": "Lee"})
	id := mustInsert(t, s, "account", map[string]any{"name": "Aster", "telephone1": "1"})
	request := "6f9619ff-8b86-d011-b42d-00c04fc964ff"
	send(t, s, http.MethodPatch, "accounts("+id+")", `{"name":"Aster Ltd","industrycode":3,"revenue":12.5,"telephone1":null,"lastusedincampaign":"2025-01-05",
		"primarycontactid@odata.bind":"/contacts(`+contact+`)"}`, "x-ms-client-request-id: "+request).want(t, http.StatusNoContent, "")
	s.WaitWebhooks()
	rings := e.all()
	if len(rings) != 1 {
		t.Fatalf("%d calls, want 1", len(rings))
	}
	r := rings[0]
	for name, want := range map[string]string{
		"x-ms-dynamics-organization": "contoso.crm4.dynamics.com", "x-ms-dynamics-entity-name": "account",
		"x-ms-dynamics-request-name": "Update", "x-ms-correlation-request-id": request,
	} {
		if got := r.header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.header["x-ms-dynamics-msg-size-exceeded"] != nil || r.query != "a=b&code=s3cret+value" {
		t.Errorf("size header %v, query %q", r.header["x-ms-dynamics-msg-size-exceeded"], r.query)
	}
	for name, want := range map[string]any{
		"MessageName": "Update", "PrimaryEntityName": "account", "PrimaryEntityId": id, "Stage": 40.0, "Mode": 1.0, "Depth": 1.0,
		"OrganizationName": "contoso", "OperationCreatedOn": "/Date(1755850244000+0000)/", "UserId": wellKnown.user.String(),
	} {
		if r.body[name] != want {
			t.Errorf("%s: %v, want %v", name, r.body[name], want)
		}
	}
	attributes := targetAttributes(t, r)
	want := map[string]string{
		"accountid": `"` + id + `"`, "name": `"Aster Ltd"`, "telephone1": "null", "lastusedincampaign": `"/Date(1736035200000)/"`,
		"industrycode": `{"Value":3,"__type":"OptionSetValue:http://schemas.microsoft.com/xrm/2011/Contracts"}`,
		"revenue":      `{"Value":12.5,"__type":"Money:http://schemas.microsoft.com/xrm/2011/Contracts"}`,
		"modifiedon":   `"/Date(1755850244000)/"`,
	}
	for name, text := range want {
		if attributes[name] != text {
			t.Errorf("%s: %s, want %s", name, attributes[name], text)
		}
	}
	if !strings.Contains(attributes["primarycontactid"], contact) || !strings.Contains(attributes["primarycontactid"], `"LogicalName":"contact"`) {
		t.Errorf("primarycontactid: %s", attributes["primarycontactid"])
	}
	if attributes["createdon"] != "" {
		t.Error("Target holds a column that the request did not write")
	}
}

// targetAttributes renders the attributes of Target.
func targetAttributes(t failer, r ring) map[string]string {
	t.Helper()
	raw, err := json.Marshal(r.body)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		InputParameters []struct {
			Key   string `json:"key"`
			Value struct {
				Attributes []struct {
					Key   string `json:"key"`
					Value any    `json:"value"`
				}
			} `json:"value"`
		}
	}
	if err := json.Unmarshal(raw, &body); err != nil || len(body.InputParameters) != 1 || body.InputParameters[0].Key != "Target" {
		t.Fatalf("no Target (%v): %s", err, raw)
	}
	out := map[string]string{}
	for _, a := range body.InputParameters[0].Value.Attributes {
		text, err := json.Marshal(a.Value)
		if err != nil {
			t.Fatal(err)
		}
		out[a.Key] = string(text)
	}
	return out
}

func TestTheBodyIsThatOfTheDataContractSerializer(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"websiteurl": "http://contoso.example/a", "new_channels": "1,9"})
	tab, err := s.table("account")
	if err != nil {
		t.Fatal(err)
	}
	found, e := tab.rows, false
	for rid, r := range found {
		if rid.String() != id {
			continue
		}
		e = true
		body, exceeded := s.executionContext(hookCall{step: &hookStep{}, message: messageCreate, def: tab.def.Load(), row: r, at: epoch})
		for _, want := range []string{
			`"__type":"Entity:http:\/\/schemas.microsoft.com\/xrm\/2011\/Contracts"`, `"\/Date(1755850244000)\/"`,
			`"http:\/\/contoso.example\/a"`, `{"key":"new_channels","value":[{"Value":1},{"Value":9}]}`, `"OutputParameters":[{"key":"id","value":"` + id + `"}]`,
		} {
			if !strings.Contains(string(body), want) {
				t.Errorf("no %s in %s", want, body)
			}
		}
		if exceeded || !json.Valid(body) {
			t.Errorf("exceeded %v, valid %v", exceeded, json.Valid(body))
		}
	}
	if !e {
		t.Fatal("no such row")
	}
}

func TestStepsRingForTheirMessageTableAndColumnsOnly(t *testing.T) {
	t.Parallel()
	e := &endpoint{}
	s := hookServer(t, e)
	register(t, s, "Create", "account", "")
	addStep(t, s, "Update", "account", `,"filteringattributes":"name, telephone1"`).want(t, http.StatusNoContent, "")
	addStep(t, s, "Delete", "", "").want(t, http.StatusNoContent, "")
	id := mustInsert(t, s, "account", map[string]any{"name": "a"})
	contact := mustInsert(t, s, "contact", map[string]any{"lastname": "b"})
	for _, body := range []map[string]any{{"fax": "1"}, {"name": "a"}, {"telephone1": nil, "fax": "2"}} {
		if err := s.Update("account", id, body); err != nil {
			t.Fatal(err)
		}
	}
	send(t, s, http.MethodPatch, "accounts("+testID(5)+")", `{"fax":"9"}`).want(t, http.StatusNoContent, "") // creates
	send(t, s, http.MethodPatch, "accounts("+testID(5)+")", `{"revenue":"x"}`).want(t, http.StatusBadRequest, "")
	for table, id := range map[string]string{"account": id, "contact": contact} {
		if err := s.Delete(table, id); err != nil {
			t.Fatal(err)
		}
	}
	s.WaitWebhooks()
	want := map[string]int{"Create account": 2, "Update account": 2, "Delete account": 1, "Delete contact": 1}
	got := e.messages()
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d calls, want %d", k, got[k], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("calls %v", got)
	}
}

func TestOnlyAChangeSetThatSucceedsRings(t *testing.T) {
	t.Parallel()
	e := &endpoint{}
	s := hookServer(t, e)
	register(t, s, "Create", "account", "")
	for _, fail := range []bool{true, false} {
		err := s.atomically(func(h http.Handler) error {
			sendTo(h, http.MethodPost, "accounts", `{"name":"x"}`).want(t, http.StatusNoContent, "")
			if fail {
				return errors.New("no")
			}
			return nil
		})
		if (err != nil) != fail {
			t.Fatal(err)
		}
		s.WaitWebhooks()
		if got := len(e.all()) > 0; got == fail {
			t.Errorf("failed %v: rang %v", fail, got)
		}
	}
}

func TestADisabledOrDeletedStepIsSilentAndSoIsARolledBackOne(t *testing.T) {
	t.Parallel()
	e := &endpoint{}
	s := hookServer(t, e)
	insert := func() int {
		before := len(e.all())
		mustInsert(t, s, "account", nil)
		s.WaitWebhooks()
		return len(e.all()) - before
	}
	if err := s.atomically(func(h http.Handler) error {
		sendTo(h, http.MethodPatch, "serviceendpoints("+testID(900)+")", `{"contract":8,"url":"https://x.contoso.example","authtype":4,"authvalue":"k"}`).want(t, http.StatusNoContent, "")
		sendTo(h, http.MethodPost, "sdkmessageprocessingsteps", `{"mode":1,"stage":40,"sdkmessageid@odata.bind":"/sdkmessages(`+messageID("Create").String()+`)",
			"eventhandler_serviceendpoint@odata.bind":"/serviceendpoints(`+testID(900)+`)"}`).want(t, http.StatusNoContent, "")
		return errors.New("no")
	}); err == nil {
		t.Fatal("it succeeded")
	}
	if insert() != 0 {
		t.Error("a step that was rolled back rang")
	}
	register(t, s, "Create", "account", "")
	if insert() != 1 {
		t.Error("the step did not ring")
	}
	step, _ := send(t, s, http.MethodGet, "sdkmessageprocessingsteps?$select=name", "").page(t).Value[0]["sdkmessageprocessingstepid"].(string)
	send(t, s, http.MethodPatch, "sdkmessageprocessingsteps("+step+")", `{"statecode":1}`).want(t, http.StatusNoContent, "")
	if insert() != 0 {
		t.Error("a disabled step rang")
	}
	send(t, s, http.MethodPatch, "sdkmessageprocessingsteps("+step+")", `{"statecode":0}`).want(t, http.StatusNoContent, "")
	if insert() != 1 {
		t.Error("the step did not ring again")
	}
	send(t, s, http.MethodDelete, "serviceendpoints("+testID(900)+")", "").want(t, http.StatusNoContent, "")
	if insert() != 0 {
		t.Error("a step without its endpoint rang")
	}
}

func TestAuthenticationOptionsOfTheGuide(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		authType, value string
		check           func(r ring) bool
	}{
		"key": {"4", "a&b", func(r ring) bool { return r.query == "a=b&code=a%26b" }},
		"header": {"5", `<settings><setting name='x-key' value='v 1' /><setting name='x-other' value='2'/></settings>`, func(r ring) bool {
			return r.header.Get("X-Key") == "v 1" && r.header.Get("X-Other") == "2" && r.query == "a=b"
		}},
		"query": {"6", `<settings><setting name='k 1' value='v&amp;1' /></settings>`, func(r ring) bool { return r.query == "a=b&k+1=v%261" }},
	} {
		e := &endpoint{}
		s := hookServer(t, e)
		register(t, s, "Create", "account", "")
		body, err := json.Marshal(map[string]string{"authvalue": c.value})
		if err != nil {
			t.Fatal(err)
		}
		send(t, s, http.MethodPatch, "serviceendpoints("+testID(900)+")", strings.TrimSuffix(string(body), "}")+`,"authtype":`+c.authType+`}`).want(t, http.StatusNoContent, "")
		mustInsert(t, s, "account", nil)
		s.WaitWebhooks()
		if rings := e.all(); len(rings) != 1 || !c.check(rings[0]) {
			t.Errorf("%s: %+v", name, rings)
		}
	}
}

func TestAnAuthvalueCannotBeReadBack(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{RecordWrites: true})
	register(t, s, "Create", "account", "")
	for _, path := range []string{
		"serviceendpoints", "serviceendpoints?$select=authvalue", "serviceendpoints(" + testID(900) + ")", "serviceendpoints(" + testID(900) + ")?$select=authvalue",
	} {
		if a := send(t, s, http.MethodGet, path, "").want(t, http.StatusOK, ""); strings.Contains(a.body, "s3cret") {
			t.Errorf("%s shows the secret", path)
		}
	}
	if n := len(send(t, s, http.MethodGet, "serviceendpoints?$filter=authvalue eq 's3cret value'", "").page(t).Value); n != 0 {
		t.Error("the secret can be searched for")
	}
	if a := sendURL(t, s, http.MethodGet, "http://org.example/sim/log", ""); strings.Contains(a.body, "s3cret") {
		t.Error("the write log shows the secret")
	}
	if a := send(t, s, http.MethodGet, "EntityDefinitions(LogicalName='serviceendpoint')/Attributes(LogicalName='authvalue')?$select=IsValidForRead", ""); !strings.Contains(a.body, `"IsValidForRead":false`) {
		t.Errorf("metadata: %s", a.body)
	}
}

func TestOnly502And503And504AreTriedOnceMore(t *testing.T) {
	t.Parallel()
	for status, calls := range map[int]int{200: 1, 204: 1, 302: 1, 400: 1, 404: 1, 429: 1, 500: 1, 502: 2, 503: 2, 504: 2} {
		e := &endpoint{answer: answerStatus(status)}
		s := hookServer(t, e)
		register(t, s, "Create", "account", "")
		mustInsert(t, s, "account", nil)
		s.WaitWebhooks()
		want := WebhookStats{Retried: calls - 1}
		if status < 300 {
			want.Sent = 1
		} else {
			want.Failed = 1
		}
		if len(e.all()) != calls || s.Webhooks() != want {
			t.Errorf("%d: %d calls, %+v, want %d, %+v", status, len(e.all()), s.Webhooks(), calls, want)
		}
		failed := send(t, s, http.MethodGet, "asyncoperations?$filter=statuscode eq 31&$select=message,_owningextensionid_value", "").page(t).Value
		if len(failed) != want.Failed {
			t.Errorf("%d: %d failed jobs, want %d", status, len(failed), want.Failed)
		}
		if len(failed) == 1 && failed[0]["_owningextensionid_value"] == nil {
			t.Errorf("%d: the job names no step", status)
		}
	}
}

func TestTheSecondTryMaySucceed(t *testing.T) {
	t.Parallel()
	e := &endpoint{}
	e.answer = func(n int, r *http.Request) (*http.Response, error) {
		if n == 1 {
			return answerStatus(http.StatusBadGateway)(n, r)
		}
		return answerStatus(http.StatusOK)(n, r)
	}
	s := hookServer(t, e)
	register(t, s, "Create", "account", "")
	step, _ := send(t, s, http.MethodGet, "sdkmessageprocessingsteps?$select=name", "").page(t).Value[0]["sdkmessageprocessingstepid"].(string)
	send(t, s, http.MethodPatch, "sdkmessageprocessingsteps("+step+")", `{"asyncautodelete":false}`).want(t, http.StatusNoContent, "")
	mustInsert(t, s, "account", nil)
	s.WaitWebhooks()
	if got := s.Webhooks(); got != (WebhookStats{Sent: 1, Retried: 1}) {
		t.Errorf("%+v", got)
	}
	if jobs := send(t, s, http.MethodGet, "asyncoperations?$filter=statuscode eq 30", "").page(t).Value; len(jobs) != 1 {
		t.Errorf("%d jobs that succeeded, want 1: the step keeps them", len(jobs))
	}
}

func TestAnEndpointHasSixtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var took time.Duration
		e := &endpoint{answer: func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			took = time.Since(start)
			return nil, context.Cause(r.Context())
		}}
		s := hookServer(t, e)
		register(t, s, "Create", "account", "")
		mustInsert(t, s, "account", nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if took != hookTimeout || s.Webhooks() != (WebhookStats{Failed: 1}) {
			t.Errorf("cut off after %v, %+v", took, s.Webhooks())
		}
		jobs := send(t, s, http.MethodGet, "asyncoperations?$filter=statuscode eq 31&$select=message", "").page(t).Value
		if text, _ := jobs[0]["message"].(string); !strings.Contains(text, "timed out") {
			t.Errorf("job %v", jobs)
		}
	})
}

func TestAboveThe256KBRuleRecordsAreLeftOut(t *testing.T) {
	t.Parallel()
	e := &endpoint{}
	s := hookServer(t, e)
	err := s.AlterTable("account", false, func(tab *schema.Table) error {
		tab.Column("description").MaxLength = 1 << 20
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	register(t, s, "Create", "account", "")
	mustInsert(t, s, "account", map[string]any{"description": strings.Repeat("x", 256<<10)})
	s.WaitWebhooks()
	r := e.all()[0]
	if got := r.header["x-ms-dynamics-msg-size-exceeded"]; len(got) != 1 || got[0] != "true" || r.size > maxHookBody {
		t.Errorf("header %v, %d bytes", got, r.size)
	}
	for _, name := range []string{"ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages"} {
		if r.body[name] != nil {
			t.Errorf("%s is still there", name)
		}
	}
	if r.body["PrimaryEntityName"] != "account" {
		t.Error("the rest is missing")
	}
}

func TestAFullQueueDropsAndCountsAndBlocksNoWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}}
		s := hookServer(t, e)
		register(t, s, "Create", "account", "")
		mustInsert(t, s, "account", nil)
		synctest.Wait()
		const more = hookQueue + 100
		if err := s.Seed("account", more, func(int) map[string]any { return nil }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := s.Webhooks()
		if got.Dropped == 0 || got.Pending+got.Dropped != more+1 || got.Pending > hookQueue+hookWorkers {
			t.Errorf("%+v", got)
		}
		if err := s.Close(); err != nil { // with calls under way
			t.Error(err)
		}
		s.WaitWebhooks()
	})
}

func TestRegistrationsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	good := map[string]string{"contract": "8", "url": `"https://bell.contoso.example"`, "authtype": "4", "authvalue": `"k"`}
	for name, c := range map[string]struct {
		member, value string
		status        int
	}{
		"as it should be":   {"contract", "8", 204},
		"a service bus":     {"contract", "1", 501},
		"a relative url":    {"url", `"/ring"`, 400},
		"another scheme":    {"url", `"ftp://bell.contoso.example"`, 400},
		"another authtype":  {"authtype", "1", 400},
		"no authtype":       {"authtype", "null", 400},
		"no secret":         {"authvalue", `""`, 400},
		"no settings":       {"authtype", "5", 400},
		"an unknown option": {"authtype", "77", 400},
	} {
		members := []string{}
		for k, v := range good {
			if k == c.member {
				v = c.value
			}
			members = append(members, `"`+k+`":`+v)
		}
		if a := send(t, s, http.MethodPost, "serviceendpoints", "{"+strings.Join(members, ",")+"}"); a.status != c.status {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, c.status)
		}
	}
	register(t, s, "Create", "account", "")
	for more, status := range map[string]int{`,"mode":0`: 501, `,"stage":20`: 400, `,"stage":99`: 400, `,"eventhandler_serviceendpoint@odata.bind":null`: 400} {
		step := `{"name":"x","mode":1,"stage":40,"sdkmessageid@odata.bind":"/sdkmessages(` + messageID("Create").String() + `)","eventhandler_serviceendpoint@odata.bind":"/serviceendpoints(` + testID(900) + `)"}`
		var body map[string]any
		if err := json.Unmarshal([]byte(step), &body); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte("{"+more[1:]+"}"), &body); err != nil {
			t.Fatal(err)
		}
		if a := send(t, s, http.MethodPost, "sdkmessageprocessingsteps", string(marshal(body))); a.status != status {
			t.Errorf("%s: %d %s, want %d", more, a.status, a.body, status)
		}
	}
}

func TestStepsOfAnEndpointAreListedAsTheGuideDoes(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	register(t, s, "Update", "account", `,"filteringattributes":"name"`)
	found := send(t, s, http.MethodGet, "serviceendpoints?$filter=contract eq 8&$select=serviceendpointid,name,authtype,url", "").page(t).Value
	if len(found) != 1 || found[0]["name"] != "Doorbell" {
		t.Errorf("endpoints %v", found)
	}
	steps := send(t, s, http.MethodGet, "sdkmessageprocessingsteps?$filter=_eventhandler_value eq "+testID(900)+"&$select=name,asyncautodelete,filteringattributes,mode,stage", "").page(t).Value
	if len(steps) != 1 || steps[0]["filteringattributes"] != "name" {
		t.Errorf("steps %v", steps)
	}
}
