package bridge_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

const eraseConfig = followAccounts + `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      start: all
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
`

func TestEraseLeavesATombstoneWithoutContentAndAReceipt(t *testing.T) {
	t.Parallel()
	r, first, second, _ := threeEvents(t, eraseConfig)
	// A mirror that allows rollups follows.
	if _, err := r.js.CreateStream(r.ctx, jetstream.StreamConfig{
		Name: "MIRROR", Mirror: &jetstream.StreamSource{Name: "CRM_CONTOSO"}, AllowRollup: true, AllowMsgTTL: true,
	}); err != nil {
		t.Fatal(err)
	}
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "C1", "name": strings.Repeat("x", 500)})
	if s := r.next(); s.Err == nil {
		t.Fatal("the name is too long, and was written")
	}
	r.send("erp.customer", "com.example.customer", "2", map[string]any{"id": "C2", "name": strings.Repeat("x", 500)})
	r.next()
	r.send("erp.customer", "com.example.customer", "3", map[string]any{"id": "C3", "name": "Someone@Contoso.example " + strings.Repeat("x", 500)})
	r.next()

	op := r.operator(eraseConfig)
	receipt, err := op.Erase(r.ctx, bridge.EraseOptions{Table: "account", Record: first, Match: []string{"someone@contoso.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Events != 3 || receipt.Marker == 0 || receipt.MarkerExpires == nil || receipt.Later || !receipt.Keys || receipt.Searched != 3 {
		t.Errorf("receipt %+v", receipt)
	}
	if diff := cmp.Diff([]string{"MIRROR"}, receipt.Copies); diff != "" {
		t.Error(diff)
	}
	if len(receipt.DeadLetters) != 2 || !strings.HasPrefix(receipt.DeadLetters[0], "crm-dead.contoso.customers.") {
		t.Errorf("dead letters removed: %v, want those of C1 and of the address", receipt.DeadLetters)
	}
	text, err := json.Marshal(receipt)
	if err != nil || strings.Contains(string(text), "C1") || !strings.Contains(string(text), "source stream ERP") {
		t.Errorf("receipt %s, %v", text, err)
	}
	for _, name := range []string{"CRM_CONTOSO", "MIRROR"} {
		r.onlyMarker(name, "crm.contoso.account."+first)
	}
	s, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetLastMsgForSubject(r.ctx, "crm.contoso.account."+second); err != nil {
		t.Errorf("the other record: %v", err)
	}
	// The bridge goes on, and compare finds nothing wrong.
	next := r.events("crm.contoso.account.>")
	id := insert(t, r.sim, "account", map[string]any{"name": "after"})
	for next().Subject != id {
	}
	if c := r.compare(eraseConfig, 0); len(c.Differences) > 0 {
		t.Errorf("differences: %+v", c.Differences)
	}
	again, err := op.Erase(r.ctx, bridge.EraseOptions{Table: "account", Record: first})
	if err != nil || again.Events != 1 || len(again.DeadLetters) != 0 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

// onlyMarker waits until a stream holds one message of a record, a tombstone without
// content.
func (r *rig) onlyMarker(stream, subject string) {
	r.t.Helper()
	c, err := r.js.OrderedConsumer(r.ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		r.t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		r.t.Fatal(err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(r.ctx))
		if err != nil {
			r.t.Fatalf("stream %s: no marker came: %v", stream, err)
		}
		if m.Headers().Get("Nats-Rollup") == "" {
			continue // what a mirror had before
		}
		if strings.Contains(string(m.Data()), "Contoso Ltd") || strings.Contains(string(m.Data()), "C1") || m.Headers().Get("Crm-Change") != "deleted" ||
			m.Headers().Get("Nats-TTL") == "" {
			r.t.Errorf("stream %s: marker %v %s", stream, m.Headers(), m.Data())
		}
		break
	}
	s, err := r.js.Stream(r.ctx, stream)
	if err != nil {
		r.t.Fatal(err)
	}
	// A server stores the marker first and then removes what it replaces.
	r.until("stream "+stream+" holds one message of the record", func() bool {
		info, err := s.Info(r.ctx, jetstream.WithSubjectFilter(subject))
		if err != nil {
			r.t.Fatal(err)
		}
		return info.State.Subjects[subject] == 1
	})
}

func TestEraseOfAnUnknownRecordRemovesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, followAccounts, func(s *sim.Server) { insert(t, s, "account", map[string]any{"name": "x"}) })
	r.published(1, r.events("crm.contoso.account.>"))
	receipt, err := r.operator(followAccounts).Erase(r.ctx, bridge.EraseOptions{Table: "account", Record: "00000000-0000-0000-0000-00000000dead"})
	if err != nil || receipt.Events != 0 || receipt.Marker != 0 || receipt.Keys {
		t.Errorf("%+v, %v", receipt, err)
	}
	for _, o := range []bridge.EraseOptions{{Table: "account", Record: "*"}, {Table: "contact", Record: "00000000-0000-0000-0000-00000000dead"}} {
		if _, err := r.operator(followAccounts).Erase(r.ctx, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
