package bridge_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
)

// beside starts another bridge of the same configuration beside the rig's.
func (r *rig) beside(text string) *bridge.Bridge {
	r.t.Helper()
	b, err := bridge.New(parse(r.t, r.head+text, r.url, r.nats), bridge.WithSettled(func(_ string, s inbound.Settled) { r.settled <- s }))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := b.Start(r.ctx); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := b.Stop(context.Background()); err != nil {
			r.t.Errorf("stop the other bridge: %v", err)
		}
	})
	return b
}

func routeState(b *bridge.Bridge) string {
	for _, s := range b.Status().Routes {
		return s.State
	}
	return ""
}

func TestOfTwoBridgesOneRunsARouteAndTheOtherSaysThatItStandsBy(t *testing.T) {
	t.Parallel()
	r := newRig(t, bothWays, nil)
	both := []*bridge.Bridge{r.bridge, r.beside(bothWays)}
	states := func(when string, want ...string) {
		t.Helper()
		var got []string
		r.until(when, func() bool {
			got = []string{routeState(both[0]), routeState(both[1])}
			return cmp.Equal(want, got)
		})
	}
	op := r.operator(bothWays)
	fromTheStream := func(want string) {
		t.Helper()
		s, err := op.Status(r.ctx)
		if err != nil || len(s.Routes) != 1 || s.Routes[0].State != "exists" || !strings.HasPrefix(s.Routes[0].Detail, want) {
			t.Errorf("the stream tells %+v, %v, want %q", s.Routes, err, want)
		}
	}
	fromTheStream("no instance is its active one")
	states("both are ready before the first message", "ready", "ready")
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "A1", "name": "x"})
	r.written()
	r.until("one runs", func() bool { return routeState(both[0]) == "running" || routeState(both[1]) == "running" })
	if routeState(both[1]) == "running" {
		both[0], both[1] = both[1], both[0]
	}
	states("one runs and the other stands by", "running", "standby")
	if detail := both[1].Status().Routes[0].Detail; !strings.Contains(detail, "another instance has been the active one since 20") {
		t.Errorf("the detail is %q", detail)
	}
	fromTheStream("an instance has been its active one since 20")
	// Tables have no such turn: both instances follow them.
	for i, b := range both {
		r.until("the table is followed", func() bool { return b.Status().Tables[0].State == "following" })
		if status, body := get(t, "http://"+b.AdminAddr()+"/readyz"); status != http.StatusOK {
			t.Errorf("instance %d: readyz answers %d: %s", i, status, body)
		}
	}
	r.until("the metrics of the standby say so", func() bool {
		_, metrics := get(t, "http://"+both[1].AdminAddr()+"/metrics")
		return metricLine(metrics, "cebridge_inbound_state{", `cebridge_state="standby"`, " 1") &&
			metricLine(metrics, "cebridge_inbound_state{", `cebridge_state="running"`, " 0")
	})

	if err := both[0].Stop(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.send("erp.customer", "com.example.customer", "2", map[string]any{"id": "A1", "name": "y"})
	r.written()
	r.until("the other one runs", func() bool { return routeState(both[1]) == "running" })
}

// metricLine tells whether a line has all the parts.
func metricLine(metrics string, parts ...string) bool {
	for line := range strings.Lines(metrics) {
		found := true
		for _, p := range parts {
			found = found && strings.Contains(strings.TrimSpace(line), p)
		}
		if found {
			return true
		}
	}
	return false
}

func TestAStoppedRouteAndAHaltedTableLeaveTheBridgeReady(t *testing.T) {
	t.Parallel()
	faults := sim.NewFaults(1)
	r := newRigWith(t, bothWays, sim.Options{Faults: faults, RecordWrites: true}, func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "ABC123"})
	})
	r.events("crm.contoso.account.>")()
	faults.Add(sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "account", Method: "GET"})
	faults.Add(sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "account", Method: "PATCH", Code: "0x8004a104", Message: "The organization is disabled."})
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "A1", "name": "x"})
	r.inState("customers", string(inbound.StateStopped))
	r.halted()
	base := "http://" + r.bridge.AdminAddr()
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		if status, body := get(t, base+path); status != http.StatusOK {
			t.Errorf("%s answers %d: %s", path, status, body)
		}
	}
	_, metrics := get(t, base+"/metrics")
	if !metricLine(metrics, "cebridge_inbound_stopped{", " 1") || !metricLine(metrics, "cebridge_outbound_state{", `cebridge_state="halted"`, " 1") {
		t.Error("the metrics do not tell of the stopped route and the halted table")
	}
}
