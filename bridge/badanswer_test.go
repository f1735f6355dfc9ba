package bridge_test

import (
	"testing"
	"time"

	"cebridge/bridge/sim"
)

// checkpoint is the stream sequence of the account table's cursor.
func (r *rig) checkpoint() uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, r.bridge.EventStream())
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(r.ctx, "crm-state.contoso.checkpoint.account")
	if err != nil {
		r.t.Fatal(err)
	}
	return m.Sequence
}

// until waits for a condition that has no signal of its own.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("never: %s; status %+v", what, r.bridge.Status())
		}
	}
}

func TestABadAnswerNeverAdvancesTheCheckpoint(t *testing.T) {
	for _, c := range []struct {
		kind  sim.FaultKind
		rule  sim.Rule
		halts bool
	}{
		{kind: sim.FaultEmptyBody},
		{kind: sim.FaultTruncatedJSON},
		{kind: sim.FaultCutBody},
		{kind: sim.FaultHTMLPage},
		{kind: sim.FaultHTMLPage, rule: sim.Rule{Status: 503}},
		{kind: sim.FaultLoginRedirect},
		{kind: sim.FaultMissingLink},
		{kind: sim.FaultServerError},
		{kind: sim.FaultPlainError, rule: sim.Rule{Status: 500}},
		{kind: sim.FaultForeignLink, rule: sim.Rule{Host: "evil.example"}, halts: true},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			t.Parallel()
			faults := sim.NewFaults(1)
			r := newRigWith(t, followAccounts, sim.Options{Faults: faults}, func(s *sim.Server) {
				insert(t, s, "account", map[string]any{"name": "before"})
			})
			next := r.events("crm.contoso.account.>")
			next()
			before := r.checkpoint()
			rule := c.rule
			rule.Kind, rule.Table, rule.Method = c.kind, "account", "GET"
			faults.Add(rule)
			fired := func(n int) func() bool {
				return func() bool {
					return faults.Counts()[string(c.kind)] >= n || r.bridge.Status().Tables[0].State == "halted"
				}
			}
			// A request that was on its way when the rule was added may still be answered well.
			r.until("the fault fired", fired(1))
			id := insert(t, r.sim, "account", map[string]any{"name": "after"})
			r.until("the fault fired again", fired(2))
			if got := r.checkpoint(); got != before {
				t.Errorf("the checkpoint moved from sequence %d to %d", before, got)
			}
			if state := r.bridge.Status().Tables[0]; (state.State == "halted") != c.halts || c.halts && state.Detail == "" {
				t.Errorf("state %s (%s), want halted: %v", state.State, state.Detail, c.halts)
			}
			faults.Clear()
			if c.halts {
				return
			}
			if e := next(); e.Subject != id || e.change() != "created" {
				t.Errorf("after the fault: %s %s, want created %s", e.change(), e.Subject, id)
			}
		})
	}
}
