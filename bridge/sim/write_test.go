package sim

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestUpsertByKeyAnswers204BothTimesAndEchoesTheKey(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for _, name := range []string{"one", "two"} {
		a := send(t, s, "PATCH", "accounts(accountnumber='A%201')", `{"name":"`+name+`"}`).want(t, 204, "")
		if got, want := a.header.Get("OData-EntityId"), "http://org.example/api/data/v9.1/accounts(accountnumber='A%201')"; got != want {
			t.Errorf("OData-EntityId = %s, want %s", got, want)
		}
	}
	id, ok := s.FindByKey("account", map[string]any{"accountnumber": "A 1"})
	if !ok {
		t.Fatal("the key of the URL was not copied into the record")
	}
	if row := mustRow(t, s, "account", id); row["name"] != "two" {
		t.Errorf("name = %v", row["name"])
	}
}

func TestRepresentationTellsCreatedFromUpdated(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for _, status := range []int{201, 200} {
		a := send(t, s, "PATCH", "accounts(accountnumber='X')?$select=name", `{"name":"n","telephone1":"1"}`, "Prefer: return=representation").want(t, status, "")
		var row map[string]any
		a.decode(t, &row)
		if row["name"] != "n" || row["accountid"] == nil || row["telephone1"] != nil {
			t.Errorf("body %s does not follow $select", a.body)
		}
		if tag := a.header.Get("ETag"); tag == "" || row["@odata.etag"] != tag {
			t.Errorf("ETag %q, row %v", tag, row["@odata.etag"])
		}
	}
}

func TestPatchByIDCreatesUnderThatID(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	a := send(t, s, "PATCH", "accounts("+testID(7)+")", `{"name":"n"}`).want(t, 204, "")
	if !strings.HasSuffix(a.header.Get("OData-EntityId"), "/accounts("+testID(7)+")") {
		t.Errorf("OData-EntityId = %s", a.header.Get("OData-EntityId"))
	}
	mustRow(t, s, "account", testID(7))
}

func TestConditionalWrites(t *testing.T) {
	t.Parallel()
	const existing, absent = "accounts(accountnumber='E')", "accounts(accountnumber='N')"
	cases := []struct {
		name, method, path, header string
		status                     int
		code                       string
	}{
		{"update-only, absent by key", "PATCH", absent, "If-Match: *", 404, codeNotFoundByKey},
		{"update-only, absent by id", "PATCH", "accounts(" + testID(9) + ")", "If-Match: *", 404, codeNotFound},
		{"update-only, present", "PATCH", existing, "If-Match: *", 204, ""},
		{"create-only, present", "PATCH", existing, "If-None-Match: *", 412, codeDuplicateRecord},
		{"create-only, absent", "PATCH", absent, "If-None-Match: *", 204, ""},
		{"literal null is no condition", "PATCH", existing, "If-None-Match: null", 204, ""},
		{"stale etag", "PATCH", existing, `If-Match: W/"1"`, 412, codeConcurrency},
		{"stale etag on delete", "DELETE", existing, `If-Match: W/"1"`, 412, codeConcurrency},
		{"etag as create condition", "PATCH", existing, `If-None-Match: W/"1"`, 400, codeInvalidRequest},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newTestServer(t, Options{})
			mustInsert(t, s, "account", map[string]any{"accountnumber": "E"})
			body := ""
			if c.method == "PATCH" {
				body = "{}"
			}
			send(t, s, c.method, c.path, body, c.header).want(t, c.status, c.code)
		})
	}
}

func TestCurrentEtagIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"name": "n"})
	tag := send(t, s, "GET", "accounts("+id+")", "").want(t, 200, "").header.Get("ETag")
	send(t, s, "GET", "accounts("+id+")", "", "If-None-Match: "+tag).want(t, http.StatusNotModified, "")
	send(t, s, "PATCH", "accounts("+id+")", `{"name":"m"}`, "If-Match: "+tag).want(t, 204, "")
	send(t, s, "PATCH", "accounts("+id+")", `{"name":"o"}`, "If-Match: "+tag).want(t, 412, codeConcurrency)
	equipment := mustInsert(t, s, "equipment", map[string]any{"name": "crane"})
	send(t, s, "PATCH", "equipments("+equipment+")", `{}`, `If-Match: W/"1"`).want(t, 400, codeConcurrencyOff)
}

func TestBodyWinsOverKeyOnCreateAndIsDroppedOnUpdate(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	send(t, s, "PATCH", "accounts(accountnumber='URL')", `{"accountnumber":"BODY","name":"1"}`).want(t, 204, "")
	if _, ok := s.FindByKey("account", map[string]any{"accountnumber": "URL"}); ok {
		t.Error("the URL's value won on create")
	}
	id, ok := s.FindByKey("account", map[string]any{"accountnumber": "BODY"})
	if !ok {
		t.Fatal("the body's value is not there")
	}
	send(t, s, "PATCH", "accounts(accountnumber='BODY')", `{"accountnumber":"CHANGED","name":"2"}`).want(t, 204, "")
	if row := mustRow(t, s, "account", id); row["accountnumber"] != "BODY" || row["name"] != "2" {
		t.Errorf("row = %v, %v", row["accountnumber"], row["name"])
	}
	// Another key's column is an ordinary column.
	send(t, s, "PATCH", "accounts("+id+")", `{"accountnumber":"CHANGED"}`).want(t, 204, "")
	if _, ok := s.FindByKey("account", map[string]any{"accountnumber": "BODY"}); ok {
		t.Error("the old key still finds the record")
	}
}

func TestDuplicateKeyIs412WithTheOffendingValue(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"accountnumber": "A<1"})
	a := send(t, s, "POST", "accounts", `{"accountnumber":"a<1 "}`, `Prefer: odata.include-annotations="*"`).want(t, 412, codeDuplicateKey)
	if !strings.Contains(a.body, "<accountnumber>a&lt;1 </accountnumber>") {
		t.Errorf("no duplicate attributes in %s", a.body)
	}
	a = send(t, s, "POST", "accounts", `{"accountnumber":"a<1"}`).want(t, 412, codeDuplicateKey)
	if strings.Contains(a.body, "DuplicateAttributes") {
		t.Errorf("annotations without being asked: %s", a.body)
	}
	if n := s.Stats().Rows["account"]; n != 1 {
		t.Errorf("%d accounts", n)
	}
}

func TestRowsWithoutAKeyValueAreNotUnique(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for range 3 {
		mustInsert(t, s, "account", map[string]any{"accountnumber": nil})
	}
}

func TestPostUnderATakenIDIsADuplicate(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	send(t, s, "POST", "accounts", `{"accountid":"`+testID(1)+`"}`).want(t, 204, "")
	send(t, s, "POST", "accounts", `{"accountid":"`+testID(1)+`"}`).want(t, 412, codeDuplicateRecord)
	send(t, s, "PATCH", "accounts("+testID(1)+")", `{"accountid":"`+testID(2)+`"}`).want(t, 400, codeInvalidArgument)
	send(t, s, "PATCH", "accounts("+testID(1)+")", `{"accountid":"`+testID(1)+`"}`).want(t, 204, "")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"accountnumber": "D"})
	send(t, s, "DELETE", "accounts(accountnumber='D')", "").want(t, 204, "")
	send(t, s, "DELETE", "accounts(accountnumber='D')", "").want(t, 404, codeNotFoundByKey)
	send(t, s, "DELETE", "accounts("+id+")", "").want(t, 404, codeNotFound)
	mustInsert(t, s, "account", map[string]any{"accountnumber": "D"})
}

func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	cases := []struct {
		name, body string
		status     int
		code       string
	}{
		{"unknown column", `{"nam":"x"}`, 400, codeInvalidPayload},
		{"lookup by its read name", `{"_primarycontactid_value":"` + testID(1) + `"}`, 400, codeInvalidPayload},
		{"lookup as a value", `{"primarycontactid":"` + testID(1) + `"}`, 400, codeInvalidPayload},
		{"nested record", `{"primarycontactid":{"lastname":"x"}}`, 501, ""},
		{"array", `{"name":["x"]}`, 400, codeInvalidPayload},
		{"maintained column", `{"createdon":"2025-01-01T00:00:00Z"}`, 400, codeInvalidArgument},
		{"version", `{"versionnumber":5}`, 400, codeInvalidArgument},
		{"required null", `{"statecode":null}`, 400, codeInvalidPayload},
		{"owner null", `{"ownerid@odata.bind":null}`, 400, codeInvalidPayload},
		{"empty GUID", `{"accountid":"00000000-0000-0000-0000-000000000000"}`, 400, codeInvalidArgument},
		{"not JSON", `{"name":`, 400, codeInvalidPayload},
		{"twice the same member", `{"name":"a","name":"b"}`, 400, codeInvalidPayload},
		{"something after the object", `{} {}`, 400, codeInvalidPayload},
		{"not an object", `[]`, 400, codeInvalidPayload},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := s.Stats().Version
			send(t, s, "PATCH", "accounts(accountnumber='R')", c.body).want(t, c.status, c.code)
			if s.Stats().Version != before {
				t.Error("a refused write took a row version")
			}
		})
	}
	send(t, s, "POST", "accounts", "").want(t, http.StatusUnsupportedMediaType, codeInvalidRequest)
}

func TestAnnotationsInABodyAreIgnored(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	send(t, s, "PATCH", "accounts(accountnumber='R')", `{"@odata.type":"Microsoft.Dynamics.CRM.account","@odata.etag":"W/\"1\"",
		"industrycode@OData.Community.Display.V1.FormattedValue":"Accounting","industrycode":1}`).want(t, 204, "")
	send(t, s, "PATCH", "accounts(accountnumber='R')", `{"nothing@x.y":"z"}`).want(t, 400, codeInvalidPayload)
}

func TestSystemColumnsAreMaintained(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	unit := mustInsert(t, s, "businessunit", map[string]any{"name": "North"})
	team := mustInsert(t, s, "team", map[string]any{"name": "Sales", "businessunitid@odata.bind": "/businessunits(" + unit + ")"})
	id := mustInsert(t, s, "account", map[string]any{"name": "n", "revenue": json.Number("12.5")})
	row := mustRow(t, s, "account", id)
	for column, want := range map[string]any{
		"createdon": "2025-08-22T08:10:44Z", "modifiedon": "2025-08-22T08:10:44Z",
		"_ownerid_value": wellKnown.user.String(), "_owningbusinessunit_value": wellKnown.businessUnit.String(),
		"_createdby_value": wellKnown.user.String(), "_transactioncurrencyid_value": wellKnown.currency.String(),
		"statecode": json.Number("0"), "statuscode": json.Number("1"), "revenue": json.Number("12.5000"),
		"exchangerate": json.Number("1.000000000000"),
	} {
		if row[column] != want {
			t.Errorf("%s = %v, want %v", column, row[column], want)
		}
	}
	send(t, s, "PATCH", "accounts("+id+")", `{"ownerid@odata.bind":"/teams(name='sales')"}`).want(t, 204, "")
	row = mustRow(t, s, "account", id)
	if row["_ownerid_value"] != team || row["_owningbusinessunit_value"] != unit {
		t.Errorf("owner %v of unit %v, want %s of %s", row["_ownerid_value"], row["_owningbusinessunit_value"], team, unit)
	}
	person := mustInsert(t, s, "contact", map[string]any{"firstname": "Ann", "lastname": "Lee"})
	if name := mustRow(t, s, "contact", person)["fullname"]; name != "Ann Lee" {
		t.Errorf("fullname = %v", name)
	}
}

func TestImpersonatedUserIsTheOneWhoModified(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	user := mustInsert(t, s, "systemuser", map[string]any{"lastname": "Other", "domainname": "other@contoso.example"})
	a := send(t, s, "POST", "accounts", `{"name":"n"}`, "MSCRMCallerID: "+user, "Prefer: return=representation").want(t, 201, "")
	var row map[string]any
	a.decode(t, &row)
	if row["_modifiedby_value"] != user || row["_ownerid_value"] != user {
		t.Errorf("modified by %v, owned by %v, want %s", row["_modifiedby_value"], row["_ownerid_value"], user)
	}
	send(t, s, "POST", "accounts", `{}`, "MSCRMCallerID: "+testID(5)).want(t, 403, codeUserUnknown)
	send(t, s, "GET", "WhoAmI", "", "CallerObjectId: "+testID(5)).want(t, 403, codeUserUnknown)
}

func TestStateAndStatus(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	send(t, s, "POST", "accounts", `{"statecode":1}`).want(t, 400, codeStateStatus)
	send(t, s, "POST", "accounts", `{"statuscode":2}`).want(t, 400, codeStateStatus)
	id := mustInsert(t, s, "account", map[string]any{"statecode": "0", "statuscode": 1})
	steps := []struct {
		body          string
		status        int
		state, reason json.Number
	}{
		{`{"statuscode":2}`, 400, "0", "1"},
		{`{"statecode":1}`, 204, "1", "2"},
		{`{"statecode":1,"statuscode":1}`, 400, "1", "2"},
		{`{"name":"inactive records take values"}`, 204, "1", "2"},
		{`{"statecode":0,"statuscode":1}`, 204, "0", "1"},
		{`{"statecode":7}`, 400, "0", "1"},
	}
	for _, step := range steps {
		send(t, s, "PATCH", "accounts("+id+")", step.body).want(t, step.status, "")
		row := mustRow(t, s, "account", id)
		if row["statecode"] != step.state || row["statuscode"] != step.reason {
			t.Errorf("after %s: %v/%v, want %v/%v", step.body, row["statecode"], row["statuscode"], step.state, step.reason)
		}
	}
	lenient := newTestServer(t, Options{Assumptions: Assumptions{InactiveOnCreate: true}})
	send(t, lenient, "POST", "accounts", `{"statecode":1}`).want(t, 204, "")
}
