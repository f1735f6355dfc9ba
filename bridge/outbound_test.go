package bridge_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

const followAccounts = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber, primarycontactid], poll: 100ms}
`

func TestChangesBecomeEventsByTheContract(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	r := newRig(t, strings.Replace(followAccounts, "100ms", bridge.Seldom("contoso"), 1), func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "first"})
	})
	next := r.events("crm.contoso.account.>")
	next() // the load, and with it the delta link, is committed
	r.polled()
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
	t.Parallel()
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

func TestBinaryModeIsASwitch(t *testing.T) {
	t.Parallel()
	var id string
	r := newRig(t, strings.Replace(followAccounts, "poll:", "mode: binary, poll:", 1), func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"name": "Zürich 100%", "accountnumber": "Z1"})
	})
	c, err := r.js.OrderedConsumer(r.ctx, r.bridge.EventStream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"crm.contoso.account.>"}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	h := m.Headers()
	for name, want := range map[string]string{
		"ce-specversion": "1.0", "ce-type": "com.contoso.crm.account.loaded", "ce-subject": id, "ce-datacontenttype": "application/json",
		"ce-source": "/crm/contoso/account",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	var data struct{ Record map[string]any }
	if err := json.Unmarshal(m.Data(), &data); err != nil || data.Record["name"] != "Zürich 100%" {
		t.Errorf("data %s (%v)", m.Data(), err)
	}
}

func TestATableLargerThanOneBatchArrivesWholeAndOnce(t *testing.T) {
	t.Parallel()
	const n = 2500 // one page of the Web API, three atomic batches
	r := newRig(t, followAccounts, func(s *sim.Server) {
		if err := s.Seed("account", n, func(i int) map[string]any { return map[string]any{"name": fmt.Sprint(i)} }); err != nil {
			t.Fatal(err)
		}
	})
	next := r.events("crm.contoso.account.>")
	seen := map[string]bool{}
	for range n {
		e := next()
		if seen[e.Subject] || e.change() != "loaded" {
			t.Fatalf("%s %s comes again", e.change(), e.Subject)
		}
		seen[e.Subject] = true
	}
	if id := insert(t, r.sim, "account", map[string]any{"name": "last"}); next().Subject != id {
		t.Error("something came between the load and the first change")
	}
}
