package bridge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

const followedContacts = `
outbound:
  type_prefix: com.contoso.crm
  tables: {contact: {columns: [emailaddress1], poll: 100ms}}
`

// waitingForAParent parks a crowd of messages of one key, so early that no timer
// releases them within the test: park_after is also the pause before the first try.
func waitingForAParent(t *testing.T, routes string, prepare func(*sim.Server)) *rig {
	t.Helper()
	r := newRig(t, strings.Replace(routes, "park_after: 100ms", "park_after: 1h", 1), prepare)
	for i := range 110 {
		r.send("erp.customer", "c", fmt.Sprint(i), map[string]any{"id": "A1", "name": fmt.Sprint(i), "contact": "new@contoso.com"})
	}
	r.settledUpTo(110)
	if n := len(r.settled); n != 0 {
		t.Fatalf("%d messages have their final fate before the parent is there", n)
	}
	return r
}

// released waits until everything parked is written.
func (r *rig) released() {
	r.t.Helper()
	for range 110 {
		r.written()
	}
	id, _ := r.sim.FindByKey("account", map[string]any{"accountnumber": "A1"})
	if got := row(r.t, r.sim, "account", id); got["name"] != "109" || got["_primarycontactid_value"] == nil {
		r.t.Errorf("the record is %v", got)
	}
}

func TestAParentThatAPersonMakesReleasesWhatWaitsForIt(t *testing.T) {
	t.Parallel()
	r := waitingForAParent(t, followedContacts+parkingRoutes, nil)
	insert(t, r.sim, "contact", map[string]any{"emailaddress1": "New@Contoso.com", "lastname": "New"})
	r.released()
}

func TestAParentThatIsGivenItsKeyLaterReleasesWhatWaitsForIt(t *testing.T) {
	t.Parallel()
	var id string
	r := waitingForAParent(t, followedContacts+parkingRoutes, func(s *sim.Server) {
		id = insert(t, s, "contact", map[string]any{"emailaddress1": "old@contoso.com", "lastname": "Old"})
	})
	if err := r.sim.Update("contact", id, map[string]any{"emailaddress1": "new@contoso.com"}); err != nil {
		t.Fatal(err)
	}
	r.released()
}

func TestAParentThatAnotherBridgePublishesReleasesWhatWaitsForIt(t *testing.T) {
	t.Parallel()
	r := waitingForAParent(t, parkingRoutes, nil)
	other, err := bridge.New(parse(t, r.head+followedContacts, r.url, r.nats))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(r.ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	insert(t, r.sim, "contact", map[string]any{"emailaddress1": "new@contoso.com", "lastname": "New"})
	r.released()
}
