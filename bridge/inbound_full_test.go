package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// routeState waits until the route has that state, and returns its detail.
func (r *rig) routeState(want string) string {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		st := r.bridge.Status().Routes[0]
		if st.State == want {
			return st.Detail
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("the route is %s (%s), want %s", st.State, st.Detail, want)
		}
	}
}

func TestARouteStopsWhenTheDeadLettersAreFullAndAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	route := strings.Replace(customerRoute, "receipts: erp.receipt", "", 1)
	r := newRig(t, route, nil)
	dead, err := r.js.Stream(r.ctx, "CRM_CONTOSO_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	cfg := dead.CachedInfo().Config
	cfg.MaxMsgs, cfg.Discard = 1, jetstream.DiscardNew
	if _, err := r.js.UpdateStream(r.ctx, cfg); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r.send("erp.customer", "com.example.customer", fmt.Sprint(i), map[string]any{"id": "A1", "name": 7})
	}
	if s := r.next(); s.Outcome != "rejected" {
		t.Fatalf("the letter for which there was room: %s", s.Outcome)
	}
	if detail := r.routeState("stopped"); !strings.Contains(detail, "dead-letter stream is full") {
		t.Errorf("the route says %q", detail)
	}
	consumer, err := r.js.Consumer(r.ctx, "ERP", "crm-contoso-customers")
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(r.ctx)
	if err != nil || info.AckFloor.Stream > 1 || len(r.settled) != 0 {
		t.Errorf("acknowledged up to %d (%v), %d more settled, want only the one that has its letter", info.AckFloor.Stream, err, len(r.settled))
	}

	cfg.MaxMsgs = -1
	if _, err := r.js.UpdateStream(r.ctx, cfg); err != nil {
		t.Fatal(err)
	}
	r.restart(route)
	r.send("erp.customer", "com.example.customer", "good", map[string]any{"id": "A1", "name": "good"})
	fates := map[string]int{}
	for range 3 {
		fates[r.next().Outcome]++
	}
	if fates["rejected"] != 2 || fates["written"] != 1 {
		t.Errorf("after there was room again: %v, want 2 rejected, 1 written", fates)
	}
	r.settledUpTo(4)
}

// Refusals of one key after another mean that the fault is not in the messages.
func TestARouteStopsWhenTooManyKeysInARowAreRefusedAndSaysWhy(t *testing.T) {
	t.Parallel()
	route := strings.Replace(customerRoute, "receipts: erp.receipt", "stop_after: 5", 1)
	r := newRig(t, strings.Replace(route, "columns: {", "columns: {statuscode: '2', ", 1), nil)
	for i := range 30 {
		r.send("erp.customer", "com.example.customer", fmt.Sprint(i), map[string]any{"id": fmt.Sprint("A", i), "name": "x"})
	}
	if detail := r.routeState("stopped"); !strings.Contains(detail, "5 keys were refused") || !strings.Contains(detail, "invalid, status 400, code 0x80048408") {
		t.Errorf("the route says %q", detail)
	}
	r.restart(route)
	fates := map[uint64]string{}
	for len(fates) < 30 {
		s := r.next()
		fates[s.Message.Sequence] = s.Outcome
	}
	written := 0
	for _, fate := range fates {
		if fate == "written" {
			written++
		}
	}
	// The first four have their letters; the fifth stopped the route and has none.
	if written < 26 {
		t.Errorf("%d written after the cause was gone: %v", written, fates)
	}
	r.settledUpTo(30)
}
