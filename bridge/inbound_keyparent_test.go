package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema/outcome"
)

const branchRoutes = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      ambiguity_bound: 3s
      park_after: 100ms
      give_up: 1h
      table: account
      key: {parentaccountid: {account: {accountnumber: data.parent}}, new_erpnumber: data.branch}
      columns: {name: data.name}
    parents:
      stream: ERP
      subjects: [erp.parent]
      start: all
      ack_wait: 5s
      ambiguity_bound: 3s
      table: account
      key: {accountnumber: data.number}
      columns: {name: data.name}
`

func branchMessage(i int) map[string]any {
	return map[string]any{"parent": "a1", "branch": "Berlin", "name": fmt.Sprint(i)}
}

func branchRow(t *testing.T, s *sim.Server, parent string) map[string]any {
	t.Helper()
	id, ok := s.FindByKey("account", map[string]any{"_parentaccountid_value": parent, "new_erpnumber": "Berlin"})
	if !ok {
		t.Fatal("there is no branch")
	}
	return row(t, s, "account", id)
}

func TestARecordIsWrittenByAKeyInWhichAnotherIsNamed(t *testing.T) {
	var parent string
	r := newRigWith(t, branchRoutes, sim.Options{RecordWrites: true, Tables: addressTables(t)}, func(s *sim.Server) {
		parent = insert(t, s, "account", map[string]any{"accountnumber": "A1", "name": "Contoso"})
	})
	for i := range 3 {
		r.send("erp.customer", "com.example.branch", fmt.Sprint(i), branchMessage(i))
		if got := r.written(); got.Result.Requests != 2 {
			t.Errorf("message %d took %d requests", i, got.Result.Requests)
		}
		if got := branchRow(t, r.sim, parent); got["name"] != fmt.Sprint(i) {
			t.Errorf("the branch is %v", got)
		}
	}
}

// The messages wait in one lane, whatever the case in which they name the parent, and
// are released in their order when the other route writes it.
func TestMessagesWaitForTheRecordThatIsNamedInTheirKey(t *testing.T) {
	t.Parallel()
	routes := strings.Replace(branchRoutes, "park_after: 100ms", "park_after: 1h", 1)
	r := newRigWith(t, routes, sim.Options{RecordWrites: true, Tables: addressTables(t)}, nil)
	for i := range 110 {
		m := branchMessage(i)
		if i%2 == 0 {
			m["parent"], m["branch"] = "A1", "BERLIN"
		}
		r.send("erp.customer", "com.example.branch", fmt.Sprint(i), m)
	}
	r.settledUpTo(110)
	if n := len(r.settled); n != 0 {
		t.Fatalf("%d messages have their final fate before the parent is there", n)
	}
	r.send("erp.parent", "com.example.parent", "p", map[string]any{"number": "A1", "name": "Contoso"})
	for range 111 {
		r.written()
	}
	parent, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": "A1"})
	if got := branchRow(t, r.sim, parent); got["name"] != "109" {
		t.Errorf("the branch is %v, want the last message", got)
	}
}

func TestADeadLetterNamesTheRecordThatItsKeyWaitedFor(t *testing.T) {
	routes := strings.Replace(branchRoutes, "give_up: 1h", "give_up: 1s", 1)
	r := newRigWith(t, routes, sim.Options{RecordWrites: true, Tables: addressTables(t)}, nil)
	r.send("erp.customer", "com.example.branch", "1", branchMessage(1))
	got := r.next()
	e := outcome.Of(got.Err)
	if e == nil || e.Reason != outcome.MissingReference || !strings.Contains(e.Message, "no record of account has this accountnumber") {
		t.Fatalf("%s: %v", got.Outcome, got.Err)
	}
	letter, err := r.js.Stream(r.ctx, "CRM_CONTOSO_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	m, err := letter.GetLastMsgForSubject(r.ctx, "crm-dead.contoso.>")
	if err != nil {
		t.Fatal(err)
	}
	if path := m.Header.Get("Crm-Dead-Path"); !strings.Contains(path, "{accounts?$select=accountid&$filter=accountnumber%20eq%20%27a1%27") {
		t.Errorf("the letter's request is %s", path)
	}
}
