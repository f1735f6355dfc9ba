package bridge_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/outbound"
)

// forge puts an event on a record's subject that says the same version with another
// content: what a bridge with a fault would publish.
func (r *rig) forge(id, old, new string) {
	r.t.Helper()
	stream, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(r.ctx, "crm.contoso.account."+id)
	if err != nil {
		r.t.Fatal(err)
	}
	forged := &nats.Msg{Subject: m.Subject, Header: nats.Header{}, Data: []byte(strings.Replace(string(m.Data), old, new, 1))}
	for _, name := range []string{"Content-Type", "Crm-Version", "Crm-Epoch", "Crm-Change"} {
		forged.Header.Set(name, m.Header.Get(name))
	}
	forged.Header.Set("Crm-Hash", "0123456789abcdef")
	if _, err := r.js.PublishMsg(r.ctx, forged); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) purge(subject string) {
	r.t.Helper()
	stream, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err == nil {
		err = stream.Purge(r.ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// A lost event and a forged one are beyond what following can mend: the versions are
// published. The repair publishes them and nothing else.
func TestARepairMakesTheStreamWhatCustomerEngagementHolds(t *testing.T) {
	t.Parallel()
	var lost, forged, same string
	r := newRig(t, followAccounts, func(s *sim.Server) {
		lost = insert(t, s, "account", map[string]any{"name": "lost"})
		forged = insert(t, s, "account", map[string]any{"name": "true"})
		same = insert(t, s, "account", map[string]any{"name": "same"})
	})
	next := r.events("crm.contoso.account.>")
	first := map[string]outEvent{}
	for range 3 {
		e := next()
		first[e.Subject] = e
	}
	r.polled()
	r.purge("crm.contoso.account." + lost)
	r.forge(forged, `"true"`, `"forged"`)
	next() // the forgery

	op := r.operator(followAccounts)
	c, err := op.Compare(r.ctx, bridge.CompareOptions{Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{lost: "missing", forged: "different name"}, kinds(c.Tables[0])); diff != "" {
		t.Fatalf("before the repair:\n%s", diff)
	}
	if c.Repaired, err = op.Repair(r.ctx, c, bridge.CompareOptions{Settle: time.Second}); err != nil {
		t.Fatal(err)
	}
	if !c.Same() || len(c.Repaired.Tables) != 1 || c.Repaired.Tables[0].Records != 3 {
		t.Errorf("after the repair: %+v", c.Repaired)
	}
	events := map[string]outEvent{}
	for range 2 {
		e := next()
		events[e.Subject] = e
		if e.ReadBy != "repair" || !strings.HasSuffix(e.ID, "@2") {
			t.Errorf("a repair published %s, read by %s", e.ID, e.ReadBy)
		}
	}
	if e := events[forged]; e.change() != "updated" || e.ChangedColumns != "name" || e.Data.Record["name"] != "true" || e.Sequence <= first[forged].Sequence {
		t.Errorf("the forged one: %s", e.raw)
	}
	if e := events[lost]; e.change() != "created" || e.Data.Record["name"] != "lost" {
		t.Errorf("the lost one: %s", e.raw)
	}
	if err := r.sim.Update("account", same, map[string]any{"name": "goes on"}); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Subject != same || e.ReadBy != "delta" {
		t.Errorf("after the repair came %s by %s", e.ID, e.ReadBy)
	}
}

// What a new version of the stream's own can say needs no new epoch.
func TestARepairOfLostEventsKeepsTheEpoch(t *testing.T) {
	t.Parallel()
	var lost string
	r := newRig(t, followAccounts, func(s *sim.Server) { lost = insert(t, s, "account", map[string]any{"name": "lost"}) })
	next := r.events("crm.contoso.account.>")
	was := next()
	r.polled()
	r.purge("crm.contoso.account." + lost)
	op := r.operator(followAccounts)
	c, err := op.Compare(r.ctx, bridge.CompareOptions{Settle: time.Millisecond})
	if err != nil || c.Same() {
		t.Fatalf("%+v, %v", c, err)
	}
	if c.Repaired, err = op.Repair(r.ctx, c, bridge.CompareOptions{Settle: time.Second}); err != nil || !c.Same() {
		t.Errorf("after the repair: %+v, %v", c.Repaired, err)
	}
	if e := next(); e.ID != was.ID || e.ReadBy != "repair" {
		t.Errorf("published %s by %s, was %s", e.ID, e.ReadBy, was.ID)
	}
}

func TestARepairNeedsABridgeAndATableThatIsNotPaused(t *testing.T) {
	t.Parallel()
	var lost string
	r := newRig(t, followAccounts, func(s *sim.Server) { lost = insert(t, s, "account", map[string]any{"name": "lost"}) })
	next := r.events("crm.contoso.account.>")
	next()
	r.polled()
	r.purge("crm.contoso.account." + lost)
	op := r.operator(followAccounts)
	c, err := op.Compare(r.ctx, bridge.CompareOptions{Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.Control(r.ctx, bridge.ActionPause, "account", false); err != nil {
		t.Fatal(err)
	}
	if _, err = op.Repair(r.ctx, c, bridge.CompareOptions{}); err == nil || !strings.Contains(err.Error(), "is paused") {
		t.Errorf("a paused table: %v", err)
	}
	if _, err := op.Control(r.ctx, bridge.ActionResume, "account", false); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Subject != lost || e.ReadBy != "repair" {
		t.Errorf("after the resume came %s by %s", e.ID, e.ReadBy)
	}
	if err := r.bridge.Stop(r.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err = op.Repair(r.ctx, c, bridge.CompareOptions{}); !errors.Is(err, bridge.ErrNoBridge) {
		t.Errorf("without a bridge: %v", err)
	}
}

// The events whose data is in the object store are read through, also where only changes
// count.
func TestCompareReadsThroughReferencesWhereOnlyChangesCount(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"structured", "binary"} {
		config := strings.Replace(claimConfig, "poll: 100ms", "poll: 100ms, only_changes: true, mode: "+mode, 1)
		r := newRigOn(t, smallServer, config, sim.Options{}, func(s *sim.Server) {
			for i := range 3 {
				insert(t, s, "account", map[string]any{"name": fmt.Sprint(i), "description": large})
			}
		})
		r.polled()
		if got := r.compare(config, time.Second); got.Records != 3 || got.Published != 3 || got.Rechecked != 0 || len(got.Differences) > 0 {
			t.Errorf("%s: %+v", mode, got)
		}
	}
}

// A paused table that was never running in this process shows where it stands.
func TestAPausedTableShowsItsPosition(t *testing.T) {
	t.Parallel()
	r := newRig(t, followAccounts, func(s *sim.Server) { insert(t, s, "account", map[string]any{"name": "one"}) })
	next := r.events("crm.contoso.account.>")
	next()
	r.polled()
	op := r.operator(followAccounts)
	if _, err := op.Control(r.ctx, bridge.ActionPause, "account", false); err != nil {
		t.Fatal(err)
	}
	s, err := op.Status(r.ctx)
	for ; err == nil && s.Tables[0].State != string(outbound.StatePaused); s, err = op.Status(r.ctx) {
	}
	if err != nil || s.Tables[0].Detail == "" || s.Tables[0].TokenAgeSeconds <= 0 {
		t.Errorf("from the stream: %+v, %v", s.Tables, err)
	}
	r.restart(followAccounts)
	for r.bridge.Status().Tables[0].State != string(outbound.StatePaused) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-r.ctx.Done():
			t.Fatal("the table does not stay paused")
		}
	}
	if got := r.bridge.Status().Tables[0]; got.Checkpoint.Epoch != 1 || got.Checkpoint.Phase != "following" || got.TokenAgeSeconds <= 0 {
		t.Errorf("from the bridge: %+v", got)
	}
}
