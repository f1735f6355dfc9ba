package sim

import (
	"strings"
	"testing"
)

func TestBinds(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	person := mustInsert(t, s, "contact", map[string]any{"lastname": "Lee", "emailaddress1": "Ann@Contoso.example"})
	firm := mustInsert(t, s, "account", map[string]any{"accountnumber": "P 1"})
	region := mustInsert(t, s, "new_region", map[string]any{"new_code": "N'1", "new_name": "North"})
	cases := []struct {
		name, body   string
		status       int
		code, column string
		want         any
	}{
		{"by id", `{"primarycontactid@odata.bind":"/contacts(` + person + `)"}`, 204, "", "_primarycontactid_value", person},
		{"null clears", `{"primarycontactid@odata.bind":null}`, 204, "", "_primarycontactid_value", nil},
		{"by key, without a slash, other case, trailing blank", `{"primarycontactid@odata.bind":"contacts(emailaddress1='ann@contoso.example ')"}`, 204, "", "_primarycontactid_value", person},
		{"plain null clears", `{"primarycontactid":null}`, 204, "", "_primarycontactid_value", nil},
		{"percent-encoded", `{"parentaccountid@odata.bind":"/accounts(accountnumber='P%201')"}`, 204, "", "_parentaccountid_value", firm},
		{"absolute URL", `{"primarycontactid@odata.bind":"https://org.example/api/data/v9.2/contacts(` + person + `)"}`, 204, "", "_primarycontactid_value", person},
		{"doubled quote", `{"new_Region@odata.bind":"/new_regions(new_code='N''1')"}`, 204, "", "_new_region_value", region},
		{"wrong case of the property", `{"new_region@odata.bind":"/new_regions(new_code='N''1')"}`, 400, codeInvalidPayload, "", nil},
		{"unknown property", `{"nothing@odata.bind":"/contacts(` + person + `)"}`, 400, codeInvalidPayload, "", nil},
		{"wrong table", `{"primarycontactid@odata.bind":"/accounts(` + firm + `)"}`, 400, codeInvalidPayload, "", nil},
		{"unknown entity set", `{"primarycontactid@odata.bind":"/contact(` + person + `)"}`, 404, codeInvalidRequest, "", nil},
		{"missing by key", `{"primarycontactid@odata.bind":"/contacts(emailaddress1='none')"}`, 404, codeNotFoundByKey, "", nil},
		{"missing by id", `{"primarycontactid@odata.bind":"/contacts(` + testID(3) + `)"}`, 404, codeNotFound, "", nil},
		{"slash in the key", `{"parentaccountid@odata.bind":"/accounts(accountnumber='P%2F1')"}`, 400, codeInvalidRequest, "", nil},
		{"not a key", `{"primarycontactid@odata.bind":"/contacts(lastname='Lee')"}`, 400, "0x0", "", nil},
		{"no parentheses", `{"primarycontactid@odata.bind":"/contacts"}`, 400, codeInvalidRequest, "", nil},
		{"not a text", `{"primarycontactid@odata.bind":5}`, 400, codeInvalidPayload, "", nil},
		{"declared key of users", `{"ownerid@odata.bind":"/systemusers(ownerid=` + wellKnown.user.String() + `)"}`, 204, "", "_ownerid_value", wellKnown.user.String()},
		{"primary id of users by name", `{"ownerid@odata.bind":"/systemusers(systemuserid=` + wellKnown.user.String() + `)"}`, 400, "0x0", "", nil},
	}
	id := mustInsert(t, s, "account", map[string]any{"accountnumber": "B"})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			send(t, s, "PATCH", "accounts(accountnumber='B')", c.body).want(t, c.status, c.code)
			if c.column != "" {
				if got := mustRow(t, s, "account", id)[c.column]; got != c.want {
					t.Errorf("%s = %v, want %v", c.column, got, c.want)
				}
			}
		})
	}
}

func TestMissingBindTargetNamesTheLookedUpTable(t *testing.T) {
	t.Parallel()
	body := `{"primarycontactid@odata.bind":"/contacts(emailaddress1='none')"}`
	s := newTestServer(t, Options{})
	a := send(t, s, "PATCH", "accounts(accountnumber='B')", body).want(t, 404, codeNotFoundByKey)
	if !strings.Contains(a.body, "in contact entity") {
		t.Errorf("message: %s", a.body)
	}
	if s.Stats().Rows["account"] != 0 {
		t.Error("the record was created without its reference")
	}
	flipped := newTestServer(t, Options{Assumptions: Assumptions{BindMissBadRequest: true}})
	send(t, flipped, "PATCH", "accounts(accountnumber='B')", body).want(t, 400, codeNotFoundByKey)
}

func TestPolymorphicLookupHoldsOneTarget(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	firm := mustInsert(t, s, "account", map[string]any{"accountnumber": "F"})
	other := mustInsert(t, s, "contact", map[string]any{"lastname": "Boss"})
	id := mustInsert(t, s, "contact", map[string]any{"lastname": "Lee", "parentcustomerid_account@odata.bind": "/accounts(" + firm + ")"})
	steps := []struct {
		body string
		want any
	}{
		{`{"parentcustomerid_contact@odata.bind":"/contacts(` + other + `)"}`, other},
		{`{"parentcustomerid_account@odata.bind":null}`, other},
		{`{"parentcustomerid_contact@odata.bind":null,"parentcustomerid_account@odata.bind":"/accounts(` + firm + `)"}`, firm},
		{`{"parentcustomerid_account@odata.bind":null}`, nil},
	}
	for _, step := range steps {
		send(t, s, "PATCH", "contacts("+id+")", step.body).want(t, 204, "")
		if got := mustRow(t, s, "contact", id)["_parentcustomerid_value"]; got != step.want {
			t.Errorf("after %s: %v, want %v", step.body, got, step.want)
		}
	}
	send(t, s, "PATCH", "contacts("+id+")", `{"parentcustomerid_contact@odata.bind":"/contacts(`+other+`)","parentcustomerid_account@odata.bind":"/accounts(`+firm+`)"}`).want(t, 400, codeInvalidPayload)
}

func TestReferencesByRef(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	person := mustInsert(t, s, "contact", map[string]any{"lastname": "Lee"})
	id := mustInsert(t, s, "account", map[string]any{"accountnumber": "R"})
	send(t, s, "PUT", "accounts("+id+")/primarycontactid/$ref", `{"@odata.id":"http://org.example/api/data/v9.1/contacts(`+person+`)"}`).want(t, 204, "")
	if got := mustRow(t, s, "account", id)["_primarycontactid_value"]; got != person {
		t.Errorf("after PUT: %v", got)
	}
	send(t, s, "DELETE", "accounts("+id+")/primarycontactid/$ref", "").want(t, 204, "")
	if got := mustRow(t, s, "account", id)["_primarycontactid_value"]; got != nil {
		t.Errorf("after DELETE: %v", got)
	}
	send(t, s, "PUT", "accounts("+id+")/primarycontactid/$ref", `{}`).want(t, 400, codeInvalidPayload)
	send(t, s, "DELETE", "accounts("+id+")/name/$ref", "").want(t, 404, codeInvalidRequest)
}

func TestSingleProperties(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"accountnumber": "R"})
	path := "accounts(" + id + ")/description"
	send(t, s, "GET", path, "").want(t, 204, "")
	send(t, s, "PUT", path, `{"value":"text"}`).want(t, 204, "")
	a := send(t, s, "GET", path, "").want(t, 200, "")
	var got struct{ Value string }
	if a.decode(t, &got); got.Value != "text" {
		t.Errorf("value = %q", got.Value)
	}
	send(t, s, "DELETE", path, "").want(t, 204, "")
	send(t, s, "GET", path, "").want(t, 204, "")
	send(t, s, "PUT", path, `{"value":5}`).want(t, 400, codeInvalidPayload)
	send(t, s, "DELETE", "accounts("+testID(4)+")/description", "").want(t, 404, codeNotFound)
	send(t, s, "GET", "accounts("+id+")/nothing", "").want(t, 404, codeInvalidRequest)
	send(t, s, "GET", "accounts("+id+")/primarycontactid", "").want(t, 204, "")
	send(t, s, "POST", path, `{}`).want(t, 405, codeInvalidRequest)
}
