package bridge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

const budgetFlows = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, accountnumber], poll: 100ms}
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 4s
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
admin: {listen: "127.0.0.1:0"}
shutdown_grace: 1s
`

func budgetHead(limit int) string {
	return fmt.Sprintf(`
org: contoso
webapi: {url: SIM, daily_requests: %d}
nats: {urls: ["NATS"]}
`, limit)
}

// storedBudget is what the stream holds of the day's requests.
func (r *rig) storedBudget() (total int) {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(r.ctx, "crm-state.contoso.budget")
	if err != nil {
		r.t.Fatal(err)
	}
	var sum struct{ Outbound, Inbound int }
	if err := json.Unmarshal(m.Data, &sum); err != nil {
		r.t.Fatal(err)
	}
	return sum.Outbound + sum.Inbound
}

func (r *rig) budget() (left int64) {
	s := r.bridge.Status().WebAPI
	if s == nil || s.Budget == nil {
		r.t.Fatal("the status shows no budget")
	}
	return s.Budget.Left
}

// TestADaysRequestsAreABound: both directions stop at it, what waits is neither lost
// nor a dead letter, a restart does not forget it, and a larger one lets all go on.
func TestADaysRequestsAreABound(t *testing.T) {
	t.Parallel()
	r := newRig(t, budgetFlows, func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "first"})
	})
	const limit, messages = 60, 100
	r.head = budgetHead(limit)
	r.stop() // that one had no budget
	r.sim.ResetRequests()
	for i := range messages {
		r.send("erp.customer", "com.example.customer", fmt.Sprint(i), map[string]any{"id": fmt.Sprint("B", i), "name": "x"})
	}
	r.start(budgetFlows)
	r.until("the budget is used up", func() bool { return r.budget() == 0 })
	r.until("the table says so", func() bool {
		return strings.Contains(r.bridge.Status().Tables[0].Detail, "webapi.daily_requests")
	})
	began := time.Now()
	r.until("twice the acknowledgement time passed", func() bool { return time.Since(began) > 8*time.Second })
	if n := r.sim.Requests().Total(); n != limit {
		t.Errorf("%d requests arrived, want %d", n, limit)
	}
	route := r.bridge.Status().Routes[0]
	if route.State != "running" || route.Pending+uint64(route.AckPending) == 0 {
		t.Errorf("what waits is not shown: %+v", route)
	}
	c, err := r.js.Consumer(r.ctx, "ERP", "crm-contoso-customers")
	if err != nil {
		t.Fatal(err)
	}
	if n := c.CachedInfo().NumRedelivered; n != 0 {
		t.Errorf("%d messages came again although they are held", n)
	}
	_, metrics := get(t, "http://"+r.bridge.AdminAddr()+"/metrics")
	for _, want := range []string{"cebridge_webapi_budget_limit", "cebridge_webapi_budget_used", `cebridge_direction="inbound"`, "cebridge_webapi_budget_stretch"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s", want)
		}
	}
	if status, _ := get(t, "http://"+r.bridge.AdminAddr()+"/readyz"); status != http.StatusOK {
		t.Error("a used-up budget makes the bridge unready")
	}

	r.stop()
	if n := r.storedBudget(); n != limit {
		t.Errorf("%d requests are stored, want %d", n, limit)
	}
	// Starting reads metadata; nothing else is asked.
	r.start(budgetFlows)
	r.until("the table waits again", func() bool {
		return strings.Contains(r.bridge.Status().Tables[0].Detail, "webapi.daily_requests")
	})
	if got := r.sim.Requests(); got.Of("GET", sim.RequestDelta)+got.Of("PATCH", sim.RequestRecord) > limit || r.budget() != 0 {
		t.Errorf("after the restart: %v", got)
	}
	op, err := bridge.NewOperator(r.ctx, parse(t, r.head+budgetFlows, r.url, r.nats))
	if err != nil {
		t.Fatal(err)
	}
	s, err := op.Status(r.ctx)
	if err != nil || s.WebAPI == nil || s.WebAPI.Budget.Left != 0 || s.WebAPI.Budget.Limit != limit {
		t.Errorf("the operator sees %+v, %v", s.WebAPI, err)
	}
	if _, err := op.Estimate(r.ctx, bridge.EstimateOptions{}); err != nil {
		t.Errorf("a person's command is held back: %v", err)
	}
	before := r.storedBudget()
	if err := op.Close(r.ctx); err != nil {
		t.Fatal(err)
	}
	if after := r.storedBudget(); after <= before {
		t.Errorf("the command's requests are not counted: %d before, %d after", before, after)
	}

	r.head = budgetHead(100_000)
	r.restart(budgetFlows)
	r.until("everything is written", func() bool {
		s := r.bridge.Status().Routes[0]
		return s.Pending == 0 && s.AckPending == 0
	})
	dead, err := r.js.Stream(r.ctx, "CRM_CONTOSO_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	if n := dead.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d dead letters or parked messages", n)
	}
	for i := range messages {
		if _, ok := r.sim.FindByKey("account", map[string]any{"accountnumber": fmt.Sprint("B", i)}); !ok {
			t.Errorf("message %d was not written", i)
		}
	}
}
