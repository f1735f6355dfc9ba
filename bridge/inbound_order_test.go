package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cebridge/bridge/sim"
)

const revisedRoute = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      ambiguity_bound: 3s
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name, numberofemployees: data.revision}
      revision: data.revision
`

// customer is the data of an event with a revision.
func customer(id string, revision int) map[string]any {
	return map[string]any{"id": id, "name": fmt.Sprintf("%s %d", id, revision), "revision": revision}
}

func TestAnOlderRevisionIsSupersededAlsoAfterARestart(t *testing.T) {
	r := newRig(t, revisedRoute, nil)
	for i, step := range []struct {
		revision int
		want     string
	}{{9, "written"}, {10, "written"}, {9, "superseded"}, {10, "superseded"}, {11, "written"}, {2, "superseded"}} {
		if i == 3 {
			r.restart(revisedRoute)
		}
		r.send("erp.customer", "com.example.customer", fmt.Sprint(i), customer("A1", step.revision))
		if s := r.next(); s.Outcome != step.want {
			t.Errorf("step %d: revision %d was %s, want %s (%v)", i, step.revision, s.Outcome, step.want, s.Err)
		}
	}
	r.settledUpTo(6)
	id, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": "A1"})
	if got := row(t, r.sim, "account", id)["name"]; got != "A1 11" {
		t.Errorf("the record is %v", got)
	}
	if n := r.sim.Requests().Of("PATCH", sim.RequestRecord); n != 3 {
		t.Errorf("%d requests, want one for each revision that was newer", n)
	}
}

func TestAWriteAppliedLateByTheServerIsNeverANewStateOfTheRecord(t *testing.T) {
	t.Parallel()
	faults := sim.NewFaults(1)
	route := strings.Replace(revisedRoute, "      revision: data.revision\n", "", 1)
	r := newRigWith(t, route, sim.Options{RecordWrites: true, Faults: faults}, nil)
	const keys, perKey = 20, 3
	faults.Add(sim.Rule{Kind: sim.FaultLateApply, Method: "PATCH", Delay: time.Second, Probability: 0.3})
	for n := range perKey {
		for k := range keys {
			id := fmt.Sprintf("L%d", k)
			r.send("erp.customer", "com.example.customer", fmt.Sprintf("%s-%d", id, n), customer(id, n+1))
		}
	}
	for range keys * perKey {
		r.written()
	}
	last, late := map[string]int{}, 0
	for _, e := range r.sim.Log(0) {
		switch e.Kind {
		case sim.KindFault:
			late++
		case sim.KindCommit:
			if e.Table != "account" {
				continue
			}
			var n int
			if _, err := fmt.Sscan(fmt.Sprint(e.Columns["numberofemployees"]), &n); err != nil {
				t.Fatal(err)
			}
			if n < last[e.ID] {
				t.Errorf("record %s went back from %d to %d", e.ID, last[e.ID], n)
			}
			last[e.ID] = n
		}
	}
	if late == 0 || len(last) != keys {
		t.Errorf("%d faults, %d records", late, len(last))
	}
}
