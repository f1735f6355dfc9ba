package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cebridge/schema"

	"github.com/google/go-cmp/cmp"
)

const track = "Prefer: odata.track-changes"

// goldenPage compares an answer with a file of testdata/pages.
func goldenPage(t *testing.T, name string, a answer) {
	t.Helper()
	a.want(t, 200, "")
	got := fmt.Sprintf("Preference-Applied: %s\nContent-Type: %s\n\n%s\n", a.header.Get("Preference-Applied"), a.header.Get("Content-Type"), a.body)
	goldenFile(t, "pages/"+name+".txt", []byte(got))
}

func TestTrackedPagesHaveTheDocumentedShape(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for i := range 3 {
		mustInsert(t, s, "account", map[string]any{"accountid": testID(i + 1), "name": fmt.Sprintf("Aster %d", i+1)})
	}
	first := send(t, s, "GET", "accounts?$select=name,accountnumber,versionnumber", "", "Prefer: odata.track-changes,odata.maxpagesize=2")
	goldenPage(t, "load-first", first)
	last := follow(t, s, first.page(t).Next, "Prefer: odata.track-changes,odata.maxpagesize=2")
	goldenPage(t, "load-last", last)
	link := last.page(t).Delta
	goldenPage(t, "delta-empty", follow(t, s, link))
	if err := s.Update("account", testID(2), map[string]any{"name": "Aster Two"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("account", testID(1)); err != nil {
		t.Fatal(err)
	}
	goldenPage(t, "delta", follow(t, s, link))
	goldenPage(t, "plain", send(t, s, "GET", "accounts?$select=name,_ownerid_value,statecode&$count=true", "", `Prefer: odata.maxpagesize=1, odata.include-annotations="*"`))
}

func TestDeltaListsChangesByVersionThenDeletes(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for i := range 4 {
		mustInsert(t, s, "account", map[string]any{"accountid": testID(i), "name": "old"})
	}
	link := send(t, s, "GET", "accounts?$select=name", "", track).page(t).Delta
	for _, change := range []func() error{
		func() error { return s.Delete("account", testID(0)) },
		func() error { return s.Update("account", testID(3), map[string]any{"name": "1st"}) },
		func() error { return s.Update("account", testID(1), map[string]any{"name": "never seen"}) },
		func() error { _, err := s.Insert("account", map[string]any{"accountid": testID(8)}); return err },
		func() error { return s.Delete("account", testID(8)) },
		func() error { return s.Update("account", testID(1), map[string]any{"name": "2nd"}) },
		func() error { return s.Delete("account", testID(2)) },
		func() error {
			_, err := s.Insert("account", map[string]any{"accountid": testID(2), "name": "again"})
			return err
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{testID(3) + " 1st", testID(1) + " 2nd", testID(2) + " again", testID(0) + " deleted", testID(8) + " deleted"}
	for _, size := range []int{1, 2, 3, 5000} {
		var got []string
		pages := 0
		for next := link; ; pages++ {
			p := follow(t, s, next, fmt.Sprintf("Prefer: odata.maxpagesize=%d", size)).page(t)
			for _, row := range p.Value {
				if row["reason"] == "deleted" {
					got = append(got, row["id"].(string)+" deleted")
				} else {
					got = append(got, row["accountid"].(string)+" "+row["name"].(string))
				}
			}
			if p.Next == "" {
				if p.Delta == "" {
					t.Fatal("the last page has no delta link")
				}
				break
			}
			if p.Delta != "" {
				t.Error("a page has both links")
			}
			next = p.Next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", size, diff)
		}
		if size == 1 && pages != 4 {
			t.Errorf("%d full pages of one row", pages)
		}
	}
	count := follow(t, s, strings.Replace(strings.Replace(link, "accounts?", "accounts/$count?", 1), "$select=name&", "", 1))
	if count.want(t, 200, "").body != "\xef\xbb\xbf5" {
		t.Errorf("count = %q", count.body)
	}
}

func TestChangesWhileALoadIsPagedAreInItsDelta(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		s := newTestServer(t, Options{Assumptions: Assumptions{TokenFromLastPage: lost}})
		for i := range 3 {
			mustInsert(t, s, "account", map[string]any{"accountid": testID(i), "name": "old"})
		}
		first := send(t, s, "GET", "accounts?$select=name", "", "Prefer: odata.track-changes,odata.maxpagesize=2").page(t)
		if err := s.Update("account", testID(0), map[string]any{"name": "changed behind"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete("account", testID(1)); err != nil {
			t.Fatal(err)
		}
		last := follow(t, s, first.Next, "Prefer: odata.track-changes,odata.maxpagesize=2").page(t)
		delta := follow(t, s, last.Delta).page(t)
		if want := 2; !lost && len(delta.Value) != want || lost && len(delta.Value) != 0 {
			t.Errorf("TokenFromLastPage %t: %d entries in the delta", lost, len(delta.Value))
		}
	}
}

func TestTrackingRefusesWhatItDoesNotTake(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for _, option := range []string{"$filter=name eq 'x'", "$orderby=name", "$top=1", "$expand=primarycontactid"} {
		a := send(t, s, "GET", "accounts?"+option, "", track).want(t, 400, codeInvalidRequest)
		name, _, _ := strings.Cut(option, "=")
		if !strings.Contains(a.body, `The \"`+name+`\" query parameter isn't supported when Change Tracking is enabled.`) {
			t.Errorf("%s: %s", option, a.body)
		}
	}
	premises := newTestServer(t, Options{Profile: OnPremises})
	send(t, premises, "GET", "accounts?$expand=primarycontactid", "", track).want(t, 200, "")
	send(t, s, "GET", "equipments", "", track).want(t, 400, codeTrackingOff)
	send(t, s, "GET", "equipments", "").want(t, 200, "")
}

func TestTrackingSwitchedOffLaterStopsDeltas(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	link := send(t, s, "GET", "accounts", "", track).page(t).Delta
	if err := s.AlterTable("account", false, func(t *schema.Table) error { t.ChangeTracking = false; return nil }); err != nil {
		t.Fatal(err)
	}
	follow(t, s, link).want(t, 400, codeTrackingOff)
}

func TestAnnotationsDropTheDeltaLink(t *testing.T) {
	t.Parallel()
	const all = `Prefer: odata.track-changes,odata.include-annotations="*"`
	s := newTestServer(t, Options{})
	if p := send(t, s, "GET", "accounts", "", all).page(t); p.Delta != "" || p.Next != "" {
		t.Errorf("links %q %q", p.Delta, p.Next)
	}
	kept := newTestServer(t, Options{Assumptions: Assumptions{KeepDeltaLinkWithAnnotations: true}})
	if p := send(t, kept, "GET", "accounts", "", all).page(t); p.Delta == "" {
		t.Error("no delta link")
	}
}

func TestPlaceOfTheDeltaLink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		assume Assumptions
		load   bool // link before the rows of a load
		delta  bool
	}{
		{Assumptions{}, false, true},
		{Assumptions{DeltaLinkFirst: true}, true, true},
		{Assumptions{DeltaLinkLast: true}, false, false},
	} {
		s := newTestServer(t, Options{Assumptions: c.assume})
		before := func(a answer) bool { return strings.Index(a.body, "deltaLink") < strings.Index(a.body, `"value"`) }
		load := send(t, s, "GET", "accounts", "", track)
		if before(load) != c.load || before(follow(t, s, load.page(t).Delta)) != c.delta {
			t.Errorf("%+v: link in the wrong place", c.assume)
		}
	}
}

func TestExpiredTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		o      Options
		days   int
		status int
	}{
		{"online fault", Options{}, 7, 400},
		{"online gone", Options{Assumptions: Assumptions{ExpiredGone: true}}, 7, 410},
		{"on premises everything", Options{Profile: OnPremises}, 90, 200},
		{"online told to dump", Options{ExpiredToken: ExpiredDump, TokenLifetime: 48 * time.Hour}, 2, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := epoch
			c.o.Now = func() time.Time { return now }
			s := newTestServer(t, c.o)
			for i := range 3 {
				mustInsert(t, s, "account", map[string]any{"accountid": testID(i)})
			}
			link := send(t, s, "GET", "accounts", "", track).page(t).Delta
			if err := s.Delete("account", testID(0)); err != nil {
				t.Fatal(err)
			}
			now = epoch.AddDate(0, 0, c.days)
			if p := follow(t, s, link).page(t); len(p.Value) != 1 {
				t.Fatalf("%d entries at the last moment", len(p.Value))
			}
			now = now.Add(time.Second)
			a := follow(t, s, link, "Prefer: odata.track-changes,odata.maxpagesize=1")
			if c.status != 200 {
				a.want(t, c.status, codeExpiredVersion)
				return
			}
			p := a.page(t)
			if !strings.HasSuffix(p.Context, "/$delta") || len(p.Value) != 1 || p.Value[0]["reason"] != nil {
				t.Fatalf("not a silent dump: %s", a.body)
			}
			p = follow(t, s, p.Next).page(t)
			if len(p.Value) != 1 || p.Delta == "" {
				t.Fatalf("the dump ends with %d rows, delta link %q", len(p.Value), p.Delta)
			}
			if p := follow(t, s, p.Delta).page(t); len(p.Value) != 0 {
				t.Errorf("%d entries after the dump", len(p.Value))
			}
		})
	}
}

func TestTokenLifetimeFollowsTheOrganization(t *testing.T) {
	t.Parallel()
	now := epoch
	s := newTestServer(t, Options{Now: func() time.Time { return now }})
	link := send(t, s, "GET", "accounts", "", track).page(t).Delta
	send(t, s, "PATCH", "organizations("+wellKnown.organization.String()+")", `{"expirechangetrackingindays":1}`).want(t, 204, "")
	now = now.Add(25 * time.Hour)
	follow(t, s, link).want(t, 400, codeExpiredVersion)
}

func TestTokensExpireOnDemandAndOnSchemaChange(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	load := func() string { return send(t, s, "GET", "accounts", "", track).page(t).Delta }
	link := load()
	if err := s.ExpireTokens("account"); err != nil {
		t.Fatal(err)
	}
	follow(t, s, link).want(t, 400, codeExpiredVersion)
	link = load()
	follow(t, s, link).want(t, 200, "") // although nothing was written since
	mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "name": "n"})
	link = load()
	if err := s.AlterTable("account", true, func(t *schema.Table) error {
		t.Columns = append(t.Columns, schema.Column{LogicalName: "new_extra", Type: schema.TypeString, MaxLength: 10})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	follow(t, s, link).want(t, 400, codeExpiredVersion)
	if err := s.Update("account", testID(1), map[string]any{"new_extra": "x"}); err != nil {
		t.Fatal(err)
	}
	if row := mustRow(t, s, "account", testID(1)); row["new_extra"] != "x" || row["name"] != "n" {
		t.Errorf("row after the schema change: %v", row)
	}
	if err := s.AlterTable("account", false, func(t *schema.Table) error { t.Columns = t.Columns[1:]; return nil }); err == nil {
		t.Error("columns moved")
	}
}

func TestOldDeltaLinksMayBeFollowedAgain(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	link := send(t, s, "GET", "accounts?$select=name", "", track).page(t).Delta
	mustInsert(t, s, "account", map[string]any{"name": "n"})
	a, b := follow(t, s, link), follow(t, s, link)
	if a.body != b.body || len(a.page(t).Value) != 1 {
		t.Errorf("answers differ:\n%s\n%s", a.body, b.body)
	}
}

func TestPageSizeOnDeltaFlips(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{Assumptions: Assumptions{NoPageSizeOnDelta: true}})
	link := send(t, s, "GET", "accounts", "", track).page(t).Delta
	for range 3 {
		mustInsert(t, s, "account", nil)
	}
	if p := follow(t, s, link, "Prefer: odata.maxpagesize=1").page(t); len(p.Value) != 3 {
		t.Errorf("%d rows", len(p.Value))
	}
}

func TestLateCommitHidesBehindTokens(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "name": "old"})
	older := send(t, s, "GET", "accounts?$select=name", "", track).page(t).Delta
	commit, err := s.LateUpdate("account", testID(1), map[string]any{"name": "late"})
	if err != nil {
		t.Fatal(err)
	}
	mustInsert(t, s, "account", map[string]any{"accountid": testID(2)})
	newer := follow(t, s, older).page(t)
	if len(newer.Value) != 1 {
		t.Fatalf("an open transaction is visible: %v", newer.Value)
	}
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	if p := follow(t, s, newer.Delta).page(t); len(p.Value) != 0 {
		t.Errorf("the late commit is not hidden: %v", p.Value)
	}
	if p := follow(t, s, older).page(t); len(p.Value) != 2 || p.Value[0]["name"] != "late" {
		t.Errorf("the older link does not show it: %v", p.Value)
	}
	if err := commit(); err == nil {
		t.Error("a transaction committed twice")
	}
}

func TestRestoreGoesBackInVersions(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "accountnumber": "A", "name": "before"})
	mustInsert(t, s, "account", map[string]any{"accountid": testID(2)})
	backup := s.Snapshot()
	version := s.Stats().Version
	if err := s.Update("account", testID(1), map[string]any{"name": "after", "accountnumber": "B"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("account", testID(2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(backup); err != nil {
		t.Fatal(err)
	}
	if s.Stats().Version != version {
		t.Errorf("version %d, want %d", s.Stats().Version, version)
	}
	if row := mustRow(t, s, "account", testID(1)); row["name"] != "before" {
		t.Errorf("name = %v", row["name"])
	}
	if _, ok := s.FindByKey("account", map[string]any{"accountnumber": "B"}); ok {
		t.Error("a key of the lost time is still there")
	}
	mustRow(t, s, "account", testID(2))
	if p := send(t, s, "GET", "accounts?$select=name", "", track).page(t); len(p.Value) != 2 {
		t.Errorf("%d rows", len(p.Value))
	}
	if err := newTestServer(t, Options{}).Restore(backup); err == nil {
		t.Error("another server took the snapshot")
	}
	log := s.Log(1)
	if last := log[len(log)-1]; last.Kind != KindRestore || last.Version != version {
		t.Errorf("log ends with %+v", last)
	}
}
