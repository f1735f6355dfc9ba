package bridge_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

// operator connects an operator to the rig's server.
func (r *rig) operator(text string) *bridge.Operator {
	r.t.Helper()
	op, err := bridge.NewOperator(r.ctx, parse(r.t, head+text, r.url, r.nats))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := op.Close(r.ctx); err != nil {
			r.t.Errorf("close the operator: %v", err)
		}
	})
	return op
}

func (r *rig) compare(text string, settle time.Duration) bridge.TableComparison {
	r.t.Helper()
	c, err := r.operator(text).Compare(r.ctx, bridge.CompareOptions{Settle: settle})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(c.Tables) != 1 || c.Org != "contoso" || c.Stream != "CRM_CONTOSO" {
		r.t.Fatalf("compared %+v", c)
	}
	return c.Tables[0]
}

// kinds renders the differences without their texts.
func kinds(t bridge.TableComparison) map[string]string {
	m := map[string]string{}
	for _, d := range t.Differences {
		m[d.ID] = d.Kind
		if len(d.Columns) > 0 {
			m[d.ID] += " " + strings.Join(d.Columns, ",")
		}
	}
	return m
}

func TestCompareFindsNothingWhereNothingDiffers(t *testing.T) {
	t.Parallel()
	r := newRig(t, followAccounts, func(s *sim.Server) {
		if err := s.Seed("account", 1200, func(i int) map[string]any { return map[string]any{"name": fmt.Sprint(i)} }); err != nil {
			t.Fatal(err)
		}
	})
	next := r.events("crm.contoso.account.>")
	for range 1200 {
		next()
	}
	got := r.compare(strings.Replace(followAccounts, "poll:", "page_size: 500, poll:", 1), time.Second)
	got.Seconds = 0
	want := bridge.TableComparison{Table: "account", Phase: "following", Records: 1200, Published: 1200, Differences: []bridge.RecordDifference{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The bridge is stopped, so that nothing mends what the test breaks.
func TestCompareNamesEveryRecordThatDiffers(t *testing.T) {
	t.Parallel()
	var same, gone, old, silent, unpublished string
	r := newRig(t, followAccounts, func(s *sim.Server) {
		same = insert(t, s, "account", map[string]any{"name": "same"})
		gone = insert(t, s, "account", map[string]any{"name": "gone"})
		old = insert(t, s, "account", map[string]any{"name": "old"})
		silent = insert(t, s, "account", map[string]any{"name": "silent"})
		unpublished = insert(t, s, "account", map[string]any{"name": "unpublished"})
	})
	next := r.events("crm.contoso.account.>")
	for range 5 {
		next()
	}
	r.stop()
	if err := r.sim.Delete("account", gone); err != nil {
		t.Fatal(err)
	}
	if err := r.sim.Update("account", old, map[string]any{"name": "new"}); err != nil {
		t.Fatal(err)
	}
	late := insert(t, r.sim, "account", map[string]any{"name": "late"})
	r.purge("crm.contoso.account." + unpublished)
	r.forge(silent, `"silent"`, `"forged"`)

	got := r.compare(followAccounts, 10*time.Millisecond)
	want := map[string]string{
		gone: "extra", old: "different", silent: "different name", unpublished: "missing", late: "missing",
	}
	if diff := cmp.Diff(want, kinds(got)); diff != "" {
		t.Errorf("differences (%s is the same):\n%s", same, diff)
	}
	if got.Missing != 2 || got.Extra != 1 || got.Different != 2 || got.Rechecked != 5 || got.Records != 5 || got.Published != 4 {
		t.Errorf("counts: %+v", got)
	}
	for _, d := range got.Differences {
		if d.ID == old && (d.PublishedVersion == 0 || d.Version <= d.PublishedVersion) {
			t.Errorf("versions of the older one: %+v", d)
		}
	}
	r.start(followAccounts) // it mends all but the forgery and the purge
}

func TestCompareOfALiveSystemGivesNoFalseAlarm(t *testing.T) {
	t.Parallel()
	var ids []string
	r := newRig(t, strings.Replace(followAccounts, "100ms", bridge.Seldom("contoso"), 1), func(s *sim.Server) {
		for i := range 50 {
			ids = append(ids, insert(t, s, "account", map[string]any{"name": fmt.Sprint(i)}))
		}
	})
	next := r.events("crm.contoso.account.>")
	for range ids {
		next()
	}
	r.polled()
	// The bridge will not look, unless compare rings.
	for i, id := range ids[:20] {
		if err := r.sim.Update("account", id, map[string]any{"name": fmt.Sprint("changed ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.sim.Delete("account", ids[30]); err != nil {
		t.Fatal(err)
	}
	insert(t, r.sim, "account", map[string]any{"name": "new"})
	got := r.compare(followAccounts, 20*time.Second)
	if len(got.Differences) > 0 || got.Rechecked == 0 {
		t.Errorf("%d looked at again, differences %v", got.Rechecked, kinds(got))
	}
}

func TestCompareOfATableThatStartsNowForgivesWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	text := strings.Replace(followAccounts, "poll:", "start: now, poll:", 1)
	var before string
	var ahead atomic.Int64 // modifiedon has whole seconds: let the server's clock jump
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := newRigWith(t, text, sim.Options{Now: clock}, func(s *sim.Server) {
		before = insert(t, s, "account", map[string]any{"name": "before"})
		insert(t, s, "account", map[string]any{"name": "before too"})
	})
	next := r.events("crm.contoso.account.>")
	r.polled()
	ahead.Add(int64(time.Minute))
	after := insert(t, r.sim, "account", map[string]any{"name": "after"})
	for next().Subject != after {
	}
	if got := r.compare(text, time.Second); len(got.Differences) > 0 || got.Unpublished != 2 || got.Records != 3 {
		t.Errorf("compared %+v", got)
	}
	r.stop()
	if err := r.sim.Update("account", before, map[string]any{"name": "changed"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{before: "missing"}, kinds(r.compare(text, time.Millisecond))); diff != "" {
		t.Error(diff)
	}
	r.start(text)
}

func TestCompareRefusesATableThatIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t, followAccounts, nil)
	_, err := r.operator(followAccounts).Compare(r.ctx, bridge.CompareOptions{Tables: []string{"acount"}})
	if err == nil || !strings.Contains(err.Error(), "did you mean account?") {
		t.Errorf("error %v", err)
	}
}
