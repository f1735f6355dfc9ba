package bridge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

// faxRoute needs a key that the simulator's account lacks.
var faxRoute = strings.Replace(customerRoute, "{accountnumber: data.id}", "{fax: data.id}", 1)

// find returns the changes of one kind.
func find(changes []bridge.Change, kind string) (found []bridge.Change) {
	for _, c := range changes {
		if c.Kind == kind {
			found = append(found, c)
		}
	}
	return found
}

// planned returns the plan's changes of one kind.
func planned(t *testing.T, ctx context.Context, o *bridge.Operator, kind string) []bridge.Change {
	t.Helper()
	plan, err := o.Plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return find(plan, kind)
}

// onlyStreams is a bridge that does nothing that tests of plan would notice.
const onlyStreams = "inbound: {routes: {}}\noutbound: {type_prefix: com.contoso.crm, tables: {contact: {columns: [lastname], poll: 1h}}}\n"

func TestAKeyThatPlanShowsIsMadeByApplyAndTheRouteWrites(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, onlyStreams, sim.Options{KeyJobDelay: 100 * time.Millisecond}, nil)
	insert(t, r.sim, "account", map[string]any{"name": "x", "fax": "1"})
	o := r.operator(faxRoute)
	keys := planned(t, r.ctx, o, "alternate_key")
	if len(keys) != 1 || keys[0].Name != "account (fax)" || keys[0].What != "define alternate key new_cebridge_fax for route customers" ||
		!strings.Contains(keys[0].Consequence, "over 1 records") || keys[0].Person {
		t.Fatalf("plan: %+v", keys)
	}
	var said []string
	made, err := o.Apply(r.ctx, bridge.ApplyOptions{Report: func(text string) { said = append(said, text) }})
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(said, "\n"); len(find(made, "alternate_key")) != 1 || !strings.Contains(text, "alternate_key account (fax): done: define") ||
		!strings.HasSuffix(text, "alternate_key account (fax): Active") {
		t.Errorf("made %+v, said %s", made, text)
	}
	if plan, err := o.Plan(r.ctx); len(plan) != 0 || err != nil {
		t.Errorf("afterwards: %+v, %v", plan, err)
	}
	r.restart(faxRoute)
	r.send("erp.customer", "com.example.customer", "1", map[string]any{"id": "1", "name": "written"})
	r.written()
	if id, ok := r.sim.FindByKey("account", map[string]any{"fax": "1"}); !ok || row(t, r.sim, "account", id)["name"] != "written" {
		t.Error("the record was not written by its new key")
	}
}

func TestAKeyThatFailsIsNamedWithItsCauseAndReactivatedOnRequest(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, onlyStreams, sim.Options{KeyJobDelay: time.Millisecond}, nil)
	var last string
	for range 2 {
		last = insert(t, r.sim, "account", map[string]any{"name": "x", "fax": "1"})
	}
	o := r.operator(faxRoute)
	_, err := o.Apply(r.ctx, bridge.ApplyOptions{})
	if err == nil || !strings.Contains(err.Error(), "records share a value") || !strings.Contains(err.Error(), "apply --reactivate") {
		t.Fatalf("apply: %v", err)
	}
	keys := planned(t, r.ctx, o, "alternate_key")
	if len(keys) != 1 || !keys[0].Person || !strings.Contains(keys[0].What, "has failed: ") || !strings.Contains(keys[0].What, "records share a value") {
		t.Fatalf("plan of a failed key: %+v", keys)
	}
	if _, err := o.Apply(r.ctx, bridge.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("apply without reactivate: %v", err)
	}
	if _, err := o.Apply(r.ctx, bridge.ApplyOptions{Reactivate: true}); err == nil || !strings.Contains(err.Error(), "records share a value") {
		t.Errorf("reactivated with the cause still there: %v", err)
	}
	r.restart(faxRoute) // the bridge runs, and the route waits
	if detail := r.inState("customers", "held"); !strings.Contains(detail, "is Failed") {
		t.Errorf("detail: %s", detail)
	}
	if err := r.sim.Delete("account", last); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Apply(r.ctx, bridge.ApplyOptions{Reactivate: true}); err != nil {
		t.Fatal(err)
	}
	r.inState("customers", "ready")
}

func TestApplyMayBeInterruptedAndWaitsOn(t *testing.T) {
	r := newRigWith(t, onlyStreams, sim.Options{KeyJobDelay: time.Hour}, nil)
	o := r.operator(faxRoute)
	if _, err := o.Apply(r.ctx, bridge.ApplyOptions{Wait: time.Millisecond}); !errors.Is(err, bridge.ErrNotInForce) || !strings.Contains(err.Error(), "run apply again") {
		t.Errorf("after the time: %v", err)
	}
	if keys := planned(t, r.ctx, o, "alternate_key"); len(keys) != 1 || !strings.HasPrefix(keys[0].What, "wait until the index of new_cebridge_fax is built") || keys[0].Person {
		t.Errorf("plan: %+v", keys)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	_, err := o.Apply(ctx, bridge.ApplyOptions{Report: func(text string) {
		if strings.HasSuffix(text, "Pending") {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, bridge.ErrNotInForce) {
		t.Errorf("interrupted: %v", err)
	}
	if err := r.sim.AlterTable("account", false, func(t *schema.Table) error {
		t.Key([]string{"fax"}).Status = schema.KeyActive
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if made, err := o.Apply(r.ctx, bridge.ApplyOptions{}); len(made) != 0 || err != nil {
		t.Errorf("once it is Active: %+v, %v", made, err)
	}
}

func TestPlanFindsEveryMissingKeyOnceAndOtherFaultsToo(t *testing.T) {
	r := newRig(t, onlyStreams, nil)
	two := strings.Replace(alsoContacts, "{accountnumber: data.id}", "{fax: data.id}", 1)
	two = strings.Replace(two, "{emailaddress1: data.mail}\n", "{emailaddress1: data.mail}\n      lookups: {parentcustomerid: 'ref(\"account\", {\"fax\": data.f})'}\n", 1)
	keys := planned(t, r.ctx, r.operator(two), "alternate_key")
	if len(keys) != 1 || !strings.HasSuffix(keys[0].What, "for routes customers, people") {
		t.Errorf("plan: %+v", keys)
	}
	_, err := r.operator(strings.Replace(faxRoute, "name: data.name", "nmae: data.name", 1)).Plan(r.ctx)
	var ps schema.Problems
	if !errors.As(err, &ps) || len(ps) != 1 || !strings.Contains(ps[0].Text, "no column nmae") {
		t.Errorf("a fault beside a missing key: %v", err)
	}
	_, err = r.operator(strings.Replace(faxRoute, "{fax:", "{description:", 1)).Plan(r.ctx)
	if !errors.As(err, &ps) || !strings.Contains(err.Error(), "cannot be defined: column description is of type Memo") {
		t.Errorf("a key that cannot be: %v", err)
	}
}

func TestPlanShowsConsumersAndForeignStreams(t *testing.T) {
	r := newRig(t, onlyStreams, nil)
	o := r.operator(customerRoute)
	made := planned(t, r.ctx, o, "consumer")
	if len(made) != 1 || made[0].Name != "crm-contoso-customers" || !strings.Contains(made[0].Consequence, "(all)") {
		t.Fatalf("plan: %+v", made)
	}
	if _, err := o.Apply(r.ctx, bridge.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.js.Consumer(r.ctx, "ERP", "crm-contoso-customers"); err != nil {
		t.Error(err)
	}
	longer := r.operator(strings.Replace(customerRoute, "ack_wait: 5s", "ack_wait: 7s", 1))
	if made = planned(t, r.ctx, longer, "consumer"); len(made) != 2 || made[0].What != "ack_wait is 5s, want 7s" || made[0].Person {
		t.Errorf("another ack_wait: %+v", made)
	}
	if _, err := longer.Apply(r.ctx, bridge.ApplyOptions{}); err != nil {
		t.Error(err)
	}
	if made = planned(t, r.ctx, longer, "consumer"); len(made) != 0 {
		t.Errorf("afterwards: %+v", made)
	}
	other := r.operator(strings.Replace(customerRoute, "subjects: [erp.customer]", "subjects: [erp.client]", 1))
	if made = planned(t, r.ctx, other, "consumer"); len(made) == 0 || !made[0].Person {
		t.Errorf("another filter: %+v", made)
	}
	foreign := r.operator(strings.NewReplacer("streams: {ERP: {subjects: [erp.>]}}", "streams: {}", "stream: ERP", "stream: SHOP").Replace(customerRoute))
	streams := planned(t, r.ctx, foreign, "stream")
	if len(streams) != 1 || streams[0].Name != "SHOP" || !streams[0].Person {
		t.Errorf("a stream that nobody made: %+v", streams)
	}
}

func TestAWebhookThatApplyRegistersMakesAChangeAnEvent(t *testing.T) {
	r := newRig(t, quietTable(t, "0s"), func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "first"})
	})
	next := r.events("crm.contoso.account.>")
	next()
	r.polled()
	o := r.operator(strings.Replace(quietTable(t, "0s"), "gap: 0s", `gap: 0s, register: {url: "http://`+r.bridge.DoorbellAddr()+`/ring"}`, 1))
	hooks := planned(t, r.ctx, o, "webhook")
	if len(hooks) != 4 || !strings.HasPrefix(hooks[0].What, "register the endpoint http://") || !strings.Contains(hooks[0].Consequence, "copy of each changed record") {
		t.Fatalf("plan: %+v", hooks)
	}
	if text := hooks[0].What + hooks[0].Consequence + hooks[0].Name; strings.Contains(text, doorbellKey) {
		t.Error("the plan shows the key")
	}
	if made, err := o.Apply(r.ctx, bridge.ApplyOptions{}); err != nil || len(find(made, "webhook")) != 4 {
		t.Fatalf("made %+v, %v", made, err)
	}
	if hooks = planned(t, r.ctx, o, "webhook"); len(hooks) != 0 {
		t.Errorf("afterwards: %+v", hooks)
	}
	// Nothing but the ring makes the bridge look.
	id := insert(t, r.sim, "account", map[string]any{"name": "rung"})
	if e := next(); e.Subject != id || e.change() != "created" {
		t.Errorf("event %s of %s", e.change(), e.Subject)
	}
	if err := r.sim.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Subject != id || e.change() != "deleted" {
		t.Errorf("event %s of %s", e.change(), e.Subject)
	}
}

// refusing answers writes of definitions like a server whose user lacks the right.
type refusing struct{}

func (refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return http.DefaultTransport.RoundTrip(req)
	}
	body := `{"error":{"code":"0x80040220","message":"Principal user lacks prvCreateEntityKey"}}`
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func TestAUserWhoMayNotDefineIsToldWhichRightsItTakes(t *testing.T) {
	r := newRig(t, onlyStreams, nil)
	o, err := bridge.NewOperator(r.ctx, parse(t, head+faxRoute, r.url, r.nats), bridge.WithTransport(refusing{}))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close(context.Background())
	made, err := o.Apply(r.ctx, bridge.ApplyOptions{})
	if err == nil || len(made) != 0 || !strings.Contains(err.Error(), "prvCreateEntityKey") || !strings.Contains(err.Error(), "System Customizer") {
		t.Errorf("made %+v: %v", made, err)
	}
	if _, err := r.js.Stream(r.ctx, "ERP"); err == nil {
		t.Error("a stream was made after the refusal")
	}
}
