package bridge_test

import (
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
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

// A person who looked at the two records accepts the new one without a restart.
func TestAResumeAcceptsTheRecordThatAReusedKeyMeansNow(t *testing.T) {
	t.Parallel()
	var before string
	text := mergedRoute("reject")
	r := newRig(t, text, func(s *sim.Server) {
		before = insert(t, s, "account", map[string]any{"accountnumber": "A", "name": "Fabrikam"})
	})
	send := func(name string) {
		r.send("erp.customer", "com.example.customer", name, map[string]any{"id": "A", "name": name})
	}
	send("first")
	if got := r.written(); got.Result.ID != before {
		t.Errorf("written to %s, want %s", got.Result.ID, before)
	}
	if err := r.sim.Update("account", before, map[string]any{"accountnumber": "OLD"}); err != nil {
		t.Fatal(err)
	}
	now := insert(t, r.sim, "account", map[string]any{"accountnumber": "A", "name": "Contoso"})
	for range 2 {
		send("second")
		if got := r.next(); got.Err == nil || got.Err.Reason != outcome.KeyReused || !strings.Contains(got.Err.Message, "resume the route") {
			t.Fatalf("%s: %v, want a reused key and what to do", got.Outcome, got.Err)
		}
	}
	op := r.operator(text)
	if was, err := op.ResumeRoute(r.ctx, "customers"); err != nil || was == string(inbound.StateStopped) {
		t.Fatalf("it was %q: %v", was, err)
	}
	list := r.letters(op, bridge.LetterFilter{State: bridge.LetterDead})
	if len(list) != 2 {
		t.Fatalf("%d letters, want 2", len(list))
	}
	if _, err := op.RetryDeadLetter(r.ctx, list[1], nil); err != nil {
		t.Fatal(err)
	}
	if got := r.written(); got.Result.ID != now || row(t, r.sim, "account", now)["name"] != "second" {
		t.Errorf("written to %s, want %s", got.Result.ID, now)
	}
	if row(t, r.sim, "account", before)["name"] != "first" {
		t.Error("the record that the key meant before was written")
	}
}

func TestAContactIsBoundToTheAccountThatItsOwnWasMergedInto(t *testing.T) {
	routes := `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      start: all
      table: contact
      key: {emailaddress1: data.mail}
      lookups: {parentcustomerid: {account: {accountnumber: data.of}}}
      merged: redirect
`
	var master string
	r := newRig(t, routes, func(s *sim.Server) { master, _ = twoMerged(t, s) })
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"mail": "ann@contoso.com", "of": "B"})
	if got := r.written(); got.Result.Requests != 4 { // for the contact, the account, the one it was merged into; the write
		t.Errorf("%+v", got.Result)
	}
	id, _ := r.sim.FindByKey("contact", map[string]any{"emailaddress1": "ann@contoso.com"})
	if got := row(t, r.sim, "contact", id); got["_parentcustomerid_value"] != master {
		t.Errorf("the contact is %v, want it bound to %s", got, master)
	}
}

func TestAMergedAccountThatALookupNamesIsADeadLetterThatNamesTheOneThatGoesOn(t *testing.T) {
	routes := `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      start: all
      table: contact
      key: {emailaddress1: data.mail}
      lookups: {parentcustomerid: 'ref("account", {"accountnumber": data.of})'}
      merged: reject
`
	var master string
	r := newRig(t, routes, func(s *sim.Server) { master, _ = twoMerged(t, s) })
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"mail": "ann@contoso.com", "of": "B"})
	got := r.next()
	if e := outcome.Of(got.Err); e == nil || e.Reason != outcome.Merged || !strings.Contains(e.Message, "the record of account that is referred to was merged into "+master) {
		t.Errorf("%s: %v", got.Outcome, got.Err)
	}
	r.send("erp.customer", "com.example.customer", "2", map[string]any{"mail": "ann@contoso.com", "of": "A"})
	r.written()
}
