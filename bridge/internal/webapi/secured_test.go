package webapi

import (
	"net/http"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/outbound"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

func TestColumnsThatTheUserMayNotReadAreNamed(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		faults := sim.NewFaults(1)
		o := newOrganization(t, sim.Options{Profile: profile, Faults: faults})
		hidden := func(columns ...string) []string {
			t.Helper()
			got, err := o.client.Unreadable(t.Context(), outbound.Query{Table: o.catalog["account"], Columns: columns})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		secure := func(column string, secured bool) {
			t.Helper()
			if err := o.sim.SecureColumn("account", column, secured); err != nil {
				t.Fatal(err)
			}
		}
		o.sim.ResetRequests()
		if got := hidden("name", "fax"); len(got) != 0 || o.sim.Requests().Total() != 1 {
			t.Errorf("no column is secured, yet %v after %v", got, o.sim.Requests())
		}
		secure("fax", true)
		secure("telephone2", true)
		if diff := cmp.Diff([]string{"fax", "telephone2"}, hidden("telephone2", "name", "fax")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := hidden("name"); len(got) != 0 {
			t.Errorf("columns that are not asked for: %v", got)
		}
		secure("fax", false) // a profile allows it
		if diff := cmp.Diff([]string{"telephone2"}, hidden("telephone2", "name", "fax")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		secure("telephone2", false)
		// Permissions that cannot be read count as none; what may pass is an error.
		faults.Add(sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "systemuser"})
		if diff := cmp.Diff([]string{"fax", "telephone2"}, hidden("telephone2", "name", "fax")); diff != "" {
			t.Errorf("without read on users (-want +got):\n%s", diff)
		}
		faults.Clear()
		faults.Add(sim.Rule{Kind: sim.FaultServerError, PathContains: "AttributePrivileges"})
		if got, err := o.client.Unreadable(t.Context(), outbound.Query{Table: o.catalog["account"], Columns: []string{"fax"}}); len(got) != 0 || outcome.Of(err) == nil || outcome.Of(err).Status != http.StatusServiceUnavailable {
			t.Errorf("%v, %v", got, err)
		}
	})
}
