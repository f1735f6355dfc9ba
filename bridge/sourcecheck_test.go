package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

// followSmallPages follows accounts in pages of five.
const followSmallPages = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber, fax], poll: 100ms, page_size: 5}
`

// manyAccounts makes n accounts and returns their ids.
func manyAccounts(t *testing.T, s *sim.Server, n int) (ids []string) {
	for i := range n {
		ids = append(ids, insert(t, s, "account", map[string]any{"name": fmt.Sprint(i), "accountnumber": fmt.Sprint("A", i), "fax": fmt.Sprint("F", i)}))
	}
	return ids
}

// halted waits until the only table is halted, and returns why.
func (r *rig) halted() string {
	r.t.Helper()
	r.until("the table is halted", func() bool { return r.bridge.Status().Tables[0].State == "halted" })
	return r.bridge.Status().Tables[0].Detail
}

// resume does what `cebridge resume` does.
func (r *rig) resume(text string) {
	r.t.Helper()
	if _, err := r.operator(text).Control(r.ctx, bridge.ActionResume, "account", false); err != nil {
		r.t.Fatal(err)
	}
}

// Rows that a server's paging skips, in a load, in a round of changes and in a resync,
// reach the stream all the same.
func TestRowsThatMoveBetweenPagesAreNotLost(t *testing.T) {
	faults := sim.NewFaults(1)
	var ids []string
	r := newRigWith(t, followSmallPages, sim.Options{Faults: faults, RecordWrites: true}, func(s *sim.Server) {
		ids = manyAccounts(t, s, 23)
		faults.Add(sim.Rule{Kind: sim.FaultSkippedRow, Table: "account", Times: 3})
	})
	next := r.events("crm.contoso.account.>")
	all := func(change, name string) {
		t.Helper()
		seen := map[string]bool{}
		for len(seen) < len(ids) {
			e := next()
			if seen[e.Subject] || e.change() != change || name != "" && e.Data.Record["name"] != name {
				t.Fatalf("event %s %s %v, want one %s of each record", e.change(), e.ID, e.Data.Record["name"], change)
			}
			seen[e.Subject] = true
		}
	}
	all("loaded", "")
	if n := faults.Counts()[string(sim.FaultSkippedRow)]; n != 3 {
		t.Fatalf("%d rows were skipped in the load", n)
	}

	r.stop()
	for _, id := range ids {
		if err := r.sim.Update("account", id, map[string]any{"name": "changed"}); err != nil {
			t.Fatal(err)
		}
	}
	faults.Add(sim.Rule{Kind: sim.FaultSkippedRow, Table: "account", Times: 2})
	r.start(followSmallPages)
	all("updated", "changed")

	r.stop()
	for _, id := range ids {
		if err := r.sim.Update("account", id, map[string]any{"name": "changed again"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.sim.ExpireTokens("account"); err != nil {
		t.Fatal(err)
	}
	faults.Add(sim.Rule{Kind: sim.FaultSkippedRow, Table: "account", Times: 2})
	r.start(followSmallPages)
	all("updated", "changed again")
	if n := faults.Counts()[string(sim.FaultSkippedRow)]; n != 7 {
		t.Errorf("%d rows were skipped in all, want 7", n)
	}
}

// A resync over many gone records asks for them in a few requests, and a right that is
// lost in the middle deletes none.
func TestDeletesOfAResyncAreConfirmedInBatches(t *testing.T) {
	faults := sim.NewFaults(1)
	var ids []string
	text := strings.Replace(followSmallPages, "page_size: 5", "page_size: 5000, max_deletes: 2000", 1)
	r := newRigWith(t, text, sim.Options{Faults: faults}, func(s *sim.Server) { ids = manyAccounts(t, s, 1010) })
	next := r.events("crm.contoso.account.>")
	for range ids {
		next()
	}
	r.stop()
	for _, id := range ids[:1000] {
		if err := r.sim.Delete("account", id); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.sim.ExpireTokens("account"); err != nil {
		t.Fatal(err)
	}
	// The load is one request; then the reads in the batches are refused in the middle.
	faults.Add(sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "account", Method: "GET", After: 700, Times: 1})
	before := r.sim.Requests()
	r.start(text)
	if detail := r.halted(); !strings.Contains(detail, "organization-level read") {
		t.Errorf("halted by %q", detail)
	}
	r.resume(text)
	for range 1000 {
		if e := next(); e.change() != "deleted" || e.ReadBy != "resync" {
			t.Fatalf("event %s %s", e.change(), e.ID)
		}
	}
	after := r.sim.Requests()
	if n := after.Of("POST", sim.RequestBatch) - before.Of("POST", sim.RequestBatch); n > 6 {
		t.Errorf("%d batches for 1000 gone records, read twice", n)
	}
	if n := after.Of("GET", sim.RequestRecord) - before.Of("GET", sim.RequestRecord); n != 0 {
		t.Errorf("%d single look-ups", n)
	}
}
