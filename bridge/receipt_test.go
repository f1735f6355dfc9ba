package bridge_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/sim"
	"cebridge/schema"
)

const receiptRoutes = `
inbound:
  streams: {ERP: {subjects: [erp.>]}, RECEIPTS: {subjects: [receipt.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      when: type == "c"
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
      on_create: {columns: {numberofemployees: "5"}}
      revision: data.revision
      receipts: receipt.customers
    plain:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      when: type == "plain"
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
      receipts: receipt.customers
    gone:
      stream: ERP
      subjects: [erp.gone]
      start: all
      ack_wait: 5s
      table: account
      operation: delete
      id: data.guid
      receipts: receipt.customers
`

type receiptEvent struct {
	Type, Subject, CausationID, CausationSource, CorrelationID string
	Data                                                       struct {
		Outcome, Table, Effect, RecordID, Reason string
		Version                                  int64
		Event                                    struct{ ID, Source string }
	}
}

// receipts returns a function that waits for the next receipt.
func (r *rig) receipts() func() receiptEvent {
	r.t.Helper()
	c, err := r.js.OrderedConsumer(r.ctx, "RECEIPTS", jetstream.OrderedConsumerConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	return func() receiptEvent {
		r.t.Helper()
		m, err := c.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			r.t.Fatal(err)
		}
		var e receiptEvent
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			r.t.Fatal(err)
		}
		return e
	}
}

// version reads a record's version from the simulator.
func version(t *testing.T, s *sim.Server, id string) int64 {
	t.Helper()
	switch v := row(t, s, "account", id)["versionnumber"].(type) {
	case int64:
		return v
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	default:
		t.Fatalf("the version is a %T", v)
		return 0
	}
}

func TestReceiptsNameTheRecordItsVersionAndTheCause(t *testing.T) {
	for _, head := range []string{"webapi: {url: SIM}", "webapi: {url: SIM, batch: {max: 10}}"} {
		t.Run(head, func(t *testing.T) {
			r := newRig(t, receiptRoutes, nil)
			r.head = "org: contoso\n" + head + "\nnats: {urls: [\"NATS\"]}\n"
			r.restart(receiptRoutes)
			next := r.receipts()
			check := func(typ, event string, effect schema.Effect) receiptEvent {
				t.Helper()
				r.next()
				e := next()
				if e.Type != "crm.contoso.receipt."+typ || e.CausationID != event || e.CausationSource != "/test" ||
					e.Data.Event.ID != event || e.Data.Outcome != typ || e.Data.Table != "account" || e.Data.Effect != string(effect) ||
					e.Subject != e.Data.RecordID {
					t.Errorf("receipt of %s: %+v", event, e)
				}
				return e
			}
			send := func(typ, id, account string, revision int) {
				r.send("erp.customer", typ, id, map[string]any{"id": account, "name": id, "revision": revision})
			}
			written := func(e receiptEvent, account string) string {
				t.Helper()
				id, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": account})
				if e.Data.RecordID != id || e.Data.Version != version(t, r.sim, id) {
					t.Errorf("the record is %s at version %d, the receipt says %+v", id, version(t, r.sim, id), e.Data)
				}
				return id
			}
			send("c", "1", "A1", 5)
			written(check("written", "1", schema.EffectCreated), "A1")
			send("c", "2", "A1", 6)
			id := written(check("written", "2", schema.EffectUpdated), "A1")
			send("c", "3", "A1", 4)
			if e := check("superseded", "3", ""); e.Data.Version != 0 {
				t.Errorf("a superseded message has %+v", e.Data)
			}
			send("plain", "4", "A2", 0)
			written(check("written", "4", schema.EffectCreated), "A2")
			send("plain", "5", "A2", 0)
			written(check("written", "5", schema.EffectUpdated), "A2")
			r.send("erp.gone", "c", "6", map[string]any{"guid": id})
			if e := check("written", "6", schema.EffectDeleted); e.Data.RecordID != id {
				t.Errorf("the receipt of a delete names %q, want %s", e.Data.RecordID, id)
			}
			r.send("erp.gone", "c", "7", map[string]any{"guid": id})
			check("written", "7", schema.EffectAbsent)
		})
	}
}

func TestAReceiptCarriesTheCorrelationOfItsEvent(t *testing.T) {
	r := newRig(t, receiptRoutes, nil)
	next := r.receipts()
	r.raw("erp.customer", map[string][]string{"Content-Type": {"application/cloudevents+json"}}, []byte(
		`{"specversion":"1.0","id":"7","source":"/erp","type":"plain","correlationid":"order-12","data":{"id":" ","name":"x"}}`))
	r.next()
	e := next()
	want := receiptEvent{Type: "crm.contoso.receipt.rejected", CausationID: "7", CausationSource: "/erp", CorrelationID: "order-12"}
	want.Data.Outcome, want.Data.Reason = "rejected", "invalid"
	want.Data.Event.ID, want.Data.Event.Source = "7", "/erp"
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}
