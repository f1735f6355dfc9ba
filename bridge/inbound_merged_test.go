package bridge_test

import (
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema/outcome"
)

func mergedRoute(rule string) string {
	return `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      start: all
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
      merged: ` + rule + `
`
}

// twoMerged makes two accounts, of which B was merged into A.
func twoMerged(t *testing.T, s *sim.Server) (master, merged string) {
	t.Helper()
	master = insert(t, s, "account", map[string]any{"accountnumber": "A", "name": "Fabrikam"})
	merged = insert(t, s, "account", map[string]any{"accountnumber": "B", "name": "Fabrikam Ltd"})
	if err := s.Merge("account", master, merged); err != nil {
		t.Fatal(err)
	}
	return master, merged
}

func TestAMessageForAMergedRecordIsWrittenToTheOneThatGoesOn(t *testing.T) {
	var master, merged string
	r := newRig(t, mergedRoute("redirect"), func(s *sim.Server) { master, merged = twoMerged(t, s) })
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "B", "name": "Fabrikam Inc"})
	if got := r.written(); got.Result.ID != master || got.Result.Requests != 3 {
		t.Errorf("%+v, want the record %s in three requests", got.Result, master)
	}
	if a, b := row(t, r.sim, "account", master), row(t, r.sim, "account", merged); a["name"] != "Fabrikam Inc" || a["accountnumber"] != "A" || b["name"] != "Fabrikam Ltd" {
		t.Errorf("the records are\n%v\n%v", a, b)
	}
	r.send("erp.customer", "com.example.customer", "2", map[string]any{"id": "C", "name": "Contoso"})
	if got := r.written(); got.Result.Requests != 2 {
		t.Errorf("a new record took %+v", got.Result)
	}
}

func TestAMessageForAMergedRecordIsADeadLetterThatNamesTheOneThatGoesOn(t *testing.T) {
	var master, merged string
	r := newRig(t, mergedRoute("reject"), func(s *sim.Server) { master, merged = twoMerged(t, s) })
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "B", "name": "Fabrikam Inc"})
	got := r.next()
	if e := outcome.Of(got.Err); e == nil || e.Reason != outcome.Merged || !strings.Contains(e.Message, master) {
		t.Errorf("%s: %v", got.Outcome, got.Err)
	}
	if row(t, r.sim, "account", merged)["name"] != "Fabrikam Ltd" {
		t.Error("the merged record was written")
	}
	r.send("erp.customer", "com.example.customer", "2", map[string]any{"id": "A", "name": "Fabrikam Inc"})
	if got := r.written(); got.Result.ID != master {
		t.Errorf("%+v", got.Result)
	}
}
