package bridge_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

const doorbellKey = "a-key-of-the-test"

// Nothing but a ring makes this bridge look while the test runs.
func quietTable(t *testing.T, gap string) string {
	t.Setenv("CEBRIDGE_RING_KEY", doorbellKey)
	return strings.Replace(followAccounts, "100ms", bridge.Seldom("contoso"), 1) +
		"doorbell: {listen: 127.0.0.1:0, path: /ring, key: '${CEBRIDGE_RING_KEY}', gap: " + gap + "}\n"
}

// polled waits until the poll that follows a load at once is over, and the table waits
// for its next one.
func (r *rig) polled() {
	r.t.Helper()
	r.until("the poll that follows the load is over", func() bool { return r.bridge.Status().Tables[0].PollSeconds > 0 })
}

// knock sends one webhook and returns the status of the answer.
func (r *rig) knock(method, path string, header map[string]string, body io.Reader) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, method, "http://"+r.bridge.DoorbellAddr()+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || strings.Contains(string(text), doorbellKey) {
		r.t.Errorf("answer %q, %v", text, err)
	}
	return resp.StatusCode
}

func TestARingLeadsToAnEventWithinATenthOfASecond(t *testing.T) {
	r := newRig(t, quietTable(t, "0s"), func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "first"})
	})
	next := r.events("crm.contoso.account.>")
	next()
	r.polled()
	ways := map[string]func(){
		"webhook key": func() {
			if code := r.knock("POST", "/ring?code="+doorbellKey, map[string]string{"x-ms-dynamics-entity-name": "account"},
				strings.NewReader(`{"MessageName":"Create","PrimaryEntityName":"contact"}`)); code != http.StatusAccepted {
				t.Errorf("answered %d", code)
			}
		},
		"header, no table": func() {
			if code := r.knock("POST", "/ring", map[string]string{"code": doorbellKey}, nil); code != http.StatusAccepted {
				t.Errorf("answered %d", code)
			}
		},
		"NATS": func() {
			if err := r.js.Conn().Publish("crm-ring.contoso.account", nil); err != nil {
				t.Fatal(err)
			}
		},
	}
	for way, ring := range ways {
		best := time.Hour
		// The machine may be busy with something else now and then, even for long.
		for i := 0; best > 100*time.Millisecond && r.ctx.Err() == nil; i++ {
			id := insert(t, r.sim, "account", map[string]any{"name": fmt.Sprint(way, i)})
			began := time.Now()
			ring()
			if e := next(); e.Subject != id {
				t.Fatalf("%s: event of %s, want %s", way, e.Subject, id)
			}
			best = min(best, time.Since(began))
		}
		if best > 100*time.Millisecond {
			t.Errorf("%s: the best of all rings took %s to become an event", way, best)
		}
	}
}

func TestARingWithoutTheKeyIsRefusedAndPollsNothing(t *testing.T) {
	r := newRig(t, quietTable(t, "0s"), func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "first"})
	})
	next := r.events("crm.contoso.account.>")
	next()
	r.polled()
	r.sim.ResetRequests()
	for what, knock := range map[string]func() int{
		"no key":             func() int { return r.knock("POST", "/ring", nil, nil) },
		"a wrong key":        func() int { return r.knock("POST", "/ring?code=a-key-of-the-tesT", nil, nil) },
		"part of the key":    func() int { return r.knock("POST", "/ring?code="+doorbellKey[:5], nil, nil) },
		"under another name": func() int { return r.knock("POST", "/ring?key="+doorbellKey, nil, nil) },
	} {
		if code := knock(); code != http.StatusUnauthorized {
			t.Errorf("%s: answered %d", what, code)
		}
	}
	if code := r.knock("GET", "/ring?code="+doorbellKey, nil, nil); code != http.StatusMethodNotAllowed {
		t.Errorf("GET: answered %d", code)
	}
	if code := r.knock("POST", "/elsewhere?code="+doorbellKey, nil, nil); code != http.StatusNotFound {
		t.Errorf("another path: answered %d", code)
	}
	// A table that nobody follows: the sender is content, and nothing is polled.
	if code := r.knock("POST", "/ring?code="+doorbellKey, map[string]string{"x-ms-dynamics-entity-name": "contact"}, nil); code != http.StatusAccepted {
		t.Errorf("a table that is not followed: answered %d", code)
	}
	if n := r.sim.Requests().Total(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestManyRingsAreFewPolls(t *testing.T) {
	r := newRig(t, quietTable(t, "1m"), func(s *sim.Server) {
		insert(t, s, "account", map[string]any{"name": "first"})
	})
	next := r.events("crm.contoso.account.>")
	next()
	r.polled()
	r.sim.ResetRequests()
	id := insert(t, r.sim, "account", map[string]any{"name": "second"})
	for range 50 {
		if code := r.knock("POST", "/ring?code="+doorbellKey, nil, strings.NewReader(strings.Repeat("x", 300<<10))); code != http.StatusAccepted {
			t.Fatalf("answered %d", code)
		}
	}
	if e := next(); e.Subject != id {
		t.Errorf("event of %s", e.Subject)
	}
	if n := r.sim.Requests().Total(); n > 2 {
		t.Errorf("50 rings made %d requests", n)
	}
}
