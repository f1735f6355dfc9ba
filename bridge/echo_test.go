package bridge_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

// echoRoutes follows accounts and writes them. No poll comes by itself: the tests ring.
const echoRoutes = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, telephone1, accountnumber], poll: SELDOM, echo: MODE}
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    customers:
      stream: ERP
      subjects: [erp.customer]
      start: all
      ack_wait: 5s
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
`

// caused is an event with the attributes that name its cause.
type caused struct {
	outEvent
	CausationID, CausationSource, CorrelationID string
}

// echoRig is a bridge whose table is polled only when the test asks for it.
type echoRig struct {
	*rig
	text string
	seen uint64
}

func newEchoRig(t *testing.T, mode, batch string) (r *echoRig, id string) {
	t.Helper()
	text := strings.NewReplacer("MODE", mode, "SELDOM", bridge.Seldom("contoso")).Replace(echoRoutes)
	r = &echoRig{text: text}
	under := head
	if batch != "" {
		under = strings.Replace(head, "url: SIM", "url: SIM, batch: {max: 10}", 1)
	}
	r.rig = newRigUnder(t, under, text, sim.Options{RecordWrites: true}, func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"accountnumber": "A1", "name": "A", "telephone1": "1"})
	})
	if e := r.event(); e.change() != "loaded" {
		t.Fatalf("the first event is %s", e.Type)
	}
	r.polled() // else that poll might see a write before it is remembered
	return r, id
}

// event waits for the next event of any account.
func (r *echoRig) event() caused {
	r.t.Helper()
	m := r.message("crm.contoso.account.*", r.seen+1)
	r.seen = m.Sequence
	var e caused
	if err := errors.Join(json.Unmarshal(m.Data, &e), json.Unmarshal(m.Data, &e.outEvent)); err != nil {
		r.t.Fatal(err)
	}
	return e
}

// message waits for the first message on a subject from a sequence on.
func (r *echoRig) message(subject string, from uint64) *jetstream.RawStreamMsg {
	r.t.Helper()
	stream, err := r.js.Stream(r.ctx, r.bridge.EventStream())
	if err != nil {
		r.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := stream.GetMsg(r.ctx, from, jetstream.WithGetMsgSubject(subject))
		if err == nil {
			return m
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			r.t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("nothing comes on %s", subject)
		}
	}
}

// own has the route write a name, and waits until the write is remembered.
func (r *echoRig) own(event, account, name string) {
	r.t.Helper()
	r.send("erp.customer", "c", event, map[string]any{"id": account, "name": name})
	s := r.written()
	for from := uint64(1); ; {
		m := r.message("crm-state.contoso.echo.account."+s.Result.ID, from)
		var n struct{ Version int64 }
		if err := json.Unmarshal(m.Data, &n); err != nil {
			r.t.Fatal(err)
		}
		if from = m.Sequence + 1; n.Version == s.Result.Version {
			if ttl := m.Header.Get("Nats-TTL"); ttl == "" || ttl == "never" {
				r.t.Errorf("what is remembered expires after %q", ttl)
			}
			if strings.Contains(string(m.Data), `"`+name+`"`) {
				r.t.Errorf("the value is remembered: %s", m.Data)
			}
			return
		}
	}
}

// person changes a record by hand.
func (r *echoRig) person(id string, columns map[string]any) {
	r.t.Helper()
	if err := r.sim.Update("account", id, columns); err != nil {
		r.t.Fatal(err)
	}
}

// poll rings and waits for the event that follows.
func (r *echoRig) poll() caused {
	r.t.Helper()
	r.ring()
	return r.event()
}

func (r *echoRig) ring() {
	r.t.Helper()
	if err := r.js.Conn().Publish("crm-ring.contoso.account", nil); err != nil {
		r.t.Fatal(err)
	}
}

func TestAnEventThatAnOwnWriteCausedNamesTheEventThatLedToIt(t *testing.T) {
	for _, batch := range []string{"", "batch"} {
		t.Run("batch="+batch, func(t *testing.T) {
			t.Parallel()
			r, id := newEchoRig(t, "mark", batch)
			r.own("e-1", "A1", "B")
			if e := r.poll(); e.CausationID != "e-1" || e.CausationSource != "/test" || e.change() != "updated" || e.Data.Record["name"] != "B" {
				t.Errorf("event %+v", e)
			}
			r.person(id, map[string]any{"name": "C"})
			if e := r.poll(); e.CausationID != "" || e.CausationSource != "" || e.Data.Record["name"] != "C" {
				t.Errorf("a person's change has a cause: %+v", e)
			}
			r.own("e-2", "A2", "new")
			if e := r.poll(); e.CausationID != "e-2" || e.change() != "created" {
				t.Errorf("event %+v", e)
			}
			// A person who was there before our write lies under its version.
			r.person(id, map[string]any{"telephone1": "2"})
			r.own("e-3", "A1", "D")
			if e := r.poll(); e.CausationID != "e-3" || e.Data.Record["telephone1"] != "2" {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func TestWithoutEchoNothingIsRememberedAndNoResultIsAskedFor(t *testing.T) {
	t.Parallel()
	r, _ := newEchoRig(t, "off", "")
	r.send("erp.customer", "c", "1", map[string]any{"id": "A1", "name": "B"})
	if s := r.written(); s.Write.WantResult {
		t.Error("the write asked for the record")
	}
	if e := r.poll(); e.CausationID != "" {
		t.Errorf("event %+v", e)
	}
	stream, err := r.js.Stream(r.ctx, r.bridge.EventStream())
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(r.ctx, jetstream.WithSubjectFilter("crm-state.contoso.echo.>"))
	if err != nil || len(info.State.Subjects) != 0 {
		t.Errorf("remembered: %v, %v", info.State.Subjects, err)
	}
}

func TestADroppedEchoHidesNoPersonsChange(t *testing.T) {
	t.Parallel()
	r, id := newEchoRig(t, "drop", "")
	r.own("e-1", "A1", "B")
	r.ring()
	mark := r.message("crm-state.contoso.dropped.account."+id, 1)
	if strings.Contains(string(mark.Data), `"B"`) || mark.Header.Get("Nats-TTL") != "never" {
		t.Errorf("the mark is %s with %v", mark.Data, mark.Header)
	}
	if got := r.rig.compare(r.text, time.Second); got.Different != 0 || got.Dropped != 1 || got.Missing != 0 {
		t.Errorf("compared: %+v", got)
	}

	t.Log("a person after our write")
	r.person(id, map[string]any{"telephone1": "2"})
	e := r.poll()
	if e.Data.Record["name"] != "B" || e.Data.Record["telephone1"] != "2" || e.CausationID != "" {
		t.Errorf("event %+v", e)
	}
	if names := strings.Split(e.ChangedColumns, ","); !slices.Contains(names, "name") || !slices.Contains(names, "telephone1") {
		t.Errorf("changed columns %s: they are counted from the event before", e.ChangedColumns)
	}

	t.Log("a person before our write")
	r.person(id, map[string]any{"telephone1": "3"})
	r.own("e-2", "A1", "C")
	if e := r.poll(); e.Data.Record["telephone1"] != "3" || e.CausationID != "e-2" {
		t.Errorf("event %+v", e)
	}

	t.Log("a person who puts the last event's value back after a dropped write")
	r.own("e-3", "A1", "D")
	r.ring()
	mark = r.message("crm-state.contoso.dropped.account."+id, mark.Sequence+1)
	r.person(id, map[string]any{"name": "C"})
	if e := r.poll(); e.Data.Record["name"] != "C" {
		t.Errorf("event %+v", e)
	}

	t.Log("a record that our write makes")
	r.own("e-4", "A2", "new")
	if e := r.poll(); e.change() != "created" || e.CausationID != "e-4" {
		t.Errorf("event %+v", e)
	}
	if got := r.rig.compare(r.text, time.Second); got.Different+got.Dropped+got.Missing+got.Extra != 0 {
		t.Errorf("compared: %+v", got)
	}

	t.Log("another process, which reads older links again when it begins")
	r.own("e-5", "A1", "E")
	r.ring()
	r.message("crm-state.contoso.dropped.account."+id, mark.Sequence+1)
	r.restart(r.text)
	r.person(id, map[string]any{"telephone1": "4"})
	if e := r.poll(); e.Data.Record["telephone1"] != "4" || e.Data.Record["name"] != "E" {
		t.Errorf("event %+v", e)
	}
}

func TestErasingARecordForgetsTheWritesToIt(t *testing.T) {
	t.Parallel()
	r, id := newEchoRig(t, "drop", "")
	r.own("someone@contoso.com", "A1", "B")
	r.ring()
	r.message("crm-state.contoso.dropped.account."+id, 1)
	if _, err := r.operator(r.text).Erase(r.ctx, bridge.EraseOptions{Table: "account", Record: id}); err != nil {
		t.Fatal(err)
	}
	stream, err := r.js.Stream(r.ctx, r.bridge.EventStream())
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"echo", "dropped"} {
		m, err := stream.GetLastMsgForSubject(r.ctx, fmt.Sprintf("crm-state.contoso.%s.account.%s", place, id))
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("%s: %v, %v", place, m, err)
		}
	}
}
