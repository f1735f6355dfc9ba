package bridge_test

import (
	"errors"
	"strings"
	"testing"

	"cebridge/bridge"
)

func TestLetterFiltersReadTheirConditions(t *testing.T) {
	got, err := bridge.ParseLetterFilter([]string{"reason=invalid", "route=erp", "code=0x80040265", "key=A 1=2", "state=parked"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Reason != "invalid" || got.Route != "erp" || got.Code != "0x80040265" || got.Text != "A 1=2" || got.State != "parked" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "reason", "reason=", "reasn=x", "state=lost", "route=a.b", "route=*"} {
		if _, err := bridge.ParseLetterFilter([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := bridge.ParseLetterFilter([]string{"reason=a", "reason=b"}); err == nil {
		t.Error("two reasons are taken")
	}
}

func (r *rig) letters(op *bridge.Operator, f bridge.LetterFilter) (list []*bridge.DeadLetter) {
	r.t.Helper()
	if err := op.DeadLetters(r.ctx, f, func(d *bridge.DeadLetter) error { list = append(list, d); return nil }); err != nil {
		r.t.Fatal(err)
	}
	return list
}

func TestARetryIsRefusedWhereANewerRevisionWasApplied(t *testing.T) {
	t.Parallel()
	r := newRig(t, revisedRoute, nil)
	bad := customer("A1", 5)
	bad["name"] = strings.Repeat("x", 500)
	r.send("erp.customer", "c", "bad", bad)
	if s := r.next(); s.Outcome != "rejected" {
		t.Fatalf("%s", s.Outcome)
	}
	op := r.operator(revisedRoute)
	list := r.letters(op, bridge.LetterFilter{})
	if len(list) != 1 {
		t.Fatalf("%d letters", len(list))
	}
	if err := op.CheckRetry(r.ctx, list[0]); err != nil {
		t.Errorf("nothing newer was applied, but: %v", err)
	}
	r.send("erp.customer", "c", "good", customer("A1", 6))
	r.written()
	// The letter was made before its write was: it has no revision, and the route decides.
	if _, err := op.RetryDeadLetter(r.ctx, list[0], []byte(
		`{"specversion":"1.0","id":"e","source":"/t","type":"c","data":{"id":"A1","name":"edited","revision":5}}`)); err != nil {
		t.Fatal(err)
	}
	if s := r.next(); s.Outcome != "superseded" {
		t.Errorf("the route let an older revision pass: %s (%v)", s.Outcome, s.Err)
	}
	if _, err := op.RetryDeadLetter(r.ctx, list[0], nil); !errors.Is(err, bridge.ErrLetterRetried) {
		t.Errorf("error %v, want ErrLetterRetried", err)
	}
}

func TestALetterOfARefusedWriteKnowsWhatWasAppliedSince(t *testing.T) {
	t.Parallel()
	route := strings.Replace(revisedRoute, "columns: {name", "lookups: {primarycontactid: {contact: {emailaddress1: 'data.?contact.orValue(\"there@contoso.com\")'}}}\n      give_up: 1s\n      columns: {name", 1)
	r := newRig(t, route, nil)
	insert(t, r.sim, "contact", map[string]any{"emailaddress1": "there@contoso.com", "lastname": "There"})
	orphan := customer("A1", 5)
	orphan["contact"] = "nobody@contoso.com"
	r.send("erp.customer", "c", "orphan", orphan)
	if s := r.next(); s.Outcome != "rejected" {
		t.Fatalf("%s", s.Outcome)
	}
	r.send("erp.customer", "c", "good", customer("A1", 6))
	r.written()
	op := r.operator(route)
	list := r.letters(op, bridge.LetterFilter{Reason: "missing_reference", Text: "a1"})
	if len(list) != 1 || list[0].Waits != "contacts(emailaddress1='nobody%40contoso.com')" {
		t.Fatalf("letters %+v", list)
	}
	if _, err := op.RetryDeadLetter(r.ctx, list[0], nil); !errors.Is(err, bridge.ErrNewerApplied) {
		t.Errorf("error %v, want ErrNewerApplied", err)
	}
}

func TestARetriedLetterIsWrittenOnceItsCauseIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, strings.Replace(parkingRoutes, "give_up: 1h", "give_up: 1s", 1), nil)
	r.send("erp.customer", "c", "1", map[string]any{"id": "A1", "name": "first", "contact": "late@contoso.com"})
	if s := r.next(); s.Outcome != "rejected" {
		t.Fatalf("%s", s.Outcome)
	}
	insert(t, r.sim, "contact", map[string]any{"emailaddress1": "late@contoso.com", "lastname": "Late"})
	op := r.operator(parkingRoutes)
	list := r.letters(op, bridge.LetterFilter{State: bridge.LetterDead})
	mark, err := op.RetryDeadLetter(r.ctx, list[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	s := r.written()
	if s.Message.Sequence != mark.Sequence || s.Message.Header["Crm-Retry-Count"][0] != "1" || s.Message.Header["Crm-Retry-Route"][0] != "customers" {
		t.Errorf("message %d with header %v, mark %+v", s.Message.Sequence, s.Message.Header, mark)
	}
	if list = r.letters(op, bridge.LetterFilter{}); len(list) != 1 || list[0].State != bridge.LetterRetried || list[0].Retried.Sequence != mark.Sequence {
		t.Errorf("letters %+v", list)
	}
	if err := op.DiscardDeadLetter(r.ctx, list[0]); err != nil {
		t.Fatal(err)
	}
	if list = r.letters(op, bridge.LetterFilter{}); len(list) != 0 {
		t.Errorf("%d letters are left", len(list))
	}
}
