package bridge_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

const followReferences = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account:
      columns: [name, primarycontactid, ownerid]
      poll: 100ms
      references: {primarycontactid: [emailaddress1, fullname], ownerid: {systemuser: [domainname]}}
`

func TestEventsNameWhatTheirLookupsPointAt(t *testing.T) {
	var with, without, contact string
	r := newRig(t, followReferences, func(s *sim.Server) {
		contact = insert(t, s, "contact", map[string]any{"firstname": "Ann", "lastname": "Ng", "emailaddress1": "ng@contoso.com"})
		with = insert(t, s, "account", map[string]any{"name": "Contoso", "primarycontactid@odata.bind": "/contacts(" + contact + ")"})
		without = insert(t, s, "account", map[string]any{"name": "Fabrikam"})
	})
	next := r.events("crm.contoso.account.>")
	references := func(e outEvent) map[string]any {
		var data struct{ References map[string]any }
		if err := json.Unmarshal(e.raw, &struct{ Data any }{&data}); err != nil {
			t.Fatal(err)
		}
		return data.References
	}
	seen := map[string]map[string]any{}
	hashes := map[string]string{}
	for range 2 {
		e := next()
		seen[e.Subject], hashes[e.Subject] = references(e), e.header.Get("Crm-Hash")
	}
	owner := seen[with]["ownerid"].(map[string]any)
	if owner["table"] != "systemuser" || owner["id"] != fmt.Sprint(row(t, r.sim, "account", with)["_ownerid_value"]) || owner["key"].(map[string]any)["domainname"] == nil {
		t.Errorf("ownerid is %v", owner)
	}
	want := map[string]any{"table": "contact", "id": contact, "key": map[string]any{"emailaddress1": "ng@contoso.com", "fullname": "Ann Ng"}}
	if diff := cmp.Diff(want, seen[with]["primarycontactid"]); diff != "" {
		t.Error(diff)
	}
	if _, ok := seen[without]["primarycontactid"]; ok {
		t.Errorf("an empty lookup is referred to: %v", seen[without])
	}

	// What is stated of a target is no content of the record: it does not change it.
	if err := r.sim.Update("contact", contact, map[string]any{"emailaddress1": "ann@contoso.com"}); err != nil {
		t.Fatal(err)
	}
	if err := r.sim.Update("account", with, map[string]any{"name": "Contoso Ltd"}); err != nil {
		t.Fatal(err)
	}
	e := next()
	if e.Subject != with || strings.Contains(e.ChangedColumns, "primarycontactid") || references(e)["primarycontactid"].(map[string]any)["key"].(map[string]any)["emailaddress1"] != "ann@contoso.com" {
		t.Errorf("after a change: %+v, references %v", e, references(e))
	}
	if e.header.Get("Crm-Hash") == hashes[with] {
		t.Error("another name has the same hash")
	}
	// Without the setting, the rows and their hashes are the same: nothing is published again.
	r.restart(strings.Replace(followReferences, "references:", "#", 1))
	id := insert(t, r.sim, "account", map[string]any{"name": "later"})
	if e := next(); e.Subject != id || references(e) != nil {
		t.Errorf("without references: %s", e.raw)
	}
}

func TestReferencesAreHeldAgainstTheMetadata(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	text := `org: contoso
webapi: {url: SIM}
nats: {embedded: {dir: DIR}}
outbound:
  type_prefix: com.contoso.crm
  tables:
    account:
      columns: [name, primarycontactid, ownerid]
      references:
        primarycontactid: [emailadress1]
        ownerid: [domainname]
        parentaccountid: []
        name: []
        owner: []
`
	text = strings.Replace(text, "DIR", filepath.Join(t.TempDir(), "nats"), 1)
	b, err := bridge.New(parse(t, text, url, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(t.Context()) })
	err = b.Start(t.Context())
	var ps schema.Problems
	if !errors.As(err, &ps) {
		t.Fatalf("Start: %v", err)
	}
	var got []string
	for _, p := range ps {
		got = append(got, p.Error())
	}
	want := []string{
		"test.yaml:10:9: outbound.tables.account.references.primarycontactid: table contact has no column emailadress1; did you mean emailaddress1?",
		"test.yaml:11:9: outbound.tables.account.references.ownerid: lookup ownerid can point at [systemuser team]: write the columns under the name of each table",
		"test.yaml:12:9: outbound.tables.account.references.parentaccountid: lookup parentaccountid is not published: add it to columns",
		"test.yaml:13:9: outbound.tables.account.references.name: column name of table account is no lookup",
		"test.yaml:14:9: outbound.tables.account.references.owner: table account has no column owner; did you mean ownerid?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReferencesHaveThreeForms(t *testing.T) {
	base := "org: contoso\nwebapi: {url: http://a}\nnats: embedded\noutbound:\n  type_prefix: x\n  tables:\n    account:\n      columns: [name]\n      references: %s\n"
	for text, want := range map[string][]bridge.ReferenceConfig{
		"[ownerid, customerid]":              {{Column: "ownerid"}, {Column: "customerid"}},
		"{a: [x, y], b: z}":                  {{Column: "a", Keys: map[string][]string{"": {"x", "y"}}}, {Column: "b", Keys: map[string][]string{"": {"z"}}}},
		"{a: {contact: [x], account: [y]}}":  {{Column: "a", Keys: map[string][]string{"contact": {"x"}, "account": {"y"}}}},
		"{a: []}":                            {{Column: "a", Keys: map[string][]string{}}},
		"[a, a]":                             nil,
		"{a: {contact: []}}":                 nil,
		"3":                                  nil,
		"{a: {contact: {emailaddress1: 1}}}": nil,
	} {
		cfg, err := bridge.ParseConfig("f.yaml", fmt.Appendf(nil, base, text))
		if want == nil {
			if err == nil {
				t.Errorf("%s: accepted", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, cfg.Outbound.Tables[0].References); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}
