package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge/sim"
)

const followAccounts = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber, primarycontactid], poll: 100ms}
`

func TestChangesBecomeEventsByTheContract(t *testing.T) {
	var first string
	r := newRig(t, followAccounts, func(s *sim.Server) {
		first = insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "ABC123"})
	})
	next := r.events("crm.contoso.account.>")

	loaded := next()
	version := fmt.Sprint(row(t, r.sim, "account", first)["versionnumber"])
	for what, pair := range map[string][2]string{
		"id":           {loaded.ID, "account/" + first + "/" + version},
		"source":       {loaded.Source, "/crm/contoso/account"},
		"type":         {loaded.Type, "com.contoso.crm.account.loaded"},
		"subject":      {loaded.Subject, first},
		"partitionkey": {loaded.PartitionKey, first},
		"readby":       {loaded.ReadBy, "load"},
		"sequence":     {loaded.Sequence, "0001." + strings.Repeat("0", 19-len(version)) + version + ".0"},
		"name":         {fmt.Sprint(loaded.Data.Record["name"]), "Contoso"},
		"content type": {loaded.header.Get("Content-Type"), "application/cloudevents+json"},
		"Crm-Version":  {loaded.header.Get("Crm-Version"), version},
		"Crm-Epoch":    {loaded.header.Get("Crm-Epoch"), "1"},
		"Crm-Change":   {loaded.header.Get("Crm-Change"), "loaded"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
	if len(loaded.OrgID) != 36 || !strings.Contains(loaded.DataSchema, "account") || loaded.Time == "" || loaded.header.Get("Crm-Hash") == "" {
		t.Errorf("orgid %q, dataschema %q, time %q, Crm-Hash %q", loaded.OrgID, loaded.DataSchema, loaded.Time, loaded.header.Get("Crm-Hash"))
	}
	for name := range loaded.Data.Record {
		if strings.Contains(name, "@") {
			t.Errorf("the record carries the annotation %s", name)
		}
	}

	second := insert(t, r.sim, "account", map[string]any{"name": "Fabrikam", "accountnumber": "FAB1"})
	if e := next(); e.change() != "created" || e.Subject != second || e.ReadBy != "delta" || e.PreviousVersion != "" {
		t.Errorf("after an insert: %+v", e)
	}
	if err := r.sim.Update("account", first, map[string]any{"name": "Contoso Ltd"}); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.change() != "updated" || e.Subject != first || e.PreviousVersion != version || !strings.Contains(e.ChangedColumns, "name") ||
		strings.Contains(e.ChangedColumns, "accountnumber") {
		t.Errorf("after an update: %+v", e)
	}
	last := fmt.Sprint(row(t, r.sim, "account", first)["versionnumber"])
	if err := r.sim.Delete("account", first); err != nil {
		t.Fatal(err)
	}
	gone := next()
	if gone.change() != "deleted" || gone.ID != "account/"+first+"/"+last+"/deleted" || !strings.HasSuffix(gone.Sequence, ".1") ||
		gone.Data.Record != nil || gone.Data.Previous["accountnumber"] != "ABC123" || gone.Time != "" {
		t.Errorf("after a delete: %+v", gone)
	}
}

func TestARecordCreatedAndDeletedBetweenPollsLeavesNoEvent(t *testing.T) {
	r := newRig(t, strings.Replace(followAccounts, "100ms", "1h", 1), func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "first"})
	})
	next := r.events("crm.contoso.account.>")
	next() // the load, and with it the delta link, is committed
	id := insert(t, r.sim, "account", map[string]any{"name": "short-lived"})
	if err := r.sim.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	kept := insert(t, r.sim, "account", map[string]any{"name": "kept"})
	r.restart(followAccounts)
	if e := next(); e.Subject != kept {
		t.Errorf("the first event is about %s (%s), want %s", e.Subject, e.change(), kept)
	}
}

func TestARestartPublishesNothingTwice(t *testing.T) {
	r := newRig(t, followAccounts, func(s *sim.Server) {
		for i := range 20 {
			insert(t, s, "account", map[string]any{"name": fmt.Sprint(i)})
		}
	})
	next := r.events("crm.contoso.account.>")
	seen := map[string]bool{}
	for range 20 {
		seen[next().ID] = true
	}
	r.restart(followAccounts)
	id := insert(t, r.sim, "account", map[string]any{"name": "after"})
	if e := next(); seen[e.ID] || e.Subject != id || e.change() != "created" {
		t.Errorf("after the restart the stream gained %s %s", e.change(), e.ID)
	}
}
