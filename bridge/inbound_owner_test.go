package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cebridge/bridge/sim"
	"cebridge/inbound"
	"cebridge/schema/outcome"
)

// refusals are what the platform says when one record's owner, or the business unit of
// one record, is the reason.
var refusals = map[string]struct {
	rule      sim.Rule
	reason    outcome.Reason
	privilege string
}{
	"the owner has left": {
		sim.Rule{Status: 403, Code: "0x80040225", Message: "The specified user is either disabled or is not a member of any business unit."}, outcome.TargetForbidden, ""},
	"the owner lacks a privilege": {
		sim.Rule{Status: 403, Code: "0x80040231", Message: "Principal user is missing prvReadAccount privilege"}, outcome.TargetForbidden, "prvReadAccount"},
	"another business unit's record": {
		sim.Rule{Status: 403, Code: "0x80040220", Message: "SecLib::AccessCheckEx failed. Returned hr = -2147187962, ObjectID: 0f9e8d7c-0000-4000-8000-000000000001, OwnerId: 0f9e8d7c-0000-4000-8000-000000000002, ObjectTypeCode: 1, AccessRights: WriteAccess"}, outcome.Forbidden, "WriteAccess"},
	"a privilege whose depth some records exceed": {
		sim.Rule{Status: 403, Code: "0x80040220", Message: "Principal user (Id=0f9e8d7c-0000-4000-8000-000000000002, type=8, roleCount=8, privilegeCount=420), is missing prvWriteAccount privilege on OTC=1 for entity 'account'."}, outcome.Forbidden, "prvWriteAccount"},
}

// ownerRoute writes accounts; those of the owner case name one.
func ownerRoute(owner bool) string {
	text := strings.Replace(customerRoute, "      receipts: erp.receipt\n", "", 1)
	if owner {
		text = strings.TrimRight(text, "\n") + "\n      lookups: {ownerid: {systemuser: {domainname: data.owner}}}\n"
	}
	return text
}

func newRefusing(t *testing.T, name string, times int) *rig {
	t.Helper()
	c := refusals[name]
	faults := sim.NewFaults(1)
	c.rule.Kind, c.rule.Method, c.rule.Times = sim.FaultError, "PATCH", times
	if faults.Add(c.rule) == 0 {
		t.Fatal("the rule is not taken")
	}
	return newRigWith(t, ownerRoute(c.reason == outcome.TargetForbidden), sim.Options{Faults: faults}, func(s *sim.Server) {
		insert(t, s, "systemuser", map[string]any{"domainname": `CONTOSO\anna`, "lastname": "Anna"})
	})
}

func TestARefusalOfOneRecordsOwnerOrUnitRejectsThatMessageAlone(t *testing.T) {
	for name, c := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const refused = 3
			r := newRefusing(t, name, refused)
			outcomes := map[string]int{}
			for i := range 10 {
				r.send("erp.customer", "com.example.customer", fmt.Sprint(i), map[string]any{"id": fmt.Sprint("K", i), "name": "n", "owner": `CONTOSO\anna`})
			}
			for range 10 {
				s := r.next()
				outcomes[s.Outcome]++
				if s.Outcome == inbound.Rejected && (s.Err.Reason != c.reason || s.Err.Privilege != c.privilege) {
					t.Errorf("rejected because of %s, %q is missing: %v", s.Err.Reason, s.Err.Privilege, s.Err)
				}
			}
			if outcomes[inbound.Rejected] != refused || outcomes[inbound.Written] != 10-refused {
				t.Errorf("%v", outcomes)
			}
		})
	}
}

func TestRefusalsOverDistinctKeysStopTheRoute(t *testing.T) {
	for name, c := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRefusing(t, name, 0)
			for i := range 2 * inbound.DefaultStopWindow {
				r.send("erp.customer", "com.example.customer", fmt.Sprint(i), map[string]any{"id": fmt.Sprint("K", i), "name": "n", "owner": `CONTOSO\anna`})
			}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				st := r.bridge.Status()
				if len(st.Routes) == 1 && st.Routes[0].State == string(inbound.StateStopped) {
					if d := st.Routes[0].Detail; !strings.Contains(d, "grant "+c.privilege) || !strings.Contains(d, "send its dead letters again") {
						t.Errorf("the status does not say what to do: %s", d)
					}
					break
				}
				select {
				case <-tick.C:
				case <-r.ctx.Done():
					t.Fatalf("the route did not stop: %+v", st.Routes)
				}
			}
			rejected := 0
			for len(r.settled) > 0 {
				if s := r.next(); s.Outcome == inbound.Rejected {
					rejected++
				}
			}
			if rejected >= inbound.DefaultStopWindow {
				t.Errorf("%d messages were rejected, fewer than the window of %d may be", rejected, inbound.DefaultStopWindow)
			}
		})
	}
}
