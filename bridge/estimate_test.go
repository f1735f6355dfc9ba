package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

func TestEstimateTellsWhatTheLoadThenReallyTakes(t *testing.T) {
	t.Parallel()
	const n = 1100
	text := strings.Replace(followAccounts, "poll: 100ms", "page_size: 250, poll: 1m", 1)
	r := newRig(t, text, func(s *sim.Server) {
		if err := s.Seed("account", n, func(i int) map[string]any { return map[string]any{"name": fmt.Sprint("Contoso ", i)} }); err != nil {
			t.Fatal(err)
		}
	})
	r.published(n, r.events("crm.contoso.account.>"))
	counted := int64(0)
	list, err := r.operator(text).Estimate(r.ctx, bridge.EstimateOptions{Progress: func(p bridge.Progress) { counted = p.Done }})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	e := list[0]
	if e.Rows != n || counted != n || e.LoadRequests != 5 || e.RequestsPerDay != 1440 || e.LoadSeconds < e.PageSeconds {
		t.Errorf("%+v", e)
	}
	s, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		t.Fatal(err)
	}
	if real := int64(s.CachedInfo().State.Bytes); e.StreamBytes < real*7/10 || e.StreamBytes > real*13/10 {
		t.Errorf("estimated %d bytes, the load took %d", e.StreamBytes, real)
	}
	known, err := r.operator(text).Estimate(r.ctx, bridge.EstimateOptions{Rows: 1_000_000})
	if err != nil || known[0].Rows != 1_000_000 || known[0].LoadRequests != 4000 {
		t.Errorf("%+v, %v", known, err)
	}
}

// What the filter leaves out and what is masked does not count; the stream is the judge.
func TestEstimateCountsWhatIsPublishedOfTheRows(t *testing.T) {
	t.Parallel()
	const n, kept = 1000, 750
	text := strings.Replace(followAccounts, "columns: [name, accountnumber, primarycontactid], poll: 100ms",
		`columns: [name, description], page_size: 400, poll: 1m, filter: 'record.?name.orValue("") != "left out"', protect: {description: mask}`, 1)
	r := newRig(t, text, func(s *sim.Server) {
		err := s.Seed("account", n, func(i int) map[string]any {
			name := fmt.Sprint("Contoso ", i)
			if i%4 == 0 {
				name = "left out"
			}
			return map[string]any{"name": name, "description": strings.Repeat("x", 1500)}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	r.published(kept, r.events("crm.contoso.account.>"))
	list, err := r.operator(text).Estimate(r.ctx, bridge.EstimateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e := list[0]
	if e.Rows != n || e.Sampled != 400 || e.Kept != 300 || e.Events != kept || e.LoadRequests != 3 {
		t.Errorf("%+v", e)
	}
	s, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		t.Fatal(err)
	}
	if real := int64(s.CachedInfo().State.Bytes); e.StreamBytes < real*7/10 || e.StreamBytes > real*13/10 {
		t.Errorf("estimated %d bytes, the load took %d", e.StreamBytes, real)
	}
	nothing := strings.Replace(text, `!= "left out"`, `== "nobody"`, 1)
	if list, err = r.operator(nothing).Estimate(r.ctx, bridge.EstimateOptions{}); err != nil || list[0].Events != 0 || list[0].StreamBytes != 0 || list[0].Kept != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	broken := strings.Replace(text, `record.?name.orValue("") != "left out"`, "record.name > 5", 1)
	if _, err = r.operator(broken).Estimate(r.ctx, bridge.EstimateOptions{}); err == nil || !strings.Contains(err.Error(), "estimate table account: the table's filter cannot be computed: record ") {
		t.Errorf("a filter that cannot be computed: %v", err)
	}
}
