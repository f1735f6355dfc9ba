package bridge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding/spec"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

const filterAccounts = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account:
      columns: [name, accountnumber, revenue, statecode]
      poll: 100ms
      filter: record.statecode == 0 && record.?revenue.orValue(0.0) > 1000.0
`

func TestAFilterPublishesWhatPassesAndDeletesWhatLeaves(t *testing.T) {
	t.Parallel()
	var in, out string
	r := newRig(t, filterAccounts, func(s *sim.Server) {
		in = insert(t, s, "account", map[string]any{"name": "large", "accountnumber": "L1", "revenue": 5000})
		out = insert(t, s, "account", map[string]any{"name": "small", "revenue": 10})
		insert(t, s, "account", map[string]any{"name": "unknown"}) // its revenue is null
	})
	next := r.events("crm.contoso.account.>")
	if e := next(); e.Subject != in || e.change() != "loaded" {
		t.Fatalf("first event %s of %s", e.change(), e.Subject)
	}
	update := func(id string, revenue int) string {
		if err := r.sim.Update("account", id, map[string]any{"revenue": revenue}); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(row(t, r.sim, "account", id)["versionnumber"])
	}
	left := update(in, 1000)
	if e := next(); e.change() != "deleted" || e.Reason != "filtered" || e.ID != "account/"+in+"/"+left+"/deleted" ||
		e.Data.Record != nil || e.Data.Previous["accountnumber"] != "L1" {
		t.Errorf("after it left: %+v", e)
	}
	update(out, 2000)
	if e := next(); e.change() != "created" || e.Subject != out {
		t.Errorf("after the other came: %+v", e)
	}
	update(in, 1001)
	if e := next(); e.change() != "created" || e.Subject != in || e.PreviousVersion != left {
		t.Errorf("after it came back: %+v", e)
	}
	got := r.compare(filterAccounts, 20*time.Second)
	if len(got.Differences) > 0 || got.Filtered != 1 || got.Published != 2 || got.Records != 3 {
		t.Errorf("compared %+v", got)
	}
	r.stop()
	update(in, 1)
	update(out, 2)
	if err := r.sim.Update("account", out, map[string]any{"name": "small again", "revenue": 9000}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{in: "extra", out: "different"}
	if diff := cmp.Diff(want, kinds(r.compare(filterAccounts, 10*time.Millisecond))); diff != "" {
		t.Errorf("compared while the bridge is down:\n%s", diff)
	}
	r.start(filterAccounts)
}

const protectAccounts = `
outbound:
  type_prefix: com.contoso.crm
  hash_key: ${HASH_KEY}
  tables:
    account:
      columns: [name, accountnumber, telephone1, numberofemployees]
      poll: 100ms
      previous: true
      protect: {accountnumber: hash, telephone1: mask, numberofemployees: hash}
`

func TestProtectedValuesNeverReachTheStream(t *testing.T) {
	t.Setenv("HASH_KEY", "canary-key-of-a-good-length")
	var id string
	var logs lockedBuffer
	r := newRigWith(t, protectAccounts, sim.Options{}, func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"name": "Fabrikam", "accountnumber": "CANARY-1", "telephone1": "CANARY-2", "numberofemployees": 77123})
		insert(t, s, "account", map[string]any{"name": "Contoso"})
	}, bridge.WithLogger(slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	next := r.events("crm.contoso.account.>")
	first := map[string]any{}
	for range 2 {
		e := next()
		if e.Subject == id {
			first = e.Data.Record
		} else if e.Data.Record["accountnumber"] != nil || e.Data.Record["telephone1"] != nil {
			t.Errorf("null became something: %v", e.Data.Record)
		}
	}
	if first["telephone1"] != "***" || first["name"] != "Fabrikam" || !schema.ProtectHash.Is(fmt.Sprint(first["accountnumber"])) ||
		!schema.ProtectHash.Is(fmt.Sprint(first["numberofemployees"])) {
		t.Errorf("record %v", first)
	}
	if err := r.sim.Update("account", id, map[string]any{"numberofemployees": 88456, "name": "Fabrikam Ltd"}); err != nil {
		t.Fatal(err)
	}
	changed := next()
	if changed.Data.Previous["numberofemployees"] != first["numberofemployees"] || changed.Data.Previous["name"] != "Fabrikam" ||
		!strings.Contains(changed.ChangedColumns, "numberofemployees") || strings.Contains(changed.ChangedColumns, "telephone1") {
		t.Errorf("update %+v", changed)
	}
	// The masked column changes: nobody can tell what of.
	if err := r.sim.Update("account", id, map[string]any{"telephone1": "CANARY-3"}); err != nil {
		t.Fatal(err)
	}
	if e := next(); strings.Contains(e.ChangedColumns, "telephone1") || e.Data.Record["telephone1"] != "***" {
		t.Errorf("update of a masked column %+v", e)
	}
	if got := r.compare(protectAccounts, 20*time.Second); len(got.Differences) > 0 {
		t.Errorf("compared %+v", got)
	}
	if err := r.sim.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Data.Previous["accountnumber"] != first["accountnumber"] {
		t.Errorf("delete %+v", e)
	}
	stream, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(r.ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // an older checkpoint
		}
		if err != nil {
			t.Fatal(err)
		}
		messages++
		for _, raw := range []string{"CANARY", "77123", "88456", "canary"} {
			if bytes.Contains(m.Data, []byte(raw)) || strings.Contains(fmt.Sprint(m.Header), raw) {
				t.Errorf("message %d on %s holds %s", seq, m.Subject, raw)
			}
		}
	}
	if messages < 5 {
		t.Errorf("only %d messages were looked at", messages)
	}
	if text := logs.String(); strings.Contains(text, "CANARY") || strings.Contains(text, "canary") || strings.Contains(text, "77123") {
		t.Error("the logs hold a protected value")
	}
}

// lockedBuffer is a buffer that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const onlyChangesAccounts = `
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {columns: [name, telephone1, fax], poll: 100ms, previous: true, only_changes: {ignore: [modifiedon, fax]}}
`

func TestAnUpdateWithoutAChangeThatCountsIsNotPublishedAndNoDifference(t *testing.T) {
	t.Parallel()
	var id string
	var ahead atomic.Int64 // modifiedon has whole seconds: let the server's clock jump
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := newRigWith(t, onlyChangesAccounts, sim.Options{Now: clock}, func(s *sim.Server) {
		id = insert(t, s, "account", map[string]any{"name": "Fabrikam", "fax": "1"})
		insert(t, s, "account", map[string]any{"name": "Contoso"})
	})
	next := r.events("crm.contoso.account.>")
	next()
	next()
	before := fmt.Sprint(row(t, r.sim, "account", id)["versionnumber"])
	update := func(cols map[string]any) {
		ahead.Add(int64(time.Minute))
		if err := r.sim.Update("account", id, cols); err != nil {
			t.Fatal(err)
		}
	}
	update(map[string]any{"fax": "2"})
	update(map[string]any{"name": "Fabrikam", "fax": "3"})
	if got := r.compare(onlyChangesAccounts, 20*time.Second); len(got.Differences) > 0 || got.Rechecked > 0 {
		t.Errorf("compared %+v", got)
	}
	other := insert(t, r.sim, "account", map[string]any{"name": "a sign that the poll is over"})
	if e := next(); e.Subject != other {
		t.Fatalf("%s of %s was published", e.change(), e.Subject)
	}
	// The next change that counts reaches back to the last event.
	update(map[string]any{"telephone1": "555-0100"})
	e := next()
	if e.change() != "updated" || e.PreviousVersion != before || e.Data.Previous["fax"] != "1" || e.Data.Record["fax"] != "3" ||
		!strings.Contains(e.ChangedColumns, "fax") || !strings.Contains(e.ChangedColumns, "telephone1") {
		t.Errorf("event %+v", e)
	}
	r.stop()
	update(map[string]any{"telephone1": "555-0199"})
	if diff := cmp.Diff(map[string]string{id: "different"}, kinds(r.compare(onlyChangesAccounts, 10*time.Millisecond))); diff != "" {
		t.Errorf("compared while the bridge is down:\n%s", diff)
	}
	r.start(onlyChangesAccounts)
}

// A reader that knows nothing of the bridge reads the events of either mode alike.
func TestBothModesCarryTheSameChoicesToAnSDKReader(t *testing.T) {
	t.Setenv("HASH_KEY", "canary-key-of-a-good-length")
	read := map[string]map[string]any{}
	for _, mode := range []string{"structured", "binary"} {
		text := strings.Replace(protectAccounts, "previous: true", "previous: true\n      filter: record.name != null\n      mode: "+mode, 1)
		var id string
		r := newRig(t, text, func(s *sim.Server) {
			id = insert(t, s, "account", map[string]any{"accountid": "5531d753-95af-e711-a94e-000d3a11e605", "name": "Zürich 100%", "accountnumber": "Z1"})
		})
		c, err := r.js.OrderedConsumer(r.ctx, r.bridge.EventStream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"crm.contoso.account.>"}})
		if err != nil {
			t.Fatal(err)
		}
		take := func() cloudevent.Event {
			m, err := c.Next(jetstream.FetchMaxWait(patience))
			if err != nil {
				t.Fatal(err)
			}
			e, err := readBySDK(m.Headers(), m.Data())
			if err != nil {
				t.Fatalf("mode %s: the SDK cannot read it: %v", mode, err)
			}
			return e
		}
		got := map[string]any{}
		for i, change := range []func() error{
			func() error { return nil },
			func() error { return r.sim.Update("account", id, map[string]any{"name": "Bern"}) },
			func() error { return r.sim.Update("account", id, map[string]any{"name": nil}) },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			e := take()
			var data struct{ Record, Previous map[string]any }
			if err := e.DataAs(&data); err != nil {
				t.Fatal(err)
			}
			for _, m := range []map[string]any{data.Record, data.Previous} {
				delete(m, "modifiedon")
				delete(m, "versionnumber")
			}
			// modifiedon has whole seconds: it differs now and then.
			changed, _ := e.Extensions()["changedcolumns"].(string)
			changed = strings.Replace(changed, ",modifiedon", "", 1)
			got[fmt.Sprint(i)] = []any{e.Type(), e.Subject(), e.Extensions()["reason"], changed, data.Record, data.Previous}
		}
		read[mode] = got
	}
	if diff := cmp.Diff(read["structured"], read["binary"]); diff != "" {
		t.Errorf("the modes differ (-structured +binary):\n%s", diff)
	}
	if text := fmt.Sprint(read["binary"]); !strings.Contains(text, "filtered") || !strings.Contains(text, schema.HashPrefix) || strings.Contains(text, "Z1") {
		t.Errorf("read %s", text)
	}
}

// readBySDK reads a message with the means of the CloudEvents SDK, by the NATS binding.
func readBySDK(h nats.Header, data []byte) (e cloudevent.Event, err error) {
	if h.Get("Content-Type") == cloudevent.ApplicationCloudEventsJSON {
		err = json.Unmarshal(data, &e)
		return e, errors.Join(err, e.Validate())
	}
	v := spec.WithPrefix("ce-").Version(h.Get("ce-specversion"))
	if v == nil {
		return e, errors.New("there is no ce-specversion")
	}
	e.Context = v.NewContext()
	for name, values := range h {
		if !strings.HasPrefix(name, "ce-") || name == "ce-specversion" {
			continue
		}
		text, err := url.PathUnescape(values[0])
		if err == nil && v.Attribute(name) != nil {
			err = v.SetAttribute(e.Context, name, text)
		} else if err == nil {
			err = e.Context.SetExtension(strings.TrimPrefix(name, "ce-"), text)
		}
		if err != nil {
			return e, fmt.Errorf("%s: %w", name, err)
		}
	}
	e.DataEncoded = data
	return e, e.Validate()
}
