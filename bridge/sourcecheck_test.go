package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
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
	t.Parallel()
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
	t.Parallel()
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

// A column that is secured and hidden reads as null without an error. It halts the
// table, at the start and while it runs; no null is published in place of a value.
func TestAHiddenColumnIsNeverPublishedAsNull(t *testing.T) {
	t.Parallel()
	var ids []string
	secure := func(s *sim.Server, hidden bool) {
		t.Helper()
		if err := s.SecureColumn("account", "fax", hidden); err != nil {
			t.Fatal(err)
		}
	}
	r := newRigWith(t, followSmallPages, sim.Options{RecordWrites: true}, func(s *sim.Server) {
		ids = manyAccounts(t, s, 8)
		secure(s, true)
	})
	if detail := r.halted(); !strings.Contains(detail, "hides fax of table account") || !strings.Contains(detail, "field security profile") {
		t.Errorf("halted by %q", detail)
	}
	next := r.events("crm.contoso.account.>")
	secure(r.sim, false) // a profile gives it to the user; it stays a secured column
	r.resume(followSmallPages)
	for range ids {
		if e := next(); e.change() != "loaded" || e.Data.Record["fax"] == nil {
			t.Errorf("%s %s with fax %v", e.change(), e.ID, e.Data.Record["fax"])
		}
	}
	secure(r.sim, true)
	if err := r.sim.Update("account", ids[2], map[string]any{"name": "changed"}); err != nil {
		t.Fatal(err)
	}
	r.halted()
	secure(r.sim, false)
	r.resume(followSmallPages)
	if e := next(); e.Subject != ids[2] || e.change() != "updated" || strings.Contains(e.ChangedColumns, "fax") || e.Data.Record["fax"] != "F2" {
		t.Errorf("after the repair: %s, changed %s: %v", e.ID, e.ChangedColumns, e.Data.Record)
	}
	// A value that a person cleared is no lost right.
	if err := r.sim.Update("account", ids[3], map[string]any{"fax": nil}); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Subject != ids[3] || !strings.Contains(e.ChangedColumns, "fax") || e.Data.Record["fax"] != nil {
		t.Errorf("a cleared column: %s, changed %s", e.ID, e.ChangedColumns)
	}
}

// What is taken from the bridge while it runs halts the table by name with the next
// action; nothing is deleted or nulled, and nothing is lost once it is given back.
func TestWhatIsTakenFromARunningTableHaltsItAndLosesNothing(t *testing.T) {
	tracking := func(on bool) func(*rig, *sim.Faults) {
		return func(r *rig, _ *sim.Faults) {
			if err := r.sim.AlterTable("account", false, func(t *schema.Table) error { t.ChangeTracking = on; return nil }); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		take, give func(*rig, *sim.Faults)
		want       string
	}{
		"the privilege to read": {
			func(_ *rig, f *sim.Faults) { f.Add(sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "account"}) },
			func(_ *rig, f *sim.Faults) { f.Clear() }, "organization-level read"},
		"change tracking": {tracking(false), tracking(true), "change tracking is on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := sim.NewFaults(1)
			var ids []string
			r := newRigWith(t, followSmallPages, sim.Options{Faults: faults, RecordWrites: true}, func(s *sim.Server) { ids = manyAccounts(t, s, 8) })
			next := r.events("crm.contoso.account.>")
			for range ids {
				next()
			}
			c.take(r, faults)
			if detail := r.halted(); !strings.Contains(detail, c.want) || !strings.Contains(detail, "account") {
				t.Errorf("halted by %q", detail)
			}
			if err := r.sim.Update("account", ids[1], map[string]any{"name": "while halted"}); err != nil {
				t.Fatal(err)
			}
			if err := r.sim.Delete("account", ids[4]); err != nil {
				t.Fatal(err)
			}
			r.resume(followSmallPages) // too early
			r.halted()
			c.give(r, faults)
			r.resume(followSmallPages)
			got := map[string]string{}
			for range 2 {
				e := next()
				got[e.Subject] = e.change()
			}
			if diff := cmp.Diff(map[string]string{ids[1]: "updated", ids[4]: "deleted"}, got); diff != "" {
				t.Errorf("after the repair (-want +got):\n%s", diff)
			}
		})
	}
}

// A dropped column voids the delta link, and no full read can select it: the table
// halts. With the column out of the configuration a new epoch begins; what has not
// changed otherwise is published without it, and nothing is deleted but what is gone.
func TestADroppedColumnHaltsTheTableUntilItIsOutOfTheConfiguration(t *testing.T) {
	t.Parallel()
	var ids []string
	r := newRig(t, followSmallPages, func(s *sim.Server) { ids = manyAccounts(t, s, 8) })
	next := r.events("crm.contoso.account.>")
	for range ids {
		next()
	}
	if err := r.sim.DropColumn("account", "fax"); err != nil {
		t.Fatal(err)
	}
	if err := r.sim.Delete("account", ids[4]); err != nil {
		t.Fatal(err)
	}
	if err := r.sim.Update("account", ids[1], map[string]any{"name": "while halted"}); err != nil {
		t.Fatal(err)
	}
	if detail := r.halted(); !strings.Contains(detail, "columns exist") {
		t.Errorf("halted by %q", detail)
	}
	r.restart(strings.Replace(followSmallPages, ", fax]", "]", 1))
	got := map[string]string{}
	for range ids {
		e := next()
		if !strings.HasPrefix(e.Sequence, "0002.") || e.change() == "updated" && e.Data.Record["name"] == nil {
			t.Errorf("%s %s, sequence %s: %v", e.change(), e.ID, e.Sequence, e.Data.Record)
		}
		if _, has := e.Data.Record["fax"]; has {
			t.Errorf("%s has the dropped column", e.ID)
		}
		got[e.Subject] += e.change()
	}
	want := map[string]string{}
	for _, id := range ids {
		want[id] = "updated"
	}
	want[ids[4]] = "deleted"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in the new epoch (-want +got):\n%s", diff)
	}
}
