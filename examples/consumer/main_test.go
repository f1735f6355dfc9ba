package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge"
	"cebridge/bridge/demo"
	"cebridge/bridge/sim"
)

// start runs the demo's bridge with an embedded server between a simulator and
// the test, and returns both ends.
func start(t *testing.T, changes ...func(*bridge.Config)) (*sim.Server, string) {
	t.Helper()
	s, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "CON0"})
	insert(t, s, "contact", map[string]any{"lastname": "Sample", "emailaddress1": "contact@company.com"})
	insert(t, s, "new_region", map[string]any{"new_code": "NW", "new_name": "North West"})
	insert(t, s, "systemuser", map[string]any{
		"lastname": "User", "domainname": `CONTOSO\user`, "internalemailaddress": "user@mycompany.com",
	})
	cfg, err := bridge.ParseConfig("demo.yaml", demo.ConfigYAML)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.WebAPI.URL, err = s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	cfg.NATS.Embedded.Dir, cfg.Admin.Listen = t.TempDir(), ""
	for _, change := range changes {
		change(&cfg)
	}
	b, err := bridge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, b.NATSURL()
}

func insert(t *testing.T, s *sim.Server, table string, columns map[string]any) string {
	t.Helper()
	id, err := s.Insert(table, columns)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// consume runs the example until the test ends and returns its lines one by one.
func consume(t *testing.T, url string) func(prefixes ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, w, url, "CRM_DEMO", "crm.demo.account.*", "")
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		r.Close()
		if err := <-ended; err != nil {
			t.Errorf("the end of the context is not a failure: %v", err)
		}
	})
	lines := bufio.NewScanner(r)
	return func(prefixes ...string) string {
		t.Helper()
		for lines.Scan() {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(lines.Text(), p) }) {
				return lines.Text()
			}
		}
		t.Fatalf("the consumer ended without a line that begins with %q", prefixes)
		return ""
	}
}

// loaded are the lines that show the account which was there from the beginning:
// in the state, or after it when the consumer was faster than the bridge's load.
// What changes from then on is created, updated or deleted.
var loaded = []string{"present state, live records: 1", "loaded"}

func TestAConsumerRebuildsThePresentStateAndThenFollows(t *testing.T) {
	s, url := start(t)
	next := consume(t, url)
	next(loaded...)

	a := insert(t, s, "account", map[string]any{"name": "Fabrikam", "accountnumber": "FAB1"})
	next("created  " + a)
	if err := s.Update("account", a, map[string]any{"telephone1": "555-0100"}); err != nil {
		t.Fatal(err)
	}
	if got := next("updated  " + a); !strings.Contains(got, "telephone1") || !strings.Contains(got, `"555-0100"`) {
		t.Errorf("the update does not show what changed: %s", got)
	}
	b := insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "CON1"})
	next("created  " + b)
	if err := s.Delete("account", a); err != nil {
		t.Fatal(err)
	}
	next("deleted  " + a)

	// A second consumer, that saw none of this, ends up with the same state.
	if got := consume(t, url)("present state,"); got != "present state, live records: 2" {
		t.Errorf("a late consumer rebuilt: %s", got)
	}
}

func TestAnAnnouncedCustomerComesBackAsARecord(t *testing.T) {
	s, url := start(t)
	next := consume(t, url)
	next(loaded...)
	var out bytes.Buffer
	if err := run(t.Context(), &out, url, "", "", "C-77"); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "stored as message 1 of stream ERP\n"; got != want {
		t.Errorf("the publisher said %q, want %q", got, want)
	}
	if got := next("created"); !strings.Contains(got, `"accountnumber":"C-77"`) {
		t.Errorf("the event of the new record is %s", got)
	}
	if _, ok := s.FindByKey("account", map[string]any{"accountnumber": "C-77"}); !ok {
		t.Error("the record is not in the simulator")
	}
}

func TestEventsTooLargeForAMessageAreReadFromTheObjectStore(t *testing.T) {
	s, url := start(t, func(cfg *bridge.Config) {
		cfg.Outbound.ClaimCheck = &bridge.ClaimCheckConfig{Above: 1, TrimEvery: time.Hour} // every event is too large
	})
	next := consume(t, url)
	next(loaded...)
	a := insert(t, s, "account", map[string]any{"name": "Fabrikam", "accountnumber": "FAB1"})
	if got := next("created"); !strings.Contains(got, a) || !strings.Contains(got, `"accountnumber":"FAB1"`) {
		t.Errorf("the event is %s", got)
	}
	if err := s.Delete("account", a); err != nil {
		t.Fatal(err)
	}
	next("deleted  " + a)
}

func TestAnUnreachableServerIsNamed(t *testing.T) {
	err := run(t.Context(), io.Discard, "nats://127.0.0.1:1", "CRM_DEMO", "crm.demo.account.*", "")
	if err == nil || !strings.Contains(err.Error(), "nats://127.0.0.1:1") {
		t.Errorf("error %v", err)
	}
}

func ev(id string, version int, change, record string) *event {
	deleted := 0
	data := fmt.Sprintf(`{"record":%s}`, record)
	if change == "deleted" {
		deleted, data = 1, `{}`
	}
	e, err := parse(fmt.Appendf(nil, `{"specversion":"1.0","type":"com.contoso.crm.account.%s","subject":%q,"sequence":"0001.%019d.%d","data":%s}`,
		change, id, version, deleted, data))
	if err != nil {
		panic(err)
	}
	return e
}

func TestTheStateTakesEachVersionOnceAndNeverGoesBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []*event
		news   []bool
		want   map[string]string
	}{
		{"a change", []*event{ev("a", 9, "loaded", `{"v":1}`), ev("a", 10, "updated", `{"v":2}`)}, []bool{true, true}, map[string]string{"a": `{"v":2}`}},
		{"the same again", []*event{ev("a", 9, "loaded", `{}`), ev("a", 9, "loaded", `{}`)}, []bool{true, false}, map[string]string{"a": `{}`}},
		{"an older one", []*event{ev("a", 10, "updated", `{"v":2}`), ev("a", 9, "updated", `{"v":1}`)}, []bool{true, false}, map[string]string{"a": `{"v":2}`}},
		{"a delete", []*event{ev("a", 9, "created", `{}`), ev("a", 9, "deleted", "")}, []bool{true, true}, map[string]string{}},
		{"an update again after the delete", []*event{ev("a", 9, "deleted", ""), ev("a", 9, "updated", `{}`)}, []bool{true, false}, map[string]string{}},
		{"created again", []*event{ev("a", 9, "deleted", ""), ev("a", 12, "created", `{"v":3}`)}, []bool{true, true}, map[string]string{"a": `{"v":3}`}},
		{"numbers keep their digits", []*event{ev("a", 1, "created", `{"n":12345678901234567890.10}`)}, []bool{true}, map[string]string{"a": `{"n":12345678901234567890.10}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newState()
			for i, e := range c.events {
				if got := s.apply(e); got != c.news[i] {
					t.Errorf("event %d: applied %v, want %v", i, got, c.news[i])
				}
			}
			got := map[string]string{}
			for id, h := range s.records {
				if h.record != nil {
					got[id] = string(h.record)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if s.live != len(c.want) {
				t.Errorf("%d live records, want %d", s.live, len(c.want))
			}
		})
	}
}

func TestAMessageThatIsNotOneOfTheBridgesIsRefused(t *testing.T) {
	for _, text := range []string{"", "[]", "{}", `{"specversion":"1.0"}`, `{"specversion":"0.3","subject":"a","sequence":"1"}`} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	if !json.Valid([]byte(ev("a", 1, "created", `{"a":1}`).Data.Record)) {
		t.Error("the record lost its form")
	}
}
