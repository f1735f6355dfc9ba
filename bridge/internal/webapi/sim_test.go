package webapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/bridge/sim"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

// organization is a simulated server with a client of it.
type organization struct {
	sim     *sim.Server
	client  *Client
	catalog schema.Catalog
}

// newOrganization starts a simulator and reads metadata through the client, as
// the bridge does: everything after rests on what was read over the wire.
func newOrganization(t *testing.T, o sim.Options) *organization {
	t.Helper()
	s, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	address, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	version := "v9.2"
	if o.Profile == sim.OnPremises {
		version = "v9.1"
	}
	c, err := New(Config{URL: address, Version: version, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		_ = s.Close()
	})
	catalog, err := c.Metadata(t.Context(), []string{"account", "contact"})
	if err != nil {
		t.Fatal(err)
	}
	return &organization{s, c, catalog}
}

// bothProfiles runs a test against an online and an on-premises server.
func bothProfiles(t *testing.T, test func(t *testing.T, profile sim.Profile)) {
	for _, p := range []sim.Profile{sim.Online, sim.OnPremises} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

func (o *organization) query(size int) outbound.Query {
	return outbound.Query{Table: o.catalog["account"], PageSize: size,
		Columns: []string{"accountnumber", "name", "revenue", "primarycontactid", "ownerid", "modifiedon", "lastusedincampaign"}}
}

// round reads pages until the delta link.
func (o *organization) round(t *testing.T, q outbound.Query, link string) (rows []outbound.Row, delta string, pages int) {
	t.Helper()
	for pages < 1000 {
		p, err := o.client.Page(t.Context(), q, link)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		rows = append(rows, p.Rows...)
		if p.Delta != "" {
			return rows, p.Delta, pages
		}
		link = p.Next
	}
	t.Fatal("the round does not end")
	return nil, "", 0
}

// write makes a keyed write of an account.
func (o *organization) write(t *testing.T, op schema.Operation, number, body string) *schema.Write {
	t.Helper()
	table := o.catalog["account"]
	value, _ := json.Marshal(number)
	key := []schema.KeyPart{{Column: "accountnumber", Value: value}}
	predicate, err := schema.KeyPredicate(table, key)
	if err != nil {
		t.Fatal(err)
	}
	w := &schema.Write{Operation: op, Table: "account", EntitySet: table.EntitySet, Key: key, Predicate: predicate}
	if body != "" {
		w.Body = json.RawMessage(body)
	}
	return w
}

func TestSimulatorMetadataIsReadBack(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		tables, err := sim.DefaultSchema()
		if err != nil {
			t.Fatal(err)
		}
		source := schema.NewCatalog(tables...)
		for _, name := range []string{"account", "contact"} {
			want, got := source[name], o.catalog[name]
			if got == nil {
				t.Fatalf("no table %s", name)
			}
			if got.EntitySet != want.EntitySet || got.PrimaryID != want.PrimaryID || got.Ownership != want.Ownership ||
				got.ChangeTracking != want.ChangeTracking {
				t.Errorf("%s: %+v", name, got)
			}
			for i := range want.Columns {
				w := &want.Columns[i]
				g := got.Column(w.LogicalName)
				if g == nil {
					t.Errorf("%s has no column %s", name, w.LogicalName)
					continue
				}
				if g.Type != w.Type || g.MaxLength != w.MaxLength || g.Behavior != w.Behavior || !slices.Equal(g.Targets, w.Targets) ||
					len(w.Options) > 0 && !cmp.Equal(g.Options, w.Options) {
					t.Errorf("%s.%s: %+v, want %+v", name, w.LogicalName, *g, *w)
				}
			}
			for _, k := range want.Keys {
				if g := got.Key(k.Columns); g == nil || g.Status == "" {
					t.Errorf("%s: key %v: %+v", name, k.Columns, g)
				}
			}
			for _, n := range want.Navigations {
				if g := got.Navigation(n.Column, n.Target); g == nil || g.Name != n.Name {
					t.Errorf("%s: navigation %s to %s: %+v", name, n.Column, n.Target, g)
				}
			}
		}
		for _, target := range []string{"systemuser", "team"} {
			if o.catalog[target] == nil || len(o.catalog[target].Columns) == 0 {
				t.Errorf("the lookup target %s is missing", target)
			}
		}
		who, err := o.client.WhoAmI(t.Context())
		if err != nil || !schema.IsGUID(who.UserID) || !schema.IsGUID(who.OrganizationID) {
			t.Errorf("%+v, %v", who, err)
		}
	})
}

func TestSimulatorIsFollowedThroughLoadAndDelta(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		if err := o.sim.Seed("account", 250, func(i int) map[string]any {
			return map[string]any{"accountnumber": fmt.Sprintf("A%03d", i), "name": fmt.Sprintf("Ünit %d \" \\ €", i), "revenue": 1000 + i}
		}); err != nil {
			t.Fatal(err)
		}
		rows, delta, pages := o.round(t, o.query(100), "")
		if len(rows) != 250 || pages != 3 {
			t.Fatalf("%d rows on %d pages", len(rows), pages)
		}
		byID := map[string]outbound.Row{}
		for _, r := range rows {
			if r.Deleted || r.Version <= 0 || r.Modified == "" || byID[r.ID].ID != "" {
				t.Fatalf("row %+v", r)
			}
			byID[r.ID] = r
			want, ok := o.sim.Row("account", r.ID)
			if !ok {
				t.Fatalf("no record %s", r.ID)
			}
			var got map[string]any
			d := json.NewDecoder(strings.NewReader(string(r.JSON)))
			d.UseNumber()
			if err := d.Decode(&got); err != nil {
				t.Fatal(err)
			}
			for name, value := range got {
				if fmt.Sprint(value) != fmt.Sprint(want[name]) {
					t.Fatalf("%s: %s is %v, want %v", r.ID, name, value, want[name])
				}
			}
		}
		ids := slices.Sorted(func(yield func(string) bool) {
			for id := range byID {
				if !yield(id) {
					return
				}
			}
		})
		if err := o.sim.Update("account", ids[0], map[string]any{"name": "changed"}); err != nil {
			t.Fatal(err)
		}
		if err := o.sim.Delete("account", ids[1]); err != nil {
			t.Fatal(err)
		}
		changes, next, _ := o.round(t, o.query(100), delta)
		if len(changes) != 2 || changes[0].ID != ids[0] || changes[0].Version <= byID[ids[0]].Version || changes[0].Hash == byID[ids[0]].Hash ||
			changes[1].ID != ids[1] || !changes[1].Deleted {
			t.Errorf("changes: %+v", changes)
		}
		if quiet, _, _ := o.round(t, o.query(100), next); len(quiet) != 0 {
			t.Errorf("nothing changed, yet %+v", quiet)
		}
		for id, want := range map[string]bool{ids[0]: true, ids[1]: false, guid1: false} {
			if there, err := o.client.Exists(t.Context(), o.query(0), id); err != nil || there != want {
				t.Errorf("%s exists: %t, %v", id, there, err)
			}
		}
	})
}

func TestSimulatorTakesEveryKindOfWrite(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		apply := func(w *schema.Write) (schema.Result, string) {
			t.Helper()
			r, err := o.client.Apply(t.Context(), w)
			if e := outcome.Of(err); e != nil {
				return r, string(e.Verdict) + " " + string(e.Reason)
			}
			if err != nil {
				return r, err.Error()
			}
			return r, string(r.Effect)
		}
		want := func(w *schema.Write, effect string, requests int) schema.Result {
			t.Helper()
			r, got := apply(w)
			if got != effect || r.Requests != requests {
				t.Errorf("%s %s %s: %s in %d requests, want %s in %d", w.Operation, w.Predicate, w.Body, got, r.Requests, effect, requests)
			}
			return r
		}
		upsert := o.write(t, schema.OpUpsert, "It's ünique", `{"name":"Fabrikam"}`)
		want(upsert, "written", 1)
		id, ok := o.sim.FindByKey("account", map[string]any{"accountnumber": "It's ünique"})
		if !ok {
			t.Fatal("nothing was written")
		}
		upsert.WantResult = true
		if r := want(upsert, "updated", 1); r.ID != id || r.Version <= 0 {
			t.Errorf("result %+v, want id %s", r, id)
		}
		fresh := o.write(t, schema.OpUpsert, "B1", `{"name":"B"}`)
		fresh.WantResult = true
		if r := want(fresh, "created", 1); r.ID == "" || r.Version <= 0 {
			t.Errorf("result %+v", r)
		}
		want(o.write(t, schema.OpCreate, "B1", `{"name":"B"}`), "reject duplicate", 1)
		want(o.write(t, schema.OpCreate, "C1", `{"name":"C"}`), "created", 1)
		want(o.write(t, schema.OpUpdate, "C1", `{"name":"C2"}`), "updated", 1)
		want(o.write(t, schema.OpUpdate, "nobody", `{"name":"C2"}`), "reject not_found", 1)

		onCreate := o.write(t, schema.OpUpsert, "D1", `{"name":"D"}`)
		onCreate.OnCreate = json.RawMessage(`{"name":"D","description":"new"}`)
		want(onCreate, "created", 2)
		want(onCreate, "updated", 1)

		const missing = `{"name":"x","primarycontactid@odata.bind":"/contacts(` + guid1 + `)"}`
		want(o.write(t, schema.OpUpsert, "E1", missing), "park missing_reference", 1)
		want(o.write(t, schema.OpUpdate, "C1", missing), "park missing_reference", 1)
		own := `{"name":"x","parentaccountid@odata.bind":"/accounts(accountnumber='nobody')"}`
		want(o.write(t, schema.OpUpdate, "C1", own), "park missing_reference", 2)
		want(o.write(t, schema.OpUpdate, "nobody2", own), "reject not_found", 2)
		want(o.write(t, schema.OpUpsert, "E1", `{"parentaccountid@odata.bind":"/accounts(accountnumber='B1')"}`), "written", 1)

		byID := &schema.Write{Operation: schema.OpUpdate, Table: "account", EntitySet: "accounts", ID: id, Predicate: id, Body: json.RawMessage(`{"name":"by id"}`)}
		want(byID, "updated", 1)
		want(o.write(t, schema.OpUpsert, "C1", `{"nothere":1}`), "reject invalid", 1)
		want(o.write(t, schema.OpUpsert, "C1", `{"name":"`+strings.Repeat("x", 161)+`"}`), "reject invalid", 1)
		want(o.write(t, schema.OpDelete, "C1", ""), "deleted", 1)
		want(o.write(t, schema.OpDelete, "C1", ""), "absent", 1)
	})
}

func TestSimulatedFaultsGetTheirVerdicts(t *testing.T) {
	t.Parallel()
	faults := sim.NewFaults(1)
	o := newOrganization(t, sim.Options{Faults: faults, TokenLifetime: time.Hour})
	_, delta, _ := o.round(t, o.query(100), "")
	for name, c := range map[string]struct {
		rule      sim.Rule
		verdict   string
		ambiguous bool
	}{
		"server error":      {sim.Rule{Kind: sim.FaultServerError, Status: 500}, "retry server", false},
		"gateway":           {sim.Rule{Kind: sim.FaultServerError, Status: 502}, "retry server", true},
		"plug-in":           {sim.Rule{Kind: sim.FaultError, Code: "0x80040265", Message: "no"}, "reject plugin", false},
		"second envelope":   {sim.Rule{Kind: sim.FaultPlainError, Code: "0x80040265", Message: "no"}, "reject plugin", false},
		"unauthorized":      {sim.Rule{Kind: sim.FaultUnauthorized}, "stop unauthorized", false},
		"cut before":        {sim.Rule{Kind: sim.FaultCutBeforeCommit}, "retry network", true},
		"cut after":         {sim.Rule{Kind: sim.FaultCutAfterCommit}, "retry network", true},
		"login page":        {sim.Rule{Kind: sim.FaultHTMLPage}, "retry bad_answer", true},
		"login redirect":    {sim.Rule{Kind: sim.FaultLoginRedirect, Host: "evil.example"}, "stop bad_answer", false},
		"another duplicate": {sim.Rule{Kind: sim.FaultError, Status: 412, Code: "0X80060892"}, "retry-race duplicate", false},
	} {
		c.rule.Times, c.rule.Method = 1, "PATCH"
		if faults.Add(c.rule) == 0 {
			t.Fatalf("%s: the rule is not taken", name)
		}
		_, err := o.client.Apply(t.Context(), o.write(t, schema.OpUpsert, "F1", `{"name":"F"}`))
		e := outcome.Of(err)
		if e == nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantVerdict(t, name, e, c.verdict)
		if e.Ambiguous != c.ambiguous {
			t.Errorf("%s: ambiguous %t", name, e.Ambiguous)
		}
	}
	for name, c := range map[string]struct {
		rule    sim.Rule
		verdict string
	}{
		"expired token":  {sim.Rule{Kind: sim.FaultExpiredToken}, "reject token_expired"},
		"gone token":     {sim.Rule{Kind: sim.FaultExpiredToken, Status: 410}, "reject token_expired"},
		"foreign link":   {sim.Rule{Kind: sim.FaultForeignLink, Host: "evil.example"}, "stop foreign_link"},
		"missing link":   {sim.Rule{Kind: sim.FaultMissingLink}, "retry bad_answer"},
		"truncated JSON": {sim.Rule{Kind: sim.FaultTruncatedJSON}, "retry bad_answer"},
		"cut body":       {sim.Rule{Kind: sim.FaultCutBody}, "retry network"},
		"empty body":     {sim.Rule{Kind: sim.FaultEmptyBody}, "retry bad_answer"},
		"login page":     {sim.Rule{Kind: sim.FaultHTMLPage}, "retry bad_answer"},
	} {
		c.rule.Times, c.rule.Method = 1, "GET"
		if faults.Add(c.rule) == 0 {
			t.Fatalf("%s: the rule is not taken", name)
		}
		p, err := o.client.Page(t.Context(), o.query(100), delta)
		e := outcome.Of(err)
		if p != nil || e == nil {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		wantVerdict(t, name, e, c.verdict)
	}
	if _, err := o.client.Page(t.Context(), o.query(100), delta); err != nil {
		t.Errorf("after all faults: %v", err)
	}
}

func TestARaceOfCreatesOnTheSimulatorEndsInOneRecord(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			w := o.write(t, schema.OpUpsert, "R1", fmt.Sprintf(`{"name":"writer %d"}`, i))
			w.OnCreate = w.Body
			for range 5 {
				_, err := o.client.Apply(context.Background(), w)
				if e := outcome.Of(err); e == nil || e.Verdict != outcome.RetryRace {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	group.Wait()
	n := 0
	_ = o.sim.Rows("account", func(_ string, row map[string]any) bool {
		if row["accountnumber"] == "R1" {
			n++
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d records, want one", n)
	}
}
