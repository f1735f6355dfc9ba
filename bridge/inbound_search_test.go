package bridge_test

import (
	"strings"
	"testing"

	"cebridge/bridge/sim"
)

const searchRoute = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      start: all
      give_up: 1m
      park_after: 200ms
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name, revenue: data.?amount.orValue(omit())}
      lookups:
        transactioncurrencyid: {transactioncurrency: {resolve: {currencyname: data.?currency.orValue(omit()), statecode: 0}}}
        parentaccountid: {account: {accountnumber: data.?parent.orValue(omit())}}
        ownerid: {systemuser: {domainname: data.?owner.orValue(omit())}}
`

func currency(s *sim.Server, name, code string) (id string, err error) {
	return s.Insert("transactioncurrency", map[string]any{
		"currencyname": name, "isocurrencycode": code, "currencysymbol": code, "currencyprecision": 2, "exchangerate": 1,
	})
}

// One route meets everything that only a search finds: its own key, a key it refers
// to, a login name with a backslash, and a table without a key for the column.
func TestWhatNoURLTakesIsSearchedForAndWritten(t *testing.T) {
	var user, euro string
	r := newRig(t, searchRoute, func(s *sim.Server) {
		var err error
		if user, err = s.Insert("systemuser", map[string]any{"domainname": `CONTOSO\ann`, "lastname": "Ann"}); err != nil {
			t.Fatal(err)
		}
		if euro, err = currency(s, "Euro & more", "EUR"); err != nil {
			t.Fatal(err)
		}
	})
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "A/B 100%", "name": "parent"})
	parent := r.written()
	if parent.Result.Requests != 2 || parent.Result.ID == "" {
		t.Errorf("the parent took %+v", parent.Result)
	}
	r.send("erp.customer", "com.example.customer", "2", map[string]any{
		"id": "C#1", "name": "child", "amount": 12345678.25, "currency": "Euro & more", "parent": "A/B 100%", "owner": `CONTOSO\ann`,
	})
	child := r.written()
	if child.Result.Requests != 5 { // currency, parent and owner, the record itself, the write
		t.Errorf("the child took %d requests", child.Result.Requests)
	}
	r.send("erp.customer", "com.example.customer", "3", map[string]any{"id": "c#1 ", "name": "again", "currency": "Euro & more"})
	again := r.written()
	if again.Result.Requests != 2 || again.Result.ID != child.Result.ID {
		t.Errorf("the second write of %s took %+v", child.Result.ID, again.Result)
	}
	row, ok := r.sim.Row("account", child.Result.ID)
	if !ok {
		t.Fatal("the child is not there")
	}
	for name, want := range map[string]any{
		"name": "again", "accountnumber": "C#1", "_ownerid_value": user, "_transactioncurrencyid_value": euro, "_parentaccountid_value": parent.Result.ID,
	} {
		if row[name] != want {
			t.Errorf("%s is %v, want %v", name, row[name], want)
		}
	}
}

// A message that refers to a record only a search finds waits for it like any other,
// and goes on when another message writes it.
func TestAMessageWaitsForARecordThatOnlyASearchFinds(t *testing.T) {
	r := newRig(t, searchRoute, nil)
	r.send("erp.customer", "com.example.customer", "child", map[string]any{"id": "K1", "name": "child", "parent": "P/1"})
	r.send("erp.customer", "com.example.customer", "parent", map[string]any{"id": "P/1", "name": "parent"})
	parent := r.written()
	child := r.written()
	if child.Message.Sequence != 1 {
		parent, child = child, parent
	}
	id, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": "K1"})
	if row, _ := r.sim.Row("account", id); row["_parentaccountid_value"] != parent.Result.ID || parent.Result.ID == "" {
		t.Errorf("the child refers to %v, the parent is %s", row["_parentaccountid_value"], parent.Result.ID)
	}
}

func TestAnAmbiguousSearchIsADeadLetterThatNamesTheColumns(t *testing.T) {
	r := newRig(t, searchRoute, func(s *sim.Server) {
		for _, code := range []string{"AAA", "BBB"} {
			if _, err := currency(s, "Twin", code); err != nil {
				t.Fatal(err)
			}
		}
	})
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "T1", "name": "n", "currency": "Twin"})
	s := r.next()
	if s.Err == nil || !strings.Contains(s.Err.Message, "several records of transactioncurrency have this currencyname, statecode") {
		t.Errorf("settled with %v", s.Err)
	}
	if strings.Contains(s.Err.Error(), "Twin") {
		t.Errorf("the error holds the value: %v", s.Err)
	}
}
