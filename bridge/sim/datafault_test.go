package sim

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
)

// control sends a request to the simulator's own API.
func control(t failer, s *Server, method, path, body string) answer {
	t.Helper()
	return sendURL(t, s, method, "http://org.example/sim/"+path, body)
}

func addRule(t testing.TB, s *Server, r Rule) {
	t.Helper()
	if s.faults.Add(r) == 0 {
		t.Fatalf("rule %+v: %v", r, r.Validate())
	}
}

// faultLog counts the entries of the write log for a fault.
func faultLog(s *Server, kind FaultKind) (n int) {
	for _, e := range s.Log(1) {
		if e.Kind == KindFault && e.Operation == string(kind) {
			n++
		}
	}
	return n
}

func wantFaults(t testing.TB, s *Server, kind FaultKind, n int) {
	t.Helper()
	if got := s.Stats().Faults[string(kind)]; got != n {
		t.Errorf("%s counted %d times, want %d", kind, got, n)
	}
	if got := faultLog(s, kind); got != n {
		t.Errorf("%s logged %d times, want %d", kind, got, n)
	}
}

func TestTheLoserOfADuplicateRaceMeetsEachOfTheThreeAnswers(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{codeDuplicateKey: codeDuplicateKey, codeDuplicateRecord: codeDuplicateRecord, "none": ""} {
		s := newTestServer(t, Options{})
		addRule(t, s, Rule{Kind: FaultDuplicateRace, Table: "account", Code: code, Times: 1})
		a := send(t, s, "PATCH", "accounts(accountnumber='R')", `{"name":"n","telephone1":"1"}`).want(t, 412, "")
		if a.code(t) != want {
			t.Errorf("code %q, want %q", a.code(t), want)
		}
		id, ok := s.FindByKey("account", map[string]any{"accountnumber": "R"})
		if !ok || mustRow(t, s, "account", id)["telephone1"] != "1" {
			t.Fatal("the rival's record is not there")
		}
		send(t, s, "PATCH", "accounts(accountnumber='R')", `{"name":"again"}`, "Prefer: return=representation").want(t, 200, "")
		wantFaults(t, s, FaultDuplicateRace, 1)
	}
}

func TestADuplicateRaceDrawsAllAnswersFromTheSeed(t *testing.T) {
	t.Parallel()
	run := func() (codes []string) {
		s := newTestServer(t, Options{Faults: NewFaults(7)})
		addRule(t, s, Rule{Kind: FaultDuplicateRace})
		for i := range 30 {
			codes = append(codes, send(t, s, "PATCH", fmt.Sprintf("accounts(accountnumber='%d')", i), `{}`).want(t, 412, "").code(t))
		}
		return codes
	}
	first, second := strings.Join(run(), " "), strings.Join(run(), " ")
	if first != second {
		t.Errorf("two runs of one seed differ:\n%s\n%s", first, second)
	}
	for _, code := range []string{codeDuplicateKey, codeDuplicateRecord, "  "} {
		if !strings.Contains(first, code) {
			t.Errorf("never drawn: %q in %s", code, first)
		}
	}
}

func TestOnlyAnUpsertThatCreatesCanLoseARace(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"accountnumber": "R"})
	addRule(t, s, Rule{Kind: FaultDuplicateRace})
	send(t, s, "PATCH", "accounts(accountnumber='R')", `{"name":"n"}`).want(t, 204, "")
	send(t, s, "PATCH", "accounts("+id+")", `{"name":"n"}`).want(t, 204, "")
	send(t, s, "POST", "accounts", `{"name":"n"}`).want(t, 204, "")
	send(t, s, "PATCH", "accounts(accountnumber='S')", `{"name":"n"}`, "If-Match: *").want(t, 404, "")
	mustInsert(t, s, "account", map[string]any{"accountnumber": "T"})
	wantFaults(t, s, FaultDuplicateRace, 0)
}

func TestAPluginAbortRefusesTheWriteWithItsText(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"name": "before"})
	addRule(t, s, Rule{Kind: FaultPluginAbort, Table: "account", Message: "Credit check failed."})
	a := send(t, s, "PATCH", "accounts("+id+")", `{"name":"after"}`).want(t, 400, codePluginAbort)
	if !strings.Contains(a.body, "Credit check failed.") {
		t.Error(a.body)
	}
	send(t, s, "POST", "accounts", `{"name":"x"}`).want(t, 400, codePluginAbort)
	send(t, s, "DELETE", "accounts("+id+")", "").want(t, 400, codePluginAbort)
	send(t, s, "PUT", "accounts("+id+")/name", `{"value":"x"}`).want(t, 400, codePluginAbort)
	send(t, s, "POST", multiplePath("UpsertMultiple"), `{"Targets":[{`+accountType+`,"name":"x"}]}`).want(t, 400, codePluginAbort)
	send(t, s, "POST", "contacts", `{"lastname":"x"}`).want(t, 204, "")
	if mustRow(t, s, "account", id)["name"] != "before" {
		t.Error("an aborted write took effect")
	}
	wantFaults(t, s, FaultPluginAbort, 5)
}

func TestARevokedPrivilegeRefusesReadsOrWrites(t *testing.T) {
	t.Parallel()
	s, account, _ := family(t, Options{})
	addRule(t, s, Rule{Kind: FaultRevokedPrivilege, Table: "contact", Method: "GET"})
	for _, path := range []string{"contacts", "contacts/$count", "contacts(" + testID(10) + ")", "accounts(" + account + ")/primarycontactid", "accounts?$expand=primarycontactid"} {
		a := send(t, s, "GET", path, "").want(t, 403, codePrivilege)
		if !strings.Contains(a.body, "prvReadContact") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	send(t, s, "GET", "contacts", "", track).want(t, 403, codePrivilege)
	send(t, s, "PATCH", "contacts("+testID(10)+")", `{"lastname":"x"}`).want(t, 204, "")
	send(t, s, "GET", "accounts", "").want(t, 200, "")
	wantFaults(t, s, FaultRevokedPrivilege, 6)
	s.faults.Clear()
	send(t, s, "GET", "contacts", "").want(t, 200, "")
	addRule(t, s, Rule{Kind: FaultRevokedPrivilege, Table: "contact", Method: "PATCH"})
	send(t, s, "PATCH", "contacts("+testID(10)+")", `{"lastname":"y"}`).want(t, 403, codePrivilege)
}

func TestASecuredColumnReadsAsNullAndCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"name": "n", "telephone1": "1"})
	control(t, s, "POST", "tables/account/secure-column", `{"column":"telephone1"}`).want(t, 204, "")
	var row map[string]any
	send(t, s, "GET", "accounts("+id+")?$select=name,telephone1", "").want(t, 200, "").decode(t, &row)
	if value, there := row["telephone1"]; !there || value != nil || row["name"] != "n" {
		t.Errorf("row %v", row)
	}
	send(t, s, "GET", "accounts("+id+")/telephone1", "").want(t, 204, "")
	send(t, s, "PATCH", "accounts("+id+")", `{"telephone1":"2"}`).want(t, 403, codeSecureWrite)
	send(t, s, "POST", "accounts", `{"telephone1":"2"}`).want(t, 403, codeSecureMake)
	send(t, s, "PATCH", "accounts("+id+")", `{"name":"m"}`).want(t, 204, "")
	wantFaults(t, s, FaultSecuredColumn, 1)
	control(t, s, "POST", "tables/account/secure-column", `{"column":"telephone1","granted":true}`).want(t, 204, "")
	send(t, s, "GET", "accounts("+id+")?$select=telephone1", "").want(t, 200, "").decode(t, &row)
	if row["telephone1"] != "1" {
		t.Errorf("given back: %v", row)
	}
}

func TestADroppedColumnIsUnknownEverywhere(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{RecordWrites: true})
	id := mustInsert(t, s, "account", map[string]any{"name": "n", "fax": "1", "websiteurl": "w"})
	page := send(t, s, "GET", "accounts?$select=name,fax", "", track).page(t)
	control(t, s, "POST", "tables/account/drop-column", `{"column":"fax"}`).want(t, 204, "")
	send(t, s, "GET", "accounts?$select=fax", "").want(t, 400, codeInvalidRequest)
	send(t, s, "GET", "accounts?$filter=fax eq '1'", "").want(t, 400, codeInvalidRequest)
	send(t, s, "PATCH", "accounts("+id+")", `{"fax":"2"}`).want(t, 400, codeInvalidPayload)
	follow(t, s, page.Delta).want(t, 400, "")
	a := send(t, s, "GET", "accounts("+id+")", "").want(t, 200, "")
	metadata := send(t, s, "GET", "EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName", "").want(t, 200, "")
	csdl := send(t, s, "GET", "$metadata", "").want(t, 200, "")
	for name, body := range map[string]string{"record": a.body, "metadata": metadata.body, "csdl": csdl.body} {
		if name != "csdl" && strings.Contains(body, `"fax"`) || name == "csdl" && strings.Contains(body[strings.Index(body, `EntityType Name="account"`):strings.Index(body, `EntityType Name="account"`)+2000], `Name="fax"`) {
			t.Errorf("%s still has the column", name)
		}
	}
	if row := mustRow(t, s, "account", id); row["websiteurl"] != "w" {
		t.Errorf("the columns behind it moved: %v", row)
	}
	// A column of the same name made later begins empty.
	if err := s.AlterTable("account", false, func(st *schema.Table) error {
		st.Columns = append(st.Columns, schema.Column{LogicalName: "fax", Type: schema.TypeString, MaxLength: 10})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if row := mustRow(t, s, "account", id); row["fax"] != nil {
		t.Errorf("the new column holds %v", row["fax"])
	}
	send(t, s, "PATCH", "accounts("+id+")", `{"fax":"3"}`).want(t, 204, "")
	wantFaults(t, s, FaultDroppedColumn, 1)
	for _, column := range []string{"nothing", "accountid", "accountnumber", "statecode"} {
		control(t, s, "POST", "tables/account/drop-column", `{"column":"`+column+`"}`).want(t, 422, "")
	}
}

func TestAFailedKeyAddressesNothing(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"accountnumber": "K"})
	key := s.catalogNow().byName["account"].def.Load().Key([]string{"accountnumber"}).LogicalName
	body := `{"key":"` + key + `"}`
	control(t, s, "POST", "tables/account/fail-key", body).want(t, 204, "")
	send(t, s, "PATCH", "accounts(accountnumber='K')", `{"name":"x"}`).want(t, 400, "")
	send(t, s, "POST", "contacts", `{"lastname":"x","parentcustomerid_account@odata.bind":"accounts(accountnumber='K')"}`).want(t, 400, "")
	mustInsert(t, s, "account", map[string]any{"accountnumber": "K"}) // nothing keeps it unique now
	control(t, s, "POST", "tables/account/activate-key", body).want(t, 422, "")
	wantFaults(t, s, FaultFailedKey, 1)
	id := ""
	for _, e := range s.Log(1) {
		if e.Kind == KindCommit && e.Table == "account" {
			id = e.ID
		}
	}
	if err := s.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	control(t, s, "POST", "tables/account/activate-key", body).want(t, 204, "")
	send(t, s, "PATCH", "accounts(accountnumber='K')", `{"name":"x"}`).want(t, 204, "")
}

func TestAHeldTransactionCommitsLateUnderItsEarlyVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Options{Now: time.Now})
		id := mustInsert(t, s, "account", map[string]any{"name": "a", "accountnumber": "H"})
		addRule(t, s, Rule{Kind: FaultHeldTransaction, Table: "account", Delay: time.Minute, Times: 1})
		done := make(chan answer)
		go func() { done <- send(t, s, "PATCH", "accounts(accountnumber='H')", `{"name":"late"}`) }()
		synctest.Wait()
		mustInsert(t, s, "account", map[string]any{"name": "b"})
		page := send(t, s, "GET", "accounts?$select=name,versionnumber", "", track).page(t)
		select {
		case <-done:
			t.Fatal("answered before its commit")
		default:
		}
		(<-done).want(t, 204, "")
		if mustRow(t, s, "account", id)["name"] != "late" {
			t.Error("not committed")
		}
		if delta := follow(t, s, page.Delta).page(t); len(delta.Value) != 0 {
			t.Errorf("the late commit is in the delta, so its version was not taken early: %v", delta.Value)
		}
		wantFaults(t, s, FaultHeldTransaction, 1)
	})
}

func TestAHeldTransactionOverHTTP(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"name": "a"})
	a := control(t, s, "POST", "tables/account/hold", `{"id":"`+id+`","columns":{"name":"late"}}`).want(t, 201, "")
	var open struct{ Transaction int }
	a.decode(t, &open)
	page := send(t, s, "GET", "accounts?$select=name", "", track).page(t)
	commit := fmt.Sprintf("transactions/%d/commit", open.Transaction)
	control(t, s, "POST", commit, "").want(t, 204, "")
	control(t, s, "POST", commit, "").want(t, 404, "")
	if delta := follow(t, s, page.Delta).page(t); len(delta.Value) != 0 || mustRow(t, s, "account", id)["name"] != "late" {
		t.Errorf("delta %v", delta.Value)
	}
	control(t, s, "POST", "tables/account/hold", `{"id":"`+testID(9)+`","columns":{}}`).want(t, 422, "")
	wantFaults(t, s, FaultHeldTransaction, 1)
}

func TestARestoredDatabaseOverHTTP(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"name": "a"})
	version := s.Stats().Version
	control(t, s, "POST", "snapshots", "").want(t, 201, "")
	send(t, s, "DELETE", "accounts("+id+")", "").want(t, 204, "")
	control(t, s, "POST", "snapshots/1/restore", "").want(t, 204, "")
	mustRow(t, s, "account", id)
	if s.Stats().Version != version {
		t.Errorf("version %d, was %d", s.Stats().Version, version)
	}
	control(t, s, "DELETE", "snapshots/1", "").want(t, 204, "")
	control(t, s, "POST", "snapshots/1/restore", "").want(t, 404, "")
	if s.Stats().Faults[string(FaultRestore)] != 1 {
		t.Errorf("counts %v", s.Stats().Faults)
	}
	for range maxSnapshots {
		control(t, s, "POST", "snapshots", "").want(t, 201, "")
	}
	control(t, s, "POST", "snapshots", "").want(t, 422, "")
}

func TestControlOfTablesRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	control(t, s, "POST", "tables/nothing/drop-column", `{"column":"fax"}`).want(t, 422, "")
	control(t, s, "POST", "tables/account/drop-column", `{"colunm":"fax"}`).want(t, 400, "")
	control(t, s, "POST", "tables/account/drop-column", `{`).want(t, 400, "")
	control(t, s, "POST", "tables/account/nothing", `{}`).want(t, 404, "")
	control(t, s, "POST", "tables/account/expire-tokens", "").want(t, 204, "")
	control(t, s, "POST", "tables/account/faults", `{"kind":"plugin_abort"}`).want(t, 201, "")
	control(t, s, "POST", "tables/account/faults", `{"kind":"nothing"}`).want(t, 400, "")
	control(t, s, "POST", "tables/nothing/faults", `{"kind":"plugin_abort"}`).want(t, 422, "")
	send(t, s, "POST", "accounts", `{}`).want(t, 400, codePluginAbort)
	send(t, s, "POST", "contacts", `{"lastname":"x"}`).want(t, 204, "")
	if err := (Rule{Kind: FaultPluginAbort, PathContains: "x"}).Validate(); err == nil {
		t.Error("a path in a rule of the database was accepted")
	}
}

func TestFaultsInsideABatchReachEachRequest(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	addRule(t, s, Rule{Kind: FaultPluginAbort, Table: "account", After: 1})
	body := strings.ReplaceAll(`--b
Content-Type: application/http
Content-Transfer-Encoding: binary

POST /api/data/v9.1/accounts HTTP/1.1
Content-Type: application/json

{"name":"one"}
--b
Content-Type: application/http
Content-Transfer-Encoding: binary

POST /api/data/v9.1/accounts HTTP/1.1
Content-Type: application/json

{"name":"two"}
--b--
`, "\n", "\r\n")
	r := httptest.NewRequest(http.MethodPost, "http://org.example/api/data/v9.1/$batch", strings.NewReader(body))
	r.Header.Set("Content-Type", "multipart/mixed; boundary=b")
	r.Header.Set("Prefer", "odata.continue-on-error")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != 200 || strings.Count(w.Body.String(), codePluginAbort) != 1 || s.Stats().Rows["account"] != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestASkippedRowIsOnNoPageOfItsRound(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for i := range 5 {
		send(t, s, "PATCH", "accounts("+testID(i+1)+")", `{"name":"x"}`).want(t, 204, "")
	}
	addRule(t, s, Rule{Kind: FaultSkippedRow, Table: "account", Times: 1})
	const paged = "Prefer: odata.track-changes,odata.maxpagesize=2"
	first := send(t, s, "GET", "accounts?$select=name", "", paged).want(t, 200, "")
	second := follow(t, s, first.page(t).Next, paged).want(t, 200, "")
	if strings.Contains(first.body+second.body, `"accountid":"`+testID(2)) || !strings.Contains(first.body, `"accountid":"`+testID(1)) || !strings.Contains(second.body, `"accountid":"`+testID(3)) {
		t.Errorf("pages:\n%s\n%s", first.body, second.body)
	}
	send(t, s, "GET", "accounts?$select=name", "", "Prefer: odata.track-changes").want(t, 200, "")
	wantFaults(t, s, FaultSkippedRow, 1)
}

func TestASecuredColumnShowsInMetadataAndInTheUsersPrivileges(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	var who struct{ UserId string }
	send(t, s, "GET", "WhoAmI", "").want(t, 200, "").decode(t, &who)
	const definition = "EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName,MetadataId&$filter=IsSecured%20eq%20true"
	privileges := "systemusers(" + who.UserId + ")/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()"
	secured := func() (ids []string) {
		var found struct {
			Value []struct{ LogicalName, MetadataId string }
		}
		send(t, s, "GET", definition, "").want(t, 200, "").decode(t, &found)
		for _, a := range found.Value {
			ids = append(ids, a.MetadataId)
		}
		return ids
	}
	if ids := secured(); len(ids) != 0 {
		t.Errorf("secured from the start: %v", ids)
	}
	if err := s.SecureColumn("account", "fax", true); err != nil {
		t.Fatal(err)
	}
	ids := secured()
	if len(ids) != 1 {
		t.Fatalf("secured: %v", ids)
	}
	if a := send(t, s, "GET", privileges, "").want(t, 200, ""); strings.Contains(a.body, ids[0]) {
		t.Errorf("a permission for a column that was taken away: %s", a.body)
	}
	if err := s.SecureColumn("account", "fax", false); err != nil {
		t.Fatal(err)
	}
	if a := send(t, s, "GET", privileges, "").want(t, 200, ""); !strings.Contains(a.body, `{"AttributeId":"`+ids[0]+`","CanCreate":4,"CanRead":4,"CanUpdate":4}`) || len(secured()) != 1 {
		t.Errorf("a column given back: %s", a.body)
	}
	send(t, s, "POST", privileges, "").want(t, 405, "")
	send(t, s, "GET", "systemusers("+testID(99)+")/"+privilegesFunction+"()", "").want(t, 404, codeNotFound)
}
