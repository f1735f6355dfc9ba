package bridge_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/internal/jet"
	"cebridge/bridge/sim"
)

const claimConfig = `
stream: {history_per_record: 2}
outbound:
  type_prefix: com.contoso.crm
  claim_check: {trim_every: 1s}
  tables:
    account: {columns: [name, accountnumber, description], poll: 100ms}
`

// smallServer takes messages of 4 KiB; large is a text that does not fit one.
var (
	smallServer = jet.EmbeddedOptions{MaxPayload: 4 << 10}
	large       = strings.Repeat("ü…", 950)
)

// payload reads what an event refers to, as any NATS client would.
func (r *rig) payload(e outEvent) map[string]any {
	r.t.Helper()
	var ref struct {
		DataRef string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(e.raw, &ref); err != nil {
		r.t.Fatal(err)
	}
	bucket, name, ok := strings.Cut(strings.TrimPrefix(ref.DataRef, "nats-object:"), "/")
	if !ok || ref.Data != nil {
		r.t.Fatalf("the event refers to %q and has the data %s", ref.DataRef, ref.Data)
	}
	store, err := r.js.ObjectStore(r.ctx, bucket)
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := store.GetBytes(r.ctx, name)
	if err != nil {
		r.t.Fatal(err)
	}
	var data struct{ Record map[string]any }
	if err := json.Unmarshal(raw, &data); err != nil {
		r.t.Fatal(err)
	}
	return data.Record
}

// objects lists the names of a bucket.
func (r *rig) objects() (names []string) {
	r.t.Helper()
	store, err := r.js.ObjectStore(r.ctx, "CRM_CONTOSO_DATA")
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := store.List(r.ctx)
	if err != nil && err != jetstream.ErrNoObjectsFound {
		r.t.Fatal(err)
	}
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names
}

func TestARecordLargerThanAMessageIsPublishedByReference(t *testing.T) {
	t.Parallel()
	var id string
	r := newRigOn(t, smallServer, claimConfig, sim.Options{}, func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "C1", "description": large})
	})
	next := r.events("crm.contoso.account.>")
	e := next()
	if got := r.payload(e); got["description"] != large || got["accountnumber"] != "C1" || e.header.Get("Crm-Hash") == "" || e.Subject != id {
		t.Errorf("%s refers to %.60v", e.raw, got)
	}
	first := r.objects()

	// The compare reads what the event before refers to.
	update := func(columns map[string]any) outEvent {
		t.Helper()
		if err := r.sim.Update("account", id, columns); err != nil {
			t.Fatal(err)
		}
		return next()
	}
	if e = update(map[string]any{"name": "Contoso Ltd"}); e.ChangedColumns != "name" && e.ChangedColumns != "name,modifiedon" && e.ChangedColumns != "modifiedon,name" {
		t.Errorf("changed columns %q", e.ChangedColumns)
	}
	if got := r.payload(e); got["name"] != "Contoso Ltd" || got["description"] != large {
		t.Errorf("the second one refers to %.60v", got)
	}
	if e = update(map[string]any{"description": "short"}); !strings.Contains(e.ChangedColumns, "description") || e.Data.Record["description"] != "short" {
		t.Errorf("what fits again: %s", e.raw)
	}

	// The first event fell out of the history: its data goes, the second one's stays.
	for len(r.objects()) != 1 {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.ctx.Done():
			t.Fatalf("objects %v", r.objects())
		}
	}
	if left := r.objects(); len(first) != 1 || left[0] == first[0] || !strings.HasPrefix(left[0], "account/"+id+"/0001.") {
		t.Errorf("objects %v, at first %v", left, first)
	}
	if err := r.sim.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	if e = next(); e.change() != "deleted" || e.Data.Previous["accountnumber"] != "C1" {
		t.Errorf("after a delete: %s", e.raw)
	}
}

func TestOperatorsSeeThroughAReference(t *testing.T) {
	t.Parallel()
	var id string
	r := newRigOn(t, smallServer, claimConfig, sim.Options{}, func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "C1", "description": large})
	})
	next := r.events("crm.contoso.account.>")
	e := next()
	op := r.operator(claimConfig)
	if plan, err := op.Plan(r.ctx); err != nil || len(plan) != 0 {
		t.Errorf("plan %v, %v", plan, err)
	}
	c, err := op.Compare(r.ctx, bridge.CompareOptions{Settle: time.Millisecond})
	if err != nil || !c.Same() {
		t.Errorf("compare %+v, %v", c, err)
	}
	var out bytes.Buffer
	if _, err := op.Replay(r.ctx, bridge.ReplayOptions{Table: "account", Out: &out}); err != nil {
		t.Fatal(err)
	}
	var line struct {
		ID   string
		Data struct{ Record map[string]any }
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.ID != e.ID || line.Data.Record["description"] != large {
		t.Errorf("a replay writes %.200s (%v)", out.String(), err)
	}
	// A bridge without the setting still reads what an earlier one published.
	r.restart(strings.Replace(claimConfig, "claim_check:", "#", 1))
	if err := r.sim.Update("account", id, map[string]any{"description": "short"}); err != nil {
		t.Fatal(err)
	}
	if e = next(); !strings.Contains(e.ChangedColumns, "description") || strings.Contains(e.ChangedColumns, "name") {
		t.Errorf("without the setting: %s", e.raw)
	}
	if err := r.sim.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	next()
	receipt, err := op.Erase(r.ctx, bridge.EraseOptions{Table: "account", Record: id})
	if err != nil || len(receipt.Objects) != 1 || !strings.HasPrefix(receipt.Objects[0], "CRM_CONTOSO_DATA/account/"+id+"/") {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	if left := r.objects(); left != nil {
		t.Errorf("after the erasure there is %v", left)
	}
}

func TestAMissingBucketIsAChangeOfThePlan(t *testing.T) {
	t.Parallel()
	config := strings.Replace(claimConfig, "claim_check:", "#", 1)
	r := newRigOn(t, smallServer, config, sim.Options{}, nil)
	op := r.operator(claimConfig)
	plan, err := op.Plan(r.ctx)
	if err != nil || len(plan) != 1 || plan[0].Kind != "bucket" || plan[0].Name != "CRM_CONTOSO_DATA" || plan[0].Person {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	if _, err := op.Apply(r.ctx, bridge.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if plan, err = op.Plan(r.ctx); err != nil || len(plan) != 0 {
		t.Errorf("after apply: %+v, %v", plan, err)
	}
	if left := r.objects(); left != nil {
		t.Errorf("objects %v", left)
	}
}

func TestWithoutAClaimCheckTheTableHaltsAndNamesTheRecord(t *testing.T) {
	t.Parallel()
	var id string
	r := newRigOn(t, smallServer, strings.Replace(claimConfig, "claim_check:", "#", 1), sim.Options{}, func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"name": "Contoso", "description": large})
	})
	for {
		status := r.bridge.Status()
		if s := status.Tables[0]; s.State == "halted" {
			if !strings.Contains(s.Detail, id) || !strings.Contains(s.Detail, "claim_check") {
				t.Errorf("detail: %s", s.Detail)
			}
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-r.ctx.Done():
			t.Fatal("the table does not halt")
		}
	}
}
