package sim

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProfilesServeTheirOwnPaths(t *testing.T) {
	t.Parallel()
	online := newTestServer(t, Options{})
	premises := newTestServer(t, Options{Profile: OnPremises, Organization: "fabrikam"})
	for _, c := range []struct {
		s      *Server
		path   string
		status int
	}{
		{online, "/api/data/v9.0/WhoAmI", 200},
		{online, "/api/data/v9.2/WhoAmI()", 200},
		{online, "/api/data/v9.3/WhoAmI", 501},
		{online, "/api/data/v8.2/WhoAmI", 501},
		{online, "/fabrikam/api/data/v9.1/WhoAmI", 404},
		{online, "/", 404},
		{premises, "/fabrikam/api/data/v9.1/WhoAmI", 200},
		{premises, "/fabrikam/api/data/v9.2/WhoAmI", 501},
		{premises, "/api/data/v9.1/WhoAmI", 404},
		{online, "/api/data/v9.2/", 200},
		{online, "/api/data/v9.2", 200},
		{online, "/api/data/v9.2/$metadata", 200},
		{online, "/api/data/v9.2/RetrieveVersion()", 200},
		{online, "/api/data/v9.2/RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'", 200},
		{online, "/api/data/v9.2/nothings", 404},
		{online, "/api/data/v9.2/accounts/nothing", 404},
	} {
		if a := sendURL(t, c.s, "GET", "http://org.example"+c.path, ""); a.status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.path, a.status, c.status, a.body)
		}
	}
	for _, path := range []string{"accounts", "accounts(" + testID(1) + ")", "WhoAmI", "accounts/$count", ""} {
		send(t, online, "PUT", path, `{}`).want(t, 405, codeInvalidRequest)
	}
}

func TestOnPremisesErrorsHaveAnInnerErrorAndFewerCodes(t *testing.T) {
	t.Parallel()
	type envelope struct {
		Error struct {
			Code, Message string
			InnerError    *struct{ Message, Type, StackTrace string }
		}
	}
	for _, c := range []struct {
		profile Profile
		path    string
		code    string
		inner   bool
	}{
		{Online, "accounts?$select=nothing", codeInvalidRequest, false},
		{OnPremises, "accounts?$select=nothing", "", true},
		{OnPremises, "accounts(" + testID(1) + ")", codeNotFound, true},
	} {
		var e envelope
		send(t, newTestServer(t, Options{Profile: c.profile}), "GET", c.path, "").decode(t, &e)
		if e.Error.Code != c.code || (e.Error.InnerError != nil) != c.inner || e.Error.Message == "" {
			t.Errorf("%s %s: %+v", c.profile, c.path, e)
		}
	}
}

func TestAnswersCarryTheServersHeaders(t *testing.T) {
	t.Parallel()
	h := send(t, newTestServer(t, Options{}), "GET", "WhoAmI", "").header
	if h.Get("REQ_ID") == "" || h.Get("OData-Version") != "4.0" || h.Get("x-ms-ratelimit-time-remaining-xrm-requests") != "1,200.00" {
		t.Errorf("online headers %v", h)
	}
	h = send(t, newTestServer(t, Options{Profile: OnPremises}), "GET", "WhoAmI", "").header
	if h.Get("REQ_ID") == "" || h.Get("x-ms-dop-hint") != "" {
		t.Errorf("on-premises headers %v", h)
	}
}

func TestWhoAmINamesRecordsThatExist(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	var who struct{ BusinessUnitId, UserId, OrganizationId string }
	send(t, s, "GET", "WhoAmI", "").want(t, 200, "").decode(t, &who)
	mustRow(t, s, "systemuser", who.UserId)
	mustRow(t, s, "businessunit", who.BusinessUnitId)
	mustRow(t, s, "organization", who.OrganizationId)
}

func TestServiceDocumentListsEveryEntitySet(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	var doc struct {
		Value []struct{ Name, Kind, URL string }
	}
	send(t, s, "GET", "", "").want(t, 200, "").decode(t, &doc)
	if len(doc.Value) != len(s.catalog()) || doc.Value[0].Kind != "EntitySet" {
		t.Errorf("%+v", doc.Value)
	}
	for _, set := range doc.Value {
		send(t, s, "GET", set.URL, "").want(t, 200, "")
	}
}

func TestServesOverTCPUntilClosed(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{Profile: OnPremises})
	base, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(base + "/api/data/v9.1/WhoAmI")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if res, err := http.Get(base + "/api/data/v9.1/WhoAmI"); err == nil {
		_ = res.Body.Close()
		t.Error("still serving")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("a closed server serves: %v", err)
	}
}

func TestStartNamesTheAddressItCannotUse(t *testing.T) {
	t.Parallel()
	if _, err := newTestServer(t, Options{}).Start("256.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "256.0.0.1:0") {
		t.Errorf("err = %v", err)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Profile: "cloud"}, {Organization: "a b"}, {MaxPageSize: -1}, {ExpiredToken: "x"}, {LogLimit: -1}, {TokenLifetime: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestTheCallersTablesAreNotShared(t *testing.T) {
	t.Parallel()
	tables, err := DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, Options{Tables: tables})
	for _, table := range tables {
		table.Columns[0].LogicalName = "changed"
		table.ChangeTracking = false
	}
	send(t, s, "GET", "accounts?$select=accountid", "", track).want(t, 200, "")
}

func TestRequestsAreCountedByKind(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{MaxPageSize: 1})
	mustInsert(t, s, "account", nil)
	mustInsert(t, s, "account", nil)
	if n := s.Requests().Total(); n != 0 {
		t.Fatalf("in-process writes count as %d requests", n)
	}
	load := send(t, s, "GET", "accounts?$select=name", "", track).page(t)
	load = follow(t, s, load.Next).page(t)
	mustInsert(t, s, "account", nil)
	mustInsert(t, s, "account", nil)
	delta := follow(t, s, load.Delta).page(t)
	follow(t, s, delta.Next)
	send(t, s, "PATCH", "accounts(accountnumber='A')", `{}`)
	send(t, s, "POST", "accounts", `{}`)
	send(t, s, "GET", "accounts/$count", "")
	send(t, s, "GET", "accounts("+testID(1)+")/name", "")
	send(t, s, "GET", "EntityDefinitions", "")
	send(t, s, "GET", "WhoAmI", "")
	send(t, s, "POST", "$batch", "x")
	plain := send(t, s, "GET", "accounts", "").page(t)
	follow(t, s, plain.Next)
	want := RequestCounts{
		"GET load": 2, "GET delta": 2, "PATCH record": 1, "POST collection": 1, "GET count": 1, "GET property": 1,
		"GET metadata": 1, "GET function": 1, "POST batch": 1, "GET collection": 2,
	}
	if diff := cmp.Diff(want, s.Requests()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if c := s.Requests(); c.Total() != 13 || c.Method("GET") != 10 || c.Of("PATCH", RequestRecord) != 1 {
		t.Errorf("total %d, GET %d", c.Total(), c.Method("GET"))
	}
	sendURL(t, s, "DELETE", "http://org.example/sim/stats", "").want(t, 204, "")
	if n := s.Requests().Total(); n != 0 {
		t.Errorf("%d after the reset", n)
	}
}

func TestLogTellsAttemptsCommitsAndRefusals(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{RecordWrites: true})
	mark := s.Stats().LogNext
	const request = "x-ms-client-request-id: 5b0f9b2e-0000-0000-0000-000000000001"
	send(t, s, "PATCH", "accounts("+testID(1)+")", `{"name":"n","revenue":12345678901234.56}`, request).want(t, 204, "")
	send(t, s, "PATCH", "accounts("+testID(1)+")", `{"nam":"n"}`, request).want(t, 400, "")
	send(t, s, "DELETE", "accounts("+testID(1)+")", "").want(t, 204, "")
	send(t, s, "PATCH", "accounts(accountnumber='A')", `{}`, "If-Match: *").want(t, 404, "")
	a := sendURL(t, s, "GET", "http://org.example/sim/log?from="+json.Number(jsonInt(mark)).String(), "").want(t, 200, "")
	var got []string
	lines := bufio.NewScanner(strings.NewReader(a.body))
	for lines.Scan() {
		var e LogEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(strings.Join([]string{e.Kind, e.Operation, e.Code}, " ")))
		if e.Kind == KindCommit && e.Operation == "create" {
			if e.Request != "5b0f9b2e-0000-0000-0000-000000000001" || e.ID != testID(1) || e.Version != s.Log(mark)[1].Version {
				t.Errorf("commit %+v", e)
			}
			if !strings.Contains(lines.Text(), `"revenue":12345678901234.5600`) {
				t.Errorf("the number lost its text: %s", lines.Text())
			}
		}
	}
	want := []string{
		"attempt upsert", "commit create", "attempt upsert", "refused upsert " + codeInvalidPayload,
		"attempt delete", "commit delete", "attempt update", "refused update " + codeNotFoundByKey,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	sendURL(t, s, "GET", "http://org.example/sim/log?from=x", "").want(t, 400, "")
}

func jsonInt(n int64) string { return string(marshal(n)) }

func TestLogIsBoundedAndShowsTheGap(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{LogLimit: 100})
	for range 300 {
		mustInsert(t, s, "new_region", nil)
	}
	log := s.Log(1)
	if len(log) > 100 || len(log) < 80 {
		t.Errorf("%d entries", len(log))
	}
	if log[0].Seq < 200 || log[len(log)-1].Seq != s.Stats().LogNext-1 {
		t.Errorf("sequences %d to %d", log[0].Seq, log[len(log)-1].Seq)
	}
	if log[0].Columns != nil {
		t.Error("rows are kept without RecordWrites")
	}
}

func TestDirectAccess(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	person := mustInsert(t, s, "contact", map[string]any{"lastname": "Lee", "emailaddress1": "lee@contoso.example"})
	id := mustInsert(t, s, "account", map[string]any{"primarycontactid@odata.bind": "contacts(emailaddress1='lee@contoso.example')", "numberofemployees": 3})
	if row := mustRow(t, s, "account", id); row["_primarycontactid_value"] != person || row["numberofemployees"] != json.Number("3") || row["name"] != nil {
		t.Errorf("row %v", row)
	}
	for name, err := range map[string]error{
		"unknown table":  s.Update("nothing", id, nil),
		"bad id":         s.Update("account", "x", nil),
		"missing record": s.Update("account", testID(1), nil),
		"bad column":     s.Update("account", id, map[string]any{"nam": 1}),
		"bad value":      s.Update("account", id, map[string]any{"name": make(chan int)}),
		"delete missing": s.Delete("account", testID(1)),
		"seed refused":   s.Seed("account", 2, func(int) map[string]any { return map[string]any{"accountnumber": "same"} }),
		"rows":           s.Rows("nothing", nil),
		"expire":         s.ExpireTokens("nothing"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, ok := s.Row("account", testID(1)); ok {
		t.Error("found a record that is not there")
	}
	for _, key := range []map[string]any{{"name": "x"}, {"nothing": "x"}, {"accountnumber": nil}, {"accountnumber": 5}, {"accountnumber": "none"}} {
		if _, ok := s.FindByKey("account", key); ok {
			t.Errorf("%v found a record", key)
		}
	}
	var refusal *apiError
	if err := s.Update("account", id, map[string]any{"industrycode": 999}); !errors.As(err, &refusal) || refusal.Code != codeOptionValue {
		t.Errorf("err = %v", err)
	}
}
