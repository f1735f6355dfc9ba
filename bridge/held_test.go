package bridge_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

// setKey gives the account's key on accountnumber another status.
func setKey(t *testing.T, s *sim.Server, status schema.KeyStatus) {
	t.Helper()
	if err := s.AlterTable("account", false, func(t *schema.Table) error {
		t.Key([]string{"accountnumber"}).Status = status
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// inState waits until a route is in that state and returns the detail.
func (r *rig) inState(route, state string) string {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, s := range r.bridge.Status().Routes {
			if s.Route == route && s.State == state {
				return s.Detail
			}
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("route %s is not %s in time: %+v", route, state, r.bridge.Status().Routes)
		}
	}
}

const alsoContacts = customerRoute + `
    people:
      stream: ERP
      subjects: [erp.person]
      start: new
      table: contact
      key: {emailaddress1: data.mail}
      columns: {lastname: data.name}
`

func TestARouteWhoseKeyIsNotActiveIsHeldAloneAndStartsByItself(t *testing.T) {
	for _, status := range []schema.KeyStatus{schema.KeyPending, schema.KeyInProgress, schema.KeyFailed} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, strings.Replace(alsoContacts, "start: all", "start: new", 1), func(s *sim.Server) { setKey(t, s, status) })
			if err := r.bridge.Ready(); err != nil {
				t.Errorf("a held route unreadies the bridge: %v", err)
			}
			detail := r.inState("customers", "held")
			if !strings.Contains(detail, "of account is "+string(status)) || (status == schema.KeyFailed) != strings.Contains(detail, "apply --reactivate") {
				t.Errorf("detail: %s", detail)
			}
			// What arrives meanwhile waits, although the route begins with new messages.
			r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "A1", "name": "held"})
			r.send("erp.person", "com.example.person", "2", map[string]any{"mail": "b@contoso.example", "name": "other"})
			if s := r.written(); s.Message.Subject != "erp.person" {
				t.Fatalf("%s was settled first", s.Message.Subject)
			}
			if n := r.sim.Stats().Rows["account"]; n != 0 {
				t.Errorf("%d accounts were written by a held route", n)
			}
			setKey(t, r.sim, schema.KeyActive)
			if s := r.written(); s.Message.Subject != "erp.customer" {
				t.Errorf("%s", s.Message.Subject)
			}
			r.inState("customers", "running")
		})
	}
}

func TestARouteIsHeldForTheKeyOfALookupToo(t *testing.T) {
	for name, lookup := range map[string]string{
		"by key": "{account: {accountnumber: data.parent}}",
		"by ref": `'ref("account", {"accountnumber": data.parent})'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, `
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    people:
      stream: ERP
      start: all
      table: contact
      key: {emailaddress1: data.mail}
      columns: {lastname: data.name}
      lookups: {parentcustomerid: `+lookup+`}
`, func(s *sim.Server) {
				insert(t, s, "account", map[string]any{"name": "x", "accountnumber": "P1"})
				setKey(t, s, schema.KeyPending)
			})
			r.inState("people", "held")
			r.send("erp.person", "com.example.person", "2", map[string]any{"mail": "b@contoso.example", "name": "x", "parent": "P1"})
			setKey(t, r.sim, schema.KeyActive)
			r.written()
		})
	}
}

func TestAHeldRouteEndsWithTheBridge(t *testing.T) {
	t.Parallel()
	r := newRig(t, customerRoute, func(s *sim.Server) { setKey(t, s, schema.KeyPending) })
	r.inState("customers", "held")
	r.restart(customerRoute)
	r.inState("customers", "held")
}

func TestAKeyThatIsNotDeclaredIsAFaultThatNamesTheWayOut(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	for key, want := range map[string]string{
		"fax":         "no alternate key of account consists of fax",
		"description": "it cannot be defined: column description is of type Memo",
	} {
		text := strings.Replace(customerRoute, "accountnumber", key, 1)
		b, err := bridge.New(parse(t, "org: contoso\nwebapi: {url: SIM}\nnats: {embedded: {dir: "+t.TempDir()+"}}\n"+text, url, ""))
		if err != nil {
			t.Fatal(err)
		}
		err = b.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || (key == "fax") != strings.Contains(err.Error(), "cebridge apply can define it") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestEveryPlaceThatLacksAKeyNamesTheWayOut(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	text := strings.NewReplacer("{accountnumber: data.id}", "{fax: data.id}",
		"{emailaddress1: data.mail}", "{emailaddress1: data.mail}\n      lookups: {parentcustomerid: {account: {fax: data.f}}}").Replace(alsoContacts)
	b, err := bridge.New(parse(t, "org: contoso\nwebapi: {url: SIM}\nnats: {embedded: {dir: "+t.TempDir()+"}}\n"+text, url, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err == nil || strings.Count(err.Error(), "cebridge apply can define it") != 2 || strings.Count(err.Error(), "consists of fax") != 2 {
		t.Errorf("%v", err)
	}
}

func TestAHeldRouteIsCountedAndItsLogQuotesNothingOfTheServer(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	r := newRigWith(t, onlyStreams, sim.Options{KeyJobDelay: time.Millisecond}, func(s *sim.Server) {
		for range 2 {
			insert(t, s, "account", map[string]any{"name": "x", "fax": "1"})
		}
	}, bridge.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
	if _, err := r.operator(faxRoute).Apply(r.ctx, bridge.ApplyOptions{}); err == nil {
		t.Fatal("the key was built over duplicates")
	}
	r.restart(faxRoute + "admin: {listen: \"127.0.0.1:0\"}\n")
	r.until("the status tells the cause", func() bool {
		return strings.Contains(r.inState("customers", "held"), "records share a value")
	})
	_, metrics := get(t, "http://"+r.bridge.AdminAddr()+"/metrics")
	if !strings.Contains(metrics, "cebridge_inbound_held{") {
		t.Error("/metrics does not show the held route")
	}
	if text := log.String(); !strings.Contains(text, "route is held") || strings.Contains(text, "share a value; remove") {
		t.Errorf("log: %s", text)
	}
}

func TestAHeldRouteSaysThatItsKeyIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, customerRoute, func(s *sim.Server) { setKey(t, s, schema.KeyPending) })
	var keys []schema.AlternateKey
	alter := func(change func(*schema.Table)) {
		t.Helper()
		if err := r.sim.AlterTable("account", false, func(t *schema.Table) error { change(t); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	alter(func(t *schema.Table) { keys, t.Keys = t.Keys, nil })
	r.until("the status says it", func() bool {
		return strings.Contains(r.inState("customers", "held"), "account (accountnumber) is gone")
	})
	alter(func(t *schema.Table) {
		t.Keys = keys
		t.Key([]string{"accountnumber"}).Status = schema.KeyActive
	})
	r.inState("customers", "ready")
}
