package bridge_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

// published are the ids of all events of accounts, in order, as a consumer sees them.
func (r *rig) published(n int, next func() outEvent) (ids []string) {
	for range n {
		e := next()
		if e.ID == "" {
			e.ID = e.header.Get("ce-id")
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// threeEvents makes a record with a load, an update and a delete, and another one.
func threeEvents(t *testing.T, text string) (r *rig, first, second string, ids []string) {
	t.Helper()
	r = newRig(t, text, func(s *sim.Server) {
		first = insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "C1"})
	})
	next := r.events("crm.contoso.account.>")
	ids = r.published(1, next)
	if err := r.sim.Update("account", first, map[string]any{"name": "Contoso Ltd"}); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, r.published(1, next)...)
	second = insert(t, r.sim, "account", map[string]any{"name": "Fabrikam"})
	ids = append(ids, r.published(1, next)...)
	if err := r.sim.Delete("account", first); err != nil {
		t.Fatal(err)
	}
	return r, first, second, append(ids, r.published(1, next)...)
}

func TestReplaySendsCopiesAndLeavesTheOriginals(t *testing.T) {
	t.Parallel()
	r, first, _, ids := threeEvents(t, followAccounts)
	if _, err := r.js.CreateStream(r.ctx, jetstream.StreamConfig{Name: "COPY", Subjects: []string{"copy.>"}}); err != nil {
		t.Fatal(err)
	}
	before := r.streamState("CRM_CONTOSO")
	done, err := r.operator(followAccounts).Replay(r.ctx, bridge.ReplayOptions{Table: "account", To: "copy.{table}.{id}"})
	if err != nil {
		t.Fatal(err)
	}
	if done.Events != 4 || !done.Confirmed {
		t.Errorf("replayed %+v", done)
	}
	copies, err := r.js.Stream(r.ctx, "COPY")
	if err != nil {
		t.Fatal(err)
	}
	original, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		m, err := copies.GetMsg(r.ctx, uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		var e outEvent
		if err := json.Unmarshal(m.Data, &e); err != nil || e.ID != id || m.Header.Get("Crm-Replay") != "1" || m.Header.Get("Crm-Version") == "" {
			t.Errorf("copy %d: %s %v, %v; want %s", i, e.ID, m.Header, err, id)
		}
		if want := "copy.account." + e.Subject; m.Subject != want {
			t.Errorf("copy %d on %s, want %s", i, m.Subject, want)
		}
	}
	last, err := original.GetLastMsgForSubject(r.ctx, "crm.contoso.account."+first)
	if err != nil || last.Header.Get("Crm-Replay") != "" {
		t.Errorf("the original is %v, %v", last.Header, err)
	}
	if after := r.streamState("CRM_CONTOSO"); after != before {
		t.Errorf("the event stream went from %d to %d", before, after)
	}
}

// streamState is the sequence of the last record event.
func (r *rig) streamState(name string) uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, name)
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(r.ctx, "crm.contoso.account.>")
	if err != nil {
		r.t.Fatal(err)
	}
	return m.Sequence
}

func TestReplayChoosesByRecordWindowAndState(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"structured", "binary"} {
		t.Run(mode, func(t *testing.T) {
			text := strings.Replace(followAccounts, "poll:", "mode: "+mode+", poll:", 1)
			r, first, second, ids := threeEvents(t, text)
			s, err := r.js.Stream(r.ctx, "CRM_CONTOSO")
			if err != nil {
				t.Fatal(err)
			}
			middle, err := s.GetLastMsgForSubject(r.ctx, "crm.contoso.account."+second)
			if err != nil {
				t.Fatal(err)
			}
			op := r.operator(text)
			for what, c := range map[string]struct {
				o    bridge.ReplayOptions
				want []string
			}{
				"all":         {bridge.ReplayOptions{}, ids},
				"record":      {bridge.ReplayOptions{Record: strings.ToUpper(first)}, []string{ids[0], ids[1], ids[3]}},
				"since":       {bridge.ReplayOptions{Since: middle.Time}, ids[2:]},
				"until":       {bridge.ReplayOptions{Until: middle.Time}, ids[:3]},
				"latest":      {bridge.ReplayOptions{Latest: true}, ids[2:]},
				"not yet":     {bridge.ReplayOptions{Since: time.Now().Add(time.Hour)}, nil},
				"none at all": {bridge.ReplayOptions{Record: "00000000-0000-0000-0000-00000000dead"}, nil},
			} {
				var out bytes.Buffer
				c.o.Table, c.o.Out = "account", &out
				done, err := op.Replay(r.ctx, c.o)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				var got []string
				for lines := bufio.NewScanner(&out); lines.Scan(); {
					var e struct{ ID, SpecVersion string }
					if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.SpecVersion != "1.0" {
						t.Errorf("%s: line %s: %v", what, lines.Text(), err)
					}
					got = append(got, e.ID)
				}
				if diff := cmp.Diff(c.want, got); diff != "" || done.Events != int64(len(c.want)) {
					t.Errorf("%s: %d events:\n%s", what, done.Events, diff)
				}
			}
		})
	}
}

func TestReplayRefusesWhatWouldBeTakenForAnOriginal(t *testing.T) {
	t.Parallel()
	r := newRig(t, followAccounts, nil)
	op := r.operator(followAccounts)
	for to, want := range map[string]string{
		"crm.contoso.account.x":          "belongs to the bridge",
		"crm-state.contoso.checkpoint.x": "belongs to the bridge",
		"crm.other":                      "belongs to the bridge",
		"copy.>":                         "not a subject",
		"copy..x":                        "not a subject",
	} {
		if _, err := op.Replay(r.ctx, bridge.ReplayOptions{Table: "account", To: to}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", to, err)
		}
	}
	for what, o := range map[string]bridge.ReplayOptions{
		"no place":      {Table: "account"},
		"unknown table": {Table: "contact", To: "x"},
		"no GUID":       {Table: "account", To: "x", Record: "1"},
		"both windows":  {Table: "account", To: "x", Latest: true, Since: time.Now()},
		"backwards":     {Table: "account", To: "x", Since: time.Now(), Until: time.Now().Add(-time.Hour)},
	} {
		if _, err := op.Replay(r.ctx, o); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

func TestReplayKeepsToItsRateAndTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, followAccounts, func(s *sim.Server) {
		if err := s.Seed("account", 40, func(i int) map[string]any { return map[string]any{"name": fmt.Sprint(i)} }); err != nil {
			t.Fatal(err)
		}
	})
	r.published(40, r.events("crm.contoso.account.>"))
	var last bridge.Progress
	done, err := r.operator(followAccounts).Replay(r.ctx, bridge.ReplayOptions{
		Table: "account", To: "elsewhere", Rate: 100, Progress: func(p bridge.Progress) { last = p },
	})
	if err != nil {
		t.Fatal(err)
	}
	// The first ten may go at once.
	if done.Seconds < 0.28 || done.Confirmed {
		t.Errorf("%+v", done)
	}
	if last.Done != 40 || last.Total != 40 {
		t.Errorf("progress ended with %+v", last)
	}
}
