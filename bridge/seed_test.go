package bridge_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"cebridge/bridge/sim"
)

const seedRoute = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      start: all
      table: account
      key: {accountnumber: data.id}
      columns: {statecode: '0', statuscode: '1'}
      lookups:
        primarycontactid: {contact: {emailaddress1: data.contact}}
        new_region: {new_region: {new_code: data.region}}
        ownerid: {systemuser: {internalemailaddress: data.owner}}
`

// The event of the task that began it all: what used to be seven calls is one.
func TestTheSeedExampleIsOnePatchAndNoRead(t *testing.T) {
	var contact, region, owner string
	r := newRig(t, seedRoute, func(s *sim.Server) {
		contact = insert(t, s, "contact", map[string]any{"lastname": "Sample", "emailaddress1": "contact@company.com"})
		region = insert(t, s, "new_region", map[string]any{"new_code": "NW", "new_name": "North West"})
		owner = insert(t, s, "systemuser", map[string]any{"lastname": "User", "domainname": `CONTOSO\user`, "internalemailaddress": "user@mycompany.com"})
		insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "ABC123"})
	})
	r.sim.ResetRequests()
	r.send("erp.customer", "com.example.customer", "1", map[string]any{
		"id": "ABC123", "contact": "contact@company.com", "region": "NW", "owner": "user@mycompany.com",
	})
	s := r.written()

	if got := r.sim.Requests(); got.Total() != 1 || got.Of("PATCH", sim.RequestRecord) != 1 {
		t.Errorf("requests after start-up: %v, want one PATCH and nothing else", got)
	}
	if got, want := s.Write.Path(), "accounts(accountnumber='ABC123')"; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	var body map[string]any
	if err := json.Unmarshal(s.Write.Body, &body); err != nil {
		t.Fatal(err)
	}
	wantBody := map[string]any{
		"statecode": 0.0, "statuscode": 1.0,
		"primarycontactid@odata.bind": "/contacts(emailaddress1='contact%40company.com')",
		"new_Region@odata.bind":       "/new_regions(new_code='NW')",
		"ownerid@odata.bind":          "/systemusers(internalemailaddress='user%40mycompany.com')",
	}
	if fmt.Sprint(body) != fmt.Sprint(wantBody) {
		t.Errorf("body\n got %v\nwant %v", body, wantBody)
	}

	id, ok := r.sim.FindByKey("account", map[string]any{"accountnumber": "ABC123"})
	if !ok {
		t.Fatal("the account is gone")
	}
	account := row(t, r.sim, "account", id)
	for column, want := range map[string]any{
		"_primarycontactid_value": contact, "_new_region_value": region, "_ownerid_value": owner, "statecode": 0, "statuscode": 1,
	} {
		if fmt.Sprint(account[column]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", column, account[column], want)
		}
	}
}
