package webapi

import (
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/outbound"

	"github.com/google/go-cmp/cmp"
)

// What compare rests on: the same record read by change tracking, in a page, or alone
// is the same row.
func TestUntrackedRowsAreThoseOfTheTrackedPages(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		for i := range 25 {
			if _, err := o.sim.Insert("account", map[string]any{"name": fmt.Sprint("Contoso ", i, " \"ü"), "revenue": 1.5}); err != nil {
				t.Fatal(err)
			}
		}
		q := o.query(10)
		want := map[string]outbound.Row{}
		rows, _, _ := o.round(t, q, "")
		for _, r := range rows {
			want[r.ID] = r
		}
		got := map[string]outbound.Row{}
		pages := 0
		for link := ""; ; pages++ {
			p, err := o.client.Untracked(t.Context(), q, link)
			if err != nil {
				t.Fatal(err)
			}
			if p.Delta != "" {
				t.Error("a page without change tracking has a delta link")
			}
			for _, r := range p.Rows {
				got[r.ID] = r
			}
			if link = p.Next; link == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != 2 {
			t.Errorf("%d links followed:\n%s", pages, diff)
		}
		for id, r := range want {
			one, err := o.client.Record(t.Context(), q, id)
			if err != nil || one == nil {
				t.Fatalf("record %s: %v", id, err)
			}
			if one.Hash != r.Hash || one.Version != r.Version || one.ID != id {
				t.Errorf("alone it is %+v, in a page %+v", one, r)
			}
		}
		if one, err := o.client.Record(t.Context(), q, "00000000-0000-0000-0000-00000000dead"); one != nil || err != nil {
			t.Errorf("a record that is not there: %+v, %v", one, err)
		}
		if _, err := o.client.Record(t.Context(), q, "x' or 1"); err == nil {
			t.Error("what is no GUID is asked for")
		}
	})
}

func TestAPlainPageMayEndWithoutALinkAndATrackedOneMayNot(t *testing.T) {
	t.Parallel()
	const last, tracked = `{"value":[]}`, `{"value":[],"@odata.deltaLink":"accounts?$deltatoken=1"}`
	if _, err := splitPlain(strings.NewReader(last), "accountid"); err != nil {
		t.Error(err)
	}
	if _, err := splitPage(strings.NewReader(last), "accountid"); err == nil {
		t.Error("a tracked page without a link is accepted")
	}
	if _, err := splitPlain(strings.NewReader(tracked), "accountid"); err == nil {
		t.Error("a delta link that nobody asked for is accepted")
	}
}

// The list names every record with its version, in an order that no change disturbs.
func TestTheListIsCompleteAndInTheOrderOfIDs(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile, MaxPageSize: 10})
		ids, _ := inSim(t, o, 35, func(i int) bool { return i%5 == 0 })
		versions := map[string]int64{}
		rows, _, _ := o.round(t, o.query(0), "")
		for _, r := range rows {
			versions[r.ID] = r.Version
		}
		got, last := map[string]int64{}, ""
		for link, first := "", true; first || link != ""; first = false {
			p, err := o.client.List(t.Context(), o.query(0), link)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Rows {
				if r.ID <= last {
					t.Errorf("%s stands behind %s", r.ID, last)
				}
				got[r.ID], last = r.Version, r.ID
			}
			if link = p.Next; link != "" && len(got) == 10 {
				// A change of what was listed does not show it again, nor hide another.
				if err := o.sim.Update("account", p.Rows[0].ID, map[string]any{"name": "changed"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if diff := cmp.Diff(versions, got); diff != "" || len(got) != len(ids)-7 {
			t.Errorf("the list (-read +listed):\n%s", diff)
		}
	})
}
