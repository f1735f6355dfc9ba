package bridge_test

import (
	"errors"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
)

// TestAStoppedRouteIsResumedFromOutside also keeps the message that stopped it.
func TestAStoppedRouteIsResumedFromOutside(t *testing.T) {
	t.Parallel()
	faults := sim.NewFaults(1)
	faults.Add(sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "account", Method: "PATCH", Code: "0x8004a104", Message: "The organization is disabled."})
	r := newRigWith(t, customerRoute, sim.Options{Faults: faults, RecordWrites: true}, nil)
	r.send("erp.customer", "com.example.customer", "e-1", map[string]any{"id": "A1", "name": "Contoso"})
	r.inState("customers", string(inbound.StateStopped))
	op := r.operator(customerRoute)
	if _, err := op.ResumeRoute(r.ctx, "nothing"); err == nil {
		t.Error("a route that is not in the configuration was resumed")
	}
	faults.Clear()
	was, err := op.ResumeRoute(r.ctx, "customers")
	if err != nil || was != string(inbound.StateStopped) {
		t.Fatalf("resume: it was %q, %v", was, err)
	}
	if s := r.written(); s.Outcome != inbound.Written {
		t.Errorf("after the resume: %+v", s)
	}
	r.settledUpTo(1)

	r.stop()
	if _, err := op.ResumeRoute(r.ctx, "customers"); !errors.Is(err, bridge.ErrNoBridge) {
		t.Errorf("without a bridge: %v", err)
	}
	r.start(customerRoute)
}
