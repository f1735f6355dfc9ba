package bridge_test

import (
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
)

const addressRoutes = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  codes: {status: {open: 0, closed: 1}}
  routes:
    branches:
      stream: ERP
      subjects: [erp.branch]
      start: all
      table: account
      key: {parentaccountid: data.parent, new_erpnumber: data.branch}
      columns: {name: data.name}
    people:
      stream: ERP
      subjects: [erp.person]
      start: all
      table: contact
      key: {firstname: data.first, lastname: data.last}
      columns: {new_personno: string(data.no)}
      lookups:
        parentcustomerid: 'data.kind == "company" ? ref("account", {"accountnumber": data.of}) : data.kind == "person" ? ref("contact", {"new_personno": data.of}) : null'
    byid:
      stream: ERP
      subjects: [erp.byid]
      start: all
      table: account
      operation: update
      id: data.guid
      columns:
        statecode: code("status", data.status)
        lastusedincampaign: localDate(data.at, "Europe/Berlin")
    bylogin:
      stream: ERP
      subjects: [erp.login]
      start: all
      table: account
      operation: update
      resolve: {name: data.name, statecode: 0}
      columns: {description: '"found"'}
`

// addressTables are the simulator's own with a composite key of texts and one that
// contains a lookup.
func addressTables(t *testing.T) []*schema.Table {
	t.Helper()
	shared, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	var tables []*schema.Table
	for _, s := range shared {
		table := *s
		switch table.LogicalName {
		case "account":
			table.Keys = append(table.Keys[:1:1], schema.AlternateKey{LogicalName: "new_branchkey", SchemaName: "new_BranchKey",
				Columns: []string{"parentaccountid", "new_erpnumber"}, Status: schema.KeyActive})
		case "contact":
			table.Keys = append(table.Keys[:len(table.Keys):len(table.Keys)], schema.AlternateKey{LogicalName: "new_fullnamekey", SchemaName: "new_FullNameKey",
				Columns: []string{"firstname", "lastname"}, Status: schema.KeyActive})
		}
		tables = append(tables, &table)
	}
	return tables
}

func TestEveryWayToAddressARecordReachesIt(t *testing.T) {
	var parent string
	r := newRigWith(t, addressRoutes, sim.Options{RecordWrites: true, Tables: addressTables(t)}, func(s *sim.Server) {
		var err error
		if parent, err = s.Insert("account", map[string]any{"name": "Contoso", "accountnumber": "0012345678"}); err != nil {
			t.Fatal(err)
		}
		if _, err = s.Insert("account", map[string]any{"name": "Fabrikam", "accountnumber": "12345678"}); err != nil {
			t.Fatal(err)
		}
	})
	written := func(subject string, requests int, data map[string]any) {
		t.Helper()
		r.send(subject, "com.example.x", subject, data)
		if s := r.written(); s.Result.Requests != requests {
			t.Errorf("%s %v took %d requests, want %d", subject, data, s.Result.Requests, requests)
		}
	}
	row := func(table string, key map[string]any) map[string]any {
		t.Helper()
		id, ok := r.sim.FindByKey(table, key)
		if !ok {
			t.Fatalf("no %s %v", table, key)
		}
		found, _ := r.sim.Row(table, id)
		return found
	}

	// A lookup in the key: by URL, and by a search where the other part needs one.
	for i, name := range []string{"one", "two"} {
		written("erp.branch", 1, map[string]any{"parent": parent, "branch": "Berlin", "name": name})
		if got := row("account", map[string]any{"_parentaccountid_value": parent, "new_erpnumber": "Berlin"}); got["name"] != name {
			t.Errorf("round %d: %v", i, got)
		}
		written("erp.branch", 2, map[string]any{"parent": parent, "branch": "A/B", "name": name})
		if got := row("account", map[string]any{"_parentaccountid_value": parent, "new_erpnumber": "A/B"}); got["name"] != name || got["_parentaccountid_value"] != parent {
			t.Errorf("round %d: %v", i, got)
		}
	}

	// A key of two columns, and a customer that is a company, a person, nobody.
	// The digits of the company's number decide which one it is.
	person := map[string]any{"first": "Ann", "last": "O'Neil (7), Süd=1", "no": 4711, "kind": "company", "of": "0012345678"}
	key := map[string]any{"firstname": "Ann", "lastname": "O'Neil (7), Süd=1"}
	written("erp.person", 1, person)
	if got := row("contact", key); got["_parentcustomerid_value"] != parent || got["new_personno"] != "4711" {
		t.Errorf("of a company: %v", got)
	}
	person["of"] = 12345678
	written("erp.person", 1, person)
	if got := row("contact", key); got["_parentcustomerid_value"] == parent || got["_parentcustomerid_value"] == nil {
		t.Errorf("of the other company: %v", got)
	}
	written("erp.person", 1, map[string]any{"first": "Bob", "last": "B", "no": 1, "kind": "person", "of": "4711"})
	ann, _ := r.sim.FindByKey("contact", key)
	if got := row("contact", map[string]any{"firstname": "Bob", "lastname": "B"}); got["_parentcustomerid_value"] != ann {
		t.Errorf("of a person: %v", got)
	}
	person["kind"] = "nobody"
	written("erp.person", 1, person)
	if got := row("contact", key); got["_parentcustomerid_value"] != nil {
		t.Errorf("of nobody: %v", got)
	}

	// By a search that is no key, which the state keeps to one record, and by GUID.
	written("erp.login", 2, map[string]any{"name": "Fabrikam"})
	if got := row("account", map[string]any{"accountnumber": "12345678"}); got["description"] != "found" {
		t.Errorf("by a search: %v", got)
	}
	written("erp.byid", 1, map[string]any{"guid": parent, "status": "closed", "at": "2026-03-28T23:30:00Z"})
	if got, _ := r.sim.Row("account", parent); got["lastusedincampaign"] != "2026-03-29" || got["statuscode"] == nil {
		t.Errorf("by GUID: %v", got)
	}
}
