package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge/sim"
)

// An expired delta token, as a refusal and as a quiet dump of everything, ends in a
// resync: consumers get what changed, the deletes, and nothing twice.
func TestAnExpiredTokenLosesNeitherChangesNorDeletes(t *testing.T) {
	for _, mode := range []sim.ExpiredTokenMode{sim.ExpiredFault, sim.ExpiredDump} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			var ids []string
			r := newRigWith(t, followAccounts, sim.Options{RecordWrites: true, ExpiredToken: mode}, func(s *sim.Server) {
				for i := range 20 {
					ids = append(ids, insert(t, s, "account", map[string]any{"name": fmt.Sprint(i), "accountnumber": fmt.Sprint("A", i)}))
				}
			})
			next := r.events("crm.contoso.account.>")
			seen := map[string]bool{}
			for range ids {
				seen[next().ID] = true
			}
			r.stop()
			if err := r.sim.Update("account", ids[3], map[string]any{"name": "changed while away"}); err != nil {
				t.Fatal(err)
			}
			if err := r.sim.Delete("account", ids[5]); err != nil {
				t.Fatal(err)
			}
			if err := r.sim.ExpireTokens("account"); err != nil {
				t.Fatal(err)
			}
			r.start(followAccounts)
			if e := next(); seen[e.ID] || e.Subject != ids[3] || e.change() != "updated" {
				t.Errorf("after the expiry: %s %s", e.change(), e.ID)
			}
			if e := next(); e.Subject != ids[5] || e.change() != "deleted" || e.ReadBy != "resync" || e.Data.Previous["accountnumber"] != "A5" {
				t.Errorf("the delete is missing: %+v", e)
			}
			last := insert(t, r.sim, "account", map[string]any{"name": "life goes on"})
			if e := next(); e.Subject != last || e.change() != "created" {
				t.Errorf("after the resync: %s %s", e.change(), e.ID)
			}
		})
	}
}

// A different list of columns begins a new epoch and fills the new ones in.
func TestChangedColumnsArePublishedUnderANewEpoch(t *testing.T) {
	var id string
	r := newRig(t, followAccounts, func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "ABC123", "telephone1": "555"})
	})
	next := r.events("crm.contoso.account.>")
	first := next()
	r.restart(strings.Replace(followAccounts, "accountnumber,", "accountnumber, telephone1,", 1))
	e := next()
	if e.ID != first.ID+"@2" || e.Subject != id || e.change() != "updated" || e.ChangedColumns != "telephone1" ||
		!strings.HasPrefix(e.Sequence, "0002.") || fmt.Sprint(e.Data.Record["telephone1"]) != "555" {
		t.Errorf("after the change: %+v", e)
	}
}
