package bridge_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

func TestATableIsPausedResumedAndResyncedFromOutside(t *testing.T) {
	t.Parallel()
	var lost string
	r := newRig(t, followAccounts, func(s *sim.Server) {
		lost = insert(t, s, "account", map[string]any{"name": "lost"})
		insert(t, s, "account", map[string]any{"name": "kept"})
	})
	next := r.events("crm.contoso.account.>")
	r.published(2, next)
	r.polled()
	op := r.operator(followAccounts)
	do := func(a bridge.Action, want string) {
		t.Helper()
		state, err := op.Control(r.ctx, a, "account", false)
		if err != nil || want != "" && state != want {
			t.Errorf("%s: %s, %v, want %s", a, state, err, want)
		}
	}
	do(bridge.ActionPause, "paused")
	id := insert(t, r.sim, "account", map[string]any{"name": "while paused"})
	if diff := cmp.Diff(map[string]string{id: "missing"}, kinds(r.compare(followAccounts, time.Millisecond))); diff != "" {
		t.Errorf("while paused:\n%s", diff)
	}
	do(bridge.ActionResume, "following")
	if e := next(); e.Subject != id {
		t.Errorf("after the resume came %s", e.Subject)
	}

	s, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(r.ctx, jetstream.WithPurgeSubject("crm.contoso.account."+lost)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{lost: "missing"}, kinds(r.compare(followAccounts, time.Millisecond))); diff != "" {
		t.Errorf("after the loss:\n%s", diff)
	}
	do(bridge.ActionResync, "")
	if e := next(); e.Subject != lost || e.ReadBy != "resync" {
		t.Errorf("the resync published %s by %s", e.Subject, e.ReadBy)
	}
	if got := r.compare(followAccounts, 10*time.Second); len(got.Differences) > 0 {
		t.Errorf("after the resync: %v", kinds(got))
	}
}

func TestControlNeedsABridgeThatFollowsTheTable(t *testing.T) {
	t.Parallel()
	const both = followAccounts + "    contact: {columns: [lastname], poll: 1h}\n"
	r := newRig(t, followAccounts, nil)
	op := r.operator(both)
	if _, err := op.Control(r.ctx, bridge.ActionPause, "contact", false); err == nil || !strings.Contains(err.Error(), "does not follow") {
		t.Errorf("a table that is not followed: %v", err)
	}
	if err := r.bridge.Stop(r.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := op.Control(r.ctx, bridge.ActionPause, "account", false); !errors.Is(err, bridge.ErrNoBridge) {
		t.Errorf("no bridge: %v", err)
	}
}
