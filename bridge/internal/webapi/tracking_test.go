package webapi

import (
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

func TestChangeTrackingIsSwitchedOnAndPublished(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		if err := o.sim.AlterTable("account", false, func(t *schema.Table) error { t.ChangeTracking = false; return nil }); err != nil {
			t.Fatal(err)
		}
		tracked := func() bool {
			cat, err := o.client.Metadata(t.Context(), []string{"account"})
			if err != nil {
				t.Fatal(err)
			}
			return cat["account"].ChangeTracking
		}
		if tracked() {
			t.Fatal("it is on before")
		}
		for range 2 { // a second time changes nothing
			if err := o.client.EnableChangeTracking(t.Context(), "account"); err != nil {
				t.Fatal(err)
			}
			if !tracked() {
				t.Fatal("it is still off")
			}
		}
		if err := o.client.EnableChangeTracking(t.Context(), "nonsense"); outcome.Of(err) == nil {
			t.Errorf("an unknown table: %v", err)
		}
	})
}
