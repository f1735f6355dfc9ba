package bridge_test

import (
	"slices"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

func TestAPlanNamesColumnsThatColumnSecurityHides(t *testing.T) {
	t.Parallel()
	r := newRig(t, followAccounts, func(s *sim.Server) { insert(t, s, "account", map[string]any{"name": "one"}) })
	op := r.operator(followAccounts)
	if plan, err := op.Plan(r.ctx); err != nil || len(plan) != 0 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	if err := r.sim.SecureColumn("account", "name", true); err != nil {
		t.Fatal(err)
	}
	plan, err := op.Plan(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(plan, func(c bridge.Change) bool { return c.Kind == "column_security" })
	if len(plan) != 1 || i != 0 || plan[0].Name != "account.name" || !plan[0].Person || !strings.Contains(plan[0].What, "field security profile") {
		t.Errorf("plan %+v", plan)
	}
	if _, err := op.Apply(r.ctx, bridge.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "a person must decide") {
		t.Errorf("apply: %v", err)
	}
}
