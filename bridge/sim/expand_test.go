package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// family is an account with a primary contact and three contacts that belong to it.
func family(t testing.TB, o Options) (s *Server, account string, contacts []string) {
	t.Helper()
	s = newTestServer(t, o)
	account = mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "name": "Contoso"})
	for i, name := range []string{"Ada", "Bob", "Cleo"} {
		contacts = append(contacts, mustInsert(t, s, "contact", map[string]any{
			"contactid": testID(10 + i), "firstname": name, "lastname": "Lee",
			"parentcustomerid_account@odata.bind": "/accounts(" + account + ")",
		}))
	}
	if err := s.Update("account", account, map[string]any{"primarycontactid@odata.bind": "contacts(" + contacts[1] + ")"}); err != nil {
		t.Fatal(err)
	}
	return s, account, contacts
}

func relationName(t testing.TB, s *Server, from, column string) string {
	t.Helper()
	n := s.catalogNow().byName[from].def.Load().Navigation(column, "account")
	return relation{s.catalogNow().byName[from].def.Load().Table, n, "account", "accountid"}.schemaName()
}

func TestExpandOfALookupNestsTheRecord(t *testing.T) {
	t.Parallel()
	s, account, contacts := family(t, Options{})
	other := mustInsert(t, s, "account", map[string]any{"name": "alone"})
	query := "?$select=name&$expand=primarycontactid($select=fullname,contactid)"
	got := map[string]any{}
	send(t, s, "GET", "accounts("+account+")"+query, "").want(t, 200, "").decode(t, &got)
	if want := "http://org.example/api/data/v9.1/$metadata#accounts(name,primarycontactid(fullname,contactid))/$entity"; got["@odata.context"] != want {
		t.Errorf("context %v", got["@odata.context"])
	}
	inner, _ := got["primarycontactid"].(map[string]any)
	if inner["fullname"] != "Bob Lee" || inner["contactid"] != contacts[1] || inner["@odata.etag"] == nil || len(inner) != 3 {
		t.Errorf("nested record %v", inner)
	}
	for _, row := range send(t, s, "GET", "accounts"+query, "").page(t).Value {
		if row["accountid"] == other {
			if value, there := row["primarycontactid"]; !there || value != nil {
				t.Errorf("an empty lookup expands to %v", value)
			}
		}
	}
}

func TestExpandOfAnOwnerHasOnlyItsDeclaredKey(t *testing.T) {
	t.Parallel()
	s, account, _ := family(t, Options{})
	got := map[string]any{}
	send(t, s, "GET", "accounts("+account+")?$select=name&$expand=ownerid", "").want(t, 200, "").decode(t, &got)
	inner, _ := got["ownerid"].(map[string]any)
	if inner["@odata.type"] != "#Microsoft.Dynamics.CRM.systemuser" || inner["ownerid"] != wellKnown.user.String() {
		t.Errorf("owner %v", inner)
	}
	send(t, s, "GET", "accounts?$expand=ownerid($select=fullname)", "").want(t, 400, codeInvalidRequest)
}

func TestExpandOfACollectionTakesNestedOptions(t *testing.T) {
	t.Parallel()
	s, account, contacts := family(t, Options{})
	name := relationName(t, s, "contact", "parentcustomerid")
	names := func(options string, headers ...string) (list []string, row map[string]any) {
		send(t, s, "GET", "accounts("+account+")?$select=name&$expand="+name+options, "", headers...).want(t, 200, "").decode(t, &row)
		inner, _ := row[name].([]any)
		for _, r := range inner {
			list = append(list, r.(map[string]any)["firstname"].(string))
		}
		return list, row
	}
	for options, want := range map[string]string{
		"($select=firstname)":                                             "Ada Bob Cleo",
		"($select=firstname;$orderby=firstname desc)":                     "Cleo Bob Ada",
		"($select=firstname;$filter=contains(firstname,'o'))":             "Bob Cleo",
		"($select=firstname;$orderby=firstname desc;$top=1)":              "Cleo",
		"($select=firstname;$filter=firstname eq 'x;y,(z)')":              "",
		"($select=firstname,lastname),primarycontactid($select=fullname)": "Ada Bob Cleo",
	} {
		if got, _ := names(options); strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", options, got, want)
		}
	}
	first, row := names("($select=firstname)", "Prefer: odata.maxpagesize=2")
	link, _ := row[name+"@odata.nextLink"].(string)
	rest := follow(t, s, link, "Prefer: odata.maxpagesize=2").page(t)
	if len(first) != 2 || len(rest.Value) != 1 || rest.Value[0]["contactid"] != contacts[2] || rest.Next != "" {
		t.Errorf("first %v, behind the link %v", first, rest.Value)
	}
}

func TestACollectionBehindARecordIsAQuery(t *testing.T) {
	t.Parallel()
	s, account, contacts := family(t, Options{})
	mustInsert(t, s, "contact", map[string]any{"lastname": "elsewhere"})
	path := "accounts(" + account + ")/" + relationName(t, s, "contact", "parentcustomerid")
	var ids []string
	page := send(t, s, "GET", path+"?$select=lastname&$filter=lastname ne null", "", "Prefer: odata.maxpagesize=2").page(t)
	for {
		for _, row := range page.Value {
			ids = append(ids, row["contactid"].(string))
		}
		if page.Next == "" {
			break
		}
		page = follow(t, s, page.Next, "Prefer: odata.maxpagesize=2").page(t)
	}
	if diff := cmp.Diff(contacts, ids); diff != "" {
		t.Error(diff)
	}
	one := map[string]any{}
	send(t, s, "GET", "accounts("+account+")/primarycontactid?$select=fullname", "").want(t, 200, "").decode(t, &one)
	if one["fullname"] != "Bob Lee" || !strings.HasSuffix(one["@odata.context"].(string), "#contacts(fullname)/$entity") {
		t.Errorf("behind the lookup: %v", one)
	}
	send(t, s, "GET", "accounts("+testID(99)+")/primarycontactid", "").want(t, 404, codeNotFound)
	send(t, s, "PATCH", "accounts("+account+")/primarycontactid", `{}`).want(t, 501, "")
}

func TestReferencesAssociateAndDisassociate(t *testing.T) {
	t.Parallel()
	s, account, contacts := family(t, Options{})
	second := mustInsert(t, s, "account", map[string]any{"accountid": testID(2), "name": "Fabrikam"})
	name := relationName(t, s, "contact", "parentcustomerid")
	parent := func(contact string) any { return mustRow(t, s, "contact", contact)["_parentcustomerid_value"] }

	single := "accounts(" + second + ")/primarycontactid/$ref"
	send(t, s, "GET", single, "").want(t, 204, "")
	send(t, s, "PUT", single, `{"@odata.id":"http://org.example/api/data/v9.1/contacts(`+contacts[0]+`)"}`).want(t, 204, "")
	var ref map[string]string
	send(t, s, "GET", single, "").want(t, 200, "").decode(t, &ref)
	if !strings.HasSuffix(ref["@odata.id"], "/contacts("+contacts[0]+")") || !strings.HasSuffix(ref["@odata.context"], "$metadata#$ref") {
		t.Errorf("reference %v", ref)
	}
	send(t, s, "DELETE", single, "").want(t, 204, "")
	send(t, s, "GET", single, "").want(t, 204, "")

	many := "accounts(" + second + ")/" + name
	send(t, s, "POST", many+"/$ref", `{"@odata.id":"contacts(`+contacts[0]+`)"}`).want(t, 204, "")
	if parent(contacts[0]) != second {
		t.Errorf("associated: %v", parent(contacts[0]))
	}
	send(t, s, "DELETE", many+"("+contacts[1]+")/$ref", "").want(t, 404, codeNotFound) // is related to the other account
	send(t, s, "DELETE", many+"("+contacts[0]+")/$ref", "").want(t, 204, "")
	if parent(contacts[0]) != nil {
		t.Errorf("disassociated: %v", parent(contacts[0]))
	}
	send(t, s, "DELETE", "accounts("+account+")/"+name+"/$ref?$id=http://org.example/api/data/v9.1/contacts("+contacts[2]+")", "").want(t, 204, "")
	if parent(contacts[2]) != nil {
		t.Errorf("disassociated by $id: %v", parent(contacts[2]))
	}

	send(t, s, "POST", many+"/$ref", `{"@odata.id":"accounts(`+account+`)"}`).want(t, 400, codeInvalidPayload)
	send(t, s, "POST", many+"/$ref", `{"@odata.id":"contacts(`+testID(99)+`)"}`).want(t, 404, codeNotFound)
	send(t, s, "POST", many+"/$ref", `{"@odata.id":5}`).want(t, 400, codeInvalidPayload)
	send(t, s, "POST", many+"/$ref", `{}`).want(t, 400, codeInvalidPayload)
	send(t, s, "POST", "accounts("+testID(99)+")/"+name+"/$ref", `{"@odata.id":"contacts(`+contacts[0]+`)"}`).want(t, 404, codeNotFound)
	send(t, s, "DELETE", many+"/$ref", "").want(t, 400, codeInvalidRequest)
	send(t, s, "PUT", many+"/$ref", `{"@odata.id":"contacts(`+contacts[0]+`)"}`).want(t, 405, codeInvalidRequest)
	send(t, s, "PUT", "accounts("+account+")/nothing/$ref", `{"@odata.id":"contacts(`+contacts[0]+`)"}`).want(t, 404, codeInvalidRequest)
}

func TestPathsAreReadInTheirDecodedForm(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"name": "n", "accountnumber": "A 1"})
	for _, path := range []string{
		"accounts%28" + id + "%29", "accounts(accountnumber=%27A%201%27)", "accounts%28accountnumber%3D%27A%201%27%29",
		"WhoAmI%28%29", "RetrieveVersion()", "EntityDefinitions%28LogicalName=%27account%27%29?$select=LogicalName",
		"%24metadata", "accounts/%24count", "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'",
	} {
		if a := send(t, s, "GET", path, ""); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestParameterAliasesInAFilter(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for i := range 3 {
		mustInsert(t, s, "account", map[string]any{"name": fmt.Sprintf("n%d", i), "numberofemployees": i})
	}
	page := send(t, s, "GET", "accounts?$select=name&$filter=name eq @n or numberofemployees gt @m&@n='n0'&@m=1", "").page(t)
	if len(page.Value) != 2 {
		t.Errorf("rows %v", page.Value)
	}
	for _, query := range []string{"$filter=name eq @n", "$filter=name eq @n&@n='a' or true", "$filter=name eq @n&@n=@n"} {
		send(t, s, "GET", "accounts?"+query, "").want(t, 400, codeInvalidRequest)
	}
}
