package bridge_test

import (
	"strings"
	"testing"
	"time"

	"cebridge/bridge/sim"
)

const parkingRoutes = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      ambiguity_bound: 3s
      park_after: 100ms
      give_up: 1h
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
      lookups: {primarycontactid: {contact: {emailaddress1: data.contact}}}
    contacts:
      stream: ERP
      subjects: [erp.contact]
      start: all
      ack_wait: 5s
      ambiguity_bound: 3s
      table: contact
      key: {emailaddress1: data.email}
      columns: {lastname: data.name}
`

func TestAMessageWaitsParkedForItsParentAndTheConsumerGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, parkingRoutes, nil)
	for _, name := range []string{"one", "two"} {
		r.send("erp.customer", "c", name, map[string]any{"id": "A1", "name": name, "contact": "New@contoso.com"})
	}
	r.settledUpTo(2)
	if n := len(r.settled); n != 0 {
		t.Fatalf("%d messages have their final fate before the parent is there", n)
	}
	dead, err := r.js.Stream(r.ctx, "CRM_CONTOSO_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	// Beside them is the fence, which is replaced now and then: the new one comes first.
	holds := func(n uint64) func() bool {
		return func() bool {
			info, err := dead.Info(r.ctx)
			if err != nil {
				t.Fatal(err)
			}
			return info.State.Msgs == n
		}
	}
	r.until("two parked messages and the fence are all there is", holds(3))
	if n := r.parked(); n != 2 {
		t.Errorf("%d messages are parked", n)
	}
	r.send("erp.contact", "c", "parent", map[string]any{"email": "new@contoso.com", "name": "New"})
	began := time.Now()
	for range 3 {
		r.written()
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("released after %s", took)
	}
	id, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": "A1"})
	if got := row(t, r.sim, "account", id); got["name"] != "two" || got["_primarycontactid_value"] == nil {
		t.Errorf("the record is %v", got)
	}
	r.until("the fence is all that is left", holds(1))
}

func TestParkedMessagesAreFoundAgainAfterARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, parkingRoutes, nil)
	r.send("erp.customer", "c", "1", map[string]any{"id": "A1", "name": "first", "contact": "late@contoso.com"})
	r.settledUpTo(1)
	r.stop()
	insert(t, r.sim, "contact", map[string]any{"emailaddress1": "late@contoso.com", "lastname": "Late"})
	r.start(parkingRoutes)
	r.send("erp.customer", "c", "2", map[string]any{"id": "A1", "name": "second", "contact": "late@contoso.com"})
	for want := uint64(1); want <= 2; want++ {
		if s := r.written(); s.Message.Sequence != want {
			t.Errorf("message %d was written, want %d: the order of the key is lost", s.Message.Sequence, want)
		}
	}
	if n := r.sim.Requests().Of("PATCH", sim.RequestRecord); n < 3 {
		t.Errorf("%d requests", n)
	}
}

func TestAParkedMessageThatWaitedTooLongBecomesADeadLetterThatNamesTheParent(t *testing.T) {
	t.Parallel()
	r := newRig(t, strings.Replace(parkingRoutes, "give_up: 1h", "give_up: 3s", 1), nil)
	r.send("erp.customer", "c", "1", map[string]any{"id": "A1", "name": "orphan", "contact": "nobody@contoso.com"})
	if s := r.next(); s.Outcome != "rejected" || s.Err.Reason != "missing_reference" {
		t.Fatalf("%s: %v", s.Outcome, s.Err)
	}
	dead, err := r.js.Stream(r.ctx, "CRM_CONTOSO_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	m, err := dead.GetLastMsgForSubject(r.ctx, "crm-dead.contoso.customers.*.1")
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Header.Get("Crm-Dead-Waits"); got != "contacts(emailaddress1='nobody%40contoso.com')" {
		t.Errorf("the letter names %q", got)
	}
}

func TestParkedMessagesAreReleasedAfterARestartAlsoWhenNothingArrives(t *testing.T) {
	t.Parallel()
	r := newRig(t, parkingRoutes, nil)
	r.send("erp.customer", "c", "1", map[string]any{"id": "A1", "name": "first", "contact": "late@contoso.com"})
	r.settledUpTo(1)
	r.stop()
	insert(t, r.sim, "contact", map[string]any{"emailaddress1": "late@contoso.com", "lastname": "Late"})
	r.start(parkingRoutes)
	if s := r.written(); s.Message.Sequence != 1 {
		t.Errorf("message %d", s.Message.Sequence)
	}
}

func TestAnExpiredEventBecomesADeadLetterWithThatReason(t *testing.T) {
	t.Parallel()
	r := newRig(t, parkingRoutes, nil)
	r.raw("erp.contact", map[string][]string{"Content-Type": {"application/cloudevents+json"}}, []byte(
		`{"specversion":"1.0","id":"1","source":"/t","type":"c","expirytime":"2020-01-01T00:00:00Z","data":{"email":"a@contoso.com","name":"A"}}`))
	if s := r.next(); s.Outcome != "rejected" || s.Err.Reason != "expired" {
		t.Errorf("%s: %v", s.Outcome, s.Err)
	}
	if n := r.sim.Requests().Of("PATCH", sim.RequestRecord); n != 0 {
		t.Errorf("%d requests for an expired event", n)
	}
}

func TestWhatTheSourceStreamForgetsIsStillParked(t *testing.T) {
	t.Parallel()
	r := newRig(t, parkingRoutes, nil)
	for _, name := range []string{"first", "second"} {
		r.send("erp.customer", "c", name, map[string]any{"id": "A1", "name": name, "contact": "late@contoso.com"})
	}
	r.settledUpTo(2)
	source, err := r.js.Stream(r.ctx, "ERP")
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Purge(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.restart(parkingRoutes)
	r.send("erp.contact", "c", "parent", map[string]any{"email": "late@contoso.com", "name": "Late"})
	for range 3 {
		r.written()
	}
	id, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": "A1"})
	if got := row(t, r.sim, "account", id); got["name"] != "second" || got["_primarycontactid_value"] == nil {
		t.Errorf("the record is %v", got)
	}
}

func TestParkedMessagesGoOnAtOnceAfterAnOrderlyRestartHoweverLongTheAckWait(t *testing.T) {
	t.Parallel()
	routes := strings.ReplaceAll(parkingRoutes, "ack_wait: 5s", "ack_wait: 1h")
	for name, arrives := range map[string]bool{"while messages arrive": true, "while nothing arrives": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, routes, nil)
			r.send("erp.customer", "c", "1", map[string]any{"id": "A1", "name": "first", "contact": "late@contoso.com"})
			r.settledUpTo(1)
			r.stop()
			insert(t, r.sim, "contact", map[string]any{"emailaddress1": "late@contoso.com", "lastname": "Late"})
			r.start(routes)
			want := []uint64{1}
			if arrives {
				r.send("erp.customer", "c", "2", map[string]any{"id": "A1", "name": "second", "contact": "late@contoso.com"})
				want = append(want, 2)
			}
			for _, seq := range want {
				if s := r.written(); s.Message.Sequence != seq {
					t.Errorf("message %d was written, want %d", s.Message.Sequence, seq)
				}
			}
		})
	}
}
