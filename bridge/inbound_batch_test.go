package bridge_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cebridge/bridge/sim"
	"cebridge/schema/outcome"
)

const batchHead = `
org: contoso
webapi: {url: SIM, batch: {max: 50, linger: 200ms}}
nats: {urls: ["NATS"]}
`

// TestBatchesKeepOneOutcomeForEachMessageAndTheOrderOfEachKey sends 120 messages
// for 29 keys, one of ten refused by the server, through $batch requests that take
// a while: each message has its own end, each key its own order, and the requests
// are far fewer than the messages.
func TestBatchesKeepOneOutcomeForEachMessageAndTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	const messages, keys = 120, 29
	faults := sim.NewFaults(1)
	faults.Add(sim.Rule{Kind: sim.FaultLatency, Method: http.MethodPost, PathContains: "$batch", Delay: 50 * time.Millisecond})
	route := strings.NewReplacer("data.?staff.orValue(omit())}", "data.?staff.orValue(omit()), statuscode: data.status}", "      receipts: erp.receipt\n", "      concurrency: 30\n      stop_after: -1\n").Replace(customerRoute)
	r := newRigWith(t, route, sim.Options{RecordWrites: true, Faults: faults}, nil)
	r.head = batchHead
	r.stop()
	for i := range messages {
		data := map[string]any{"id": fmt.Sprintf("K%d", i*7%keys), "name": fmt.Sprintf("%03d", i), "status": 1}
		if i%10 == 7 {
			data["status"] = 2 // of an inactive account, which this one is not: only the server knows
		}
		r.send("erp.customer", "com.example.customer", fmt.Sprint(i), data)
	}
	before := r.sim.Requests()
	r.start(route)
	ends := map[string]int{}
	for range messages {
		s := r.next()
		want := "written"
		if s.Message.Sequence%10 == 8 {
			want = "rejected"
		}
		if string(s.Outcome) != want {
			t.Errorf("message %d was %s, want %s: %v", s.Message.Sequence, s.Outcome, want, s.Err)
		}
		if e := outcome.Of(s.Err); e != nil && (e.Reason != outcome.Invalid || !strings.Contains(e.Op, "PATCH accounts(")) {
			t.Errorf("message %d: %v", s.Message.Sequence, e)
		}
		ends[string(s.Outcome)]++
	}
	after := r.sim.Requests()
	batches := after.Of("POST", sim.RequestBatch) - before.Of("POST", sim.RequestBatch)
	singles := after.Of("PATCH", sim.RequestRecord) - before.Of("PATCH", sim.RequestRecord)
	if batches == 0 || batches+singles > messages/3 {
		t.Errorf("%d batches and %d single requests for %d messages", batches, singles, messages)
	}
	last := map[string]string{}
	for _, e := range r.sim.Log(0) {
		if e.Kind != sim.KindCommit || e.Table != "account" {
			continue
		}
		name, _ := e.Columns["name"].(string)
		if name <= last[e.ID] {
			t.Errorf("account %s was given %s after %s", e.ID, name, last[e.ID])
		}
		last[e.ID] = name
	}
	if len(last) != keys {
		t.Errorf("%d accounts were written, want %d; ends %v", len(last), keys, ends)
	}
}

func TestARouteJudgesACodeAsItsConfigurationSays(t *testing.T) {
	t.Parallel()
	faults := sim.NewFaults(1)
	route := strings.Replace(customerRoute, "      table: account", "      verdicts: {0x80040265: retry}\n      table: account", 1)
	r := newRigWith(t, route, sim.Options{Faults: faults}, nil)
	faults.Add(sim.Rule{Kind: sim.FaultError, Method: http.MethodPatch, Code: "0x80040265", Message: "not on Sundays", Times: 2})
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "A1", "name": "patience"})
	r.written()
	if n := r.sim.Requests().Of("PATCH", sim.RequestRecord); n != 3 {
		t.Errorf("%d requests, want the two refused ones repeated", n)
	}
}
