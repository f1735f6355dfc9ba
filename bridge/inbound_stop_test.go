package bridge_test

import (
	"fmt"
	"testing"
	"time"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
)

// stopRoute keeps what nobody settles for an hour: what comes sooner was given back.
const stopRoute = `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      start: all
      ack_wait: 1h
      concurrency: 4
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
`

// slowly makes each write take a while, so that a stop finds most messages not begun.
func slowly() sim.Options {
	faults := sim.NewFaults(1)
	faults.Add(sim.Rule{Kind: sim.FaultLatency, Method: "PATCH", Delay: 20 * time.Millisecond})
	return sim.Options{Faults: faults, RecordWrites: true}
}

func (r *rig) sendOrders(keys, each int) {
	r.t.Helper()
	for n := range each {
		for k := range keys {
			r.send("erp.customer", "com.example.customer", fmt.Sprint(k, "-", n), map[string]any{"id": fmt.Sprint("K", k), "name": fmt.Sprintf("%06d", n)})
		}
	}
}

// allWritten waits until n messages are settled, each written once, with the messages of
// each key in their order.
func (r *rig) allWritten(n int) {
	r.t.Helper()
	last := map[string]uint64{}
	for range n {
		s := r.written()
		key := string(s.Write.Key[0].Value)
		if s.Message.Sequence <= last[key] {
			r.t.Errorf("message %d of key %s was written after message %d", s.Message.Sequence, key, last[key])
		}
		last[key] = s.Message.Sequence
	}
}

func TestAStopAndAStartGoOnWithoutWaitingForTheAckWait(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, stopRoute, slowly(), nil)
	r.sendOrders(5, 60)
	r.written()
	r.restart(stopRoute)
	r.restart(stopRoute)
	// All that is left comes well before the test's patience ends, which is less than the
	// ack wait.
	r.allWritten(5*60 - 1)
	r.settledUpTo(5 * 60)
}

func TestAnInstanceThatIsStoppedLeavesItsMessagesToTheOneThatWaits(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, stopRoute, slowly(), nil)
	second, err := bridge.New(parse(t, r.head+stopRoute, r.url, r.nats), bridge.WithSettled(func(_ string, s inbound.Settled) { r.settled <- s }))
	if err != nil {
		t.Fatal(err)
	}
	r.sendOrders(5, 60)
	r.written()
	if err := second.Start(r.ctx); err != nil {
		t.Fatal(err)
	}
	first := r.bridge
	r.bridge = second
	if err := first.Stop(r.ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	r.allWritten(5*60 - 1)
	r.settledUpTo(5 * 60)
}
