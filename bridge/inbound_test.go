package bridge_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/sim"
)

const customerRoute = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      when: type == "com.example.customer"
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name, numberofemployees: data.?staff.orValue(omit())}
      receipts: erp.receipt
`

// settledUpTo waits until everything up to seq is settled and nothing is open.
func (r *rig) settledUpTo(seq uint64) {
	r.t.Helper()
	c, err := r.js.Consumer(r.ctx, "ERP", "crm-contoso-customers")
	if err != nil {
		r.t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := c.Info(r.ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if info.AckFloor.Stream >= seq && info.NumAckPending == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("the ack floor stays at %d, want %d", info.AckFloor.Stream, seq)
		}
	}
}

func TestStructuredAndBinaryEventsAreBothRead(t *testing.T) {
	r := newRig(t, customerRoute, nil)
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "A1", "name": "structured"})
	r.raw("erp.customer", nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"2"}, "ce-source": {"/test"}, "ce-type": {"com.example.customer"},
		"ce-subject": {"Z%C3%BCrich"}, "Content-Type": {"application/json"},
	}, []byte(`{"id":"A2","name":"binary","staff":7}`))
	for range 2 {
		r.written()
	}
	for key, want := range map[string]string{"A1": "structured", "A2": "binary"} {
		id, ok := r.sim.FindByKey("account", map[string]any{"accountnumber": key})
		if !ok || row(t, r.sim, "account", id)["name"] != want {
			t.Errorf("account %s is not there or not %s", key, want)
		}
	}
}

func TestPlainJSONGetsAnEnvelopeWhenTheRouteSaysSo(t *testing.T) {
	r := newRig(t, strings.Replace(customerRoute, "start: all", "start: all\n      format: json\n      plain_type: com.example.customer", 1), nil)
	r.raw("erp.customer", nil, []byte(`{"id":"P1","name":"plain"}`))
	r.written()
	if _, ok := r.sim.FindByKey("account", map[string]any{"accountnumber": "P1"}); !ok {
		t.Error("the account was not written")
	}
}

func TestBadMessagesBecomeDeadLettersAndTheRouteGoesOn(t *testing.T) {
	r := newRig(t, strings.Replace(customerRoute, "receipts: erp.receipt", "", 1), nil)
	r.raw("erp.customer", nil, []byte("this is not an event"))
	r.send("erp.customer", "com.example.customer", "no key", map[string]any{"name": "nobody"})
	r.send("erp.customer", "com.example.customer", "too long", map[string]any{"id": "L1", "name": strings.Repeat("x", 500)})
	r.send("erp.customer", "com.example.customer", "no address", map[string]any{"id": " ", "name": "blank"})
	r.send("erp.customer", "com.example.customer", "wrong type", map[string]any{"id": "T1", "name": "n", "staff": "many"})
	r.send("erp.customer", "com.example.customer", "good", map[string]any{"id": "G1", "name": "good"})
	reasons := map[uint64]string{}
	for range 6 {
		s := r.next()
		if s.Err != nil {
			reasons[s.Message.Sequence] = string(s.Err.Reason)
		} else if s.Message.Sequence != 6 {
			t.Errorf("message %d was %s", s.Message.Sequence, s.Outcome)
		}
	}
	want := map[uint64]string{1: "invalid", 2: "invalid", 3: "invalid", 4: "invalid", 5: "invalid"}
	if fmt.Sprint(reasons) != fmt.Sprint(want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
	r.settledUpTo(6)

	dead, err := r.js.Stream(r.ctx, "CRM_CONTOSO_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	info, err := dead.Info(r.ctx)
	if err != nil || info.State.Msgs != 5 {
		t.Fatalf("%d dead letters (%v), want 5", info.State.Msgs, err)
	}
	for seq := uint64(1); seq <= 5; seq++ {
		m, err := dead.GetMsg(r.ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Crm-Dead-Reason") == "" || m.Header.Get("Crm-Dead-Sequence") == "" {
			t.Errorf("dead letter %d: header %v", seq, m.Header)
		}
		if strings.HasSuffix(m.Subject, ".1") && string(m.Data) != "this is not an event" {
			t.Errorf("the letter does not hold the original bytes: %q", m.Data)
		}
	}
}

func TestUnmatchedMessagesAreAcknowledgedAndCounted(t *testing.T) {
	r := newRig(t, customerRoute, nil)
	r.send("erp.customer", "com.example.other", "1", map[string]any{"id": "A1", "name": "x"})
	if s := r.next(); s.Outcome != "unmatched" {
		t.Errorf("outcome %s, want unmatched", s.Outcome)
	}
	r.settledUpTo(1)
	if got := r.bridge.Status().Routes[0].Results["unmatched"]; got != 1 {
		t.Errorf("unmatched counted %d times", got)
	}
}

func TestReceiptsTellCreatedFromUpdated(t *testing.T) {
	r := newRig(t, customerRoute, nil)
	c, err := r.js.OrderedConsumer(r.ctx, "ERP", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"erp.receipt"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"created", "updated"} {
		r.send("erp.customer", "com.example.customer", fmt.Sprint(i), map[string]any{"id": "A1", "name": fmt.Sprint(i)})
		r.written()
		m, err := c.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		var receipt struct {
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal(m.Data(), &receipt); err != nil {
			t.Fatal(err)
		}
		if receipt.Data["effect"] != want {
			t.Errorf("receipt %d: %s, want effect %s", i, m.Data(), want)
		}
	}
}

func TestAMessageIsNotAcknowledgedWhileCustomerEngagementIsAway(t *testing.T) {
	t.Parallel()
	faults := sim.NewFaults(1)
	route := strings.Replace(customerRoute, "ack_wait: 5s", "ack_wait: 5s\n      ambiguity_bound: 1s", 1)
	r := newRigWith(t, route, sim.Options{RecordWrites: true, Faults: faults}, nil)
	faults.Add(sim.Rule{Kind: sim.FaultServerError, Method: "PATCH", Times: 3})
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "A1", "name": "patient"})
	s := r.written()
	if got := r.sim.Requests().Of("PATCH", sim.RequestRecord); got != 4 {
		t.Errorf("%d PATCHes, want 3 refused and 1 accepted", got)
	}
	if s.Result.Effect == "" {
		t.Errorf("result %+v", s.Result)
	}
	r.settledUpTo(1)
}
