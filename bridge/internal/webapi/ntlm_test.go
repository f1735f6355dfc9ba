package webapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

const ntlmUser, ntlmPassword = `CONTOSO\crmbridge`, "canary pässwörd/+="

// newNTLMServer starts an on-premises simulator that asks for NTLM.
func newNTLMServer(t *testing.T, change func(*sim.Auth)) (*sim.Server, string) {
	t.Helper()
	auth := sim.Auth{Method: sim.AuthNTLM, User: ntlmUser, Password: ntlmPassword}
	if change != nil {
		change(&auth)
	}
	s, err := sim.New(sim.Options{Profile: sim.OnPremises, Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, url
}

func newNTLMClient(t *testing.T, url, user, password string) (*Client, *NTLM) {
	t.Helper()
	login, err := NewNTLM(NTLMConfig{User: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{URL: url, Version: "v9.1", Auth: login, MaxInFlight: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, login
}

func TestNTLMLogsInOncePerConnection(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]string{"domain and name": ntlmUser, "another case": `contoso\CRMBridge`, "name alone": "crmbridge"} {
		s, url := newNTLMServer(t, nil)
		c, _ := newNTLMClient(t, url, user, ntlmPassword)
		for range 5 {
			if _, err := c.WhoAmI(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if n := s.AuthCounts(); n.Logins != 1 || n.Challenges != 1 {
			t.Errorf("%s: %+v, want one login and one challenge", name, n)
		}
	}
	s, url := newNTLMServer(t, func(a *sim.Auth) { a.User = "crmbridge@contoso.example" })
	c, _ := newNTLMClient(t, url, "CRMBridge@contoso.example", ntlmPassword)
	if _, err := c.WhoAmI(t.Context()); err != nil || s.AuthCounts().Logins != 1 {
		t.Errorf("principal name: %v, %+v", err, s.AuthCounts())
	}
}

func TestNTLMTriesAWrongPasswordOnceHoweverManyAsk(t *testing.T) {
	t.Parallel()
	s, url := newNTLMServer(t, nil)
	c, login := newNTLMClient(t, url, ntlmUser, "canary wrong")
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			_, err := c.Apply(t.Context(), ntlmWrite(1, 1, 0))
			e := outcome.Of(err)
			if e == nil || e.Verdict != outcome.Reauthenticate || e.Reason != outcome.Unauthorized || e.Ambiguous {
				t.Errorf("%+v", err)
			}
			wantText(t, err, "refuses the user or its password", "not locked")
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the password shows: %v", err)
			}
		})
	}
	wait.Wait()
	if n := s.AuthCounts(); n.LoginsRefused != 1 {
		t.Errorf("%+v, want one refused login", n)
	}
	// After the hold it is tried again, once, and the hold is longer.
	login.mu.Lock()
	login.heldTo = time.Now()
	login.mu.Unlock()
	if _, err := c.WhoAmI(t.Context()); err == nil || s.AuthCounts().LoginsRefused != 2 {
		t.Errorf("%v, %+v", err, s.AuthCounts())
	}
	if hold := time.Until(login.heldTo); hold < 9*time.Minute || hold > 10*time.Minute {
		t.Errorf("the second hold is %s", hold)
	}
}

func TestNTLMPasswordRefusedAfterItWorkedIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	login, err := NewNTLM(NTLMConfig{User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	report := func(accepted, refused bool) error {
		return login.attempt(t.Context(), func() (bool, bool, error) { return accepted, refused, nil })
	}
	if err := report(true, false); err != nil {
		t.Fatal(err)
	}
	if err := report(false, true); err == nil || time.Until(login.heldTo) > provenHold {
		t.Errorf("%v, held to %v", err, login.heldTo)
	}
	if err := report(true, false); outcome.Of(err) == nil {
		t.Errorf("a login was made during the hold: %v", err)
	}
}

// ntlmWrite is an upsert of account number key; pad blanks make its body large.
func ntlmWrite(key, n, pad int) *schema.Write {
	number := fmt.Sprintf("C%03d", key)
	return &schema.Write{
		Operation: schema.OpUpsert, Table: "account", EntitySet: "accounts", Predicate: "accountnumber='" + number + "'",
		Key:  []schema.KeyPart{{Column: "accountnumber", Value: json.RawMessage(`"` + number + `"`)}},
		Body: json.RawMessage(fmt.Sprintf(`{"name":"%s-%d"%s}`, number, n, strings.Repeat(" ", pad))),
	}
}

// storm is what happened to many requests.
type storm struct {
	mu     sync.Mutex
	reads  []error
	writes []error
}

func (s *storm) failed(list *[]error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, err)
}

// ntlmStorm sends n requests from 16 workers: reads, small writes, and large ones.
// Each worker has its own key. It sends a write whose connection broke again, as the
// bridge does.
func ntlmStorm(t *testing.T, c *Client, n int) *storm {
	t.Helper()
	result := &storm{}
	var wait sync.WaitGroup
	for worker := range stormWorkers {
		wait.Go(func() {
			for i := range n / stormWorkers {
				if i%3 == 0 {
					if _, err := c.WhoAmI(t.Context()); err != nil {
						result.failed(&result.reads, err)
					}
					continue
				}
				pad := 0
				if i%10 == 1 {
					pad = warmAbove
				}
				_, err := c.Apply(t.Context(), ntlmWrite(worker, i, pad))
				for ; err != nil; _, err = c.Apply(t.Context(), ntlmWrite(worker, i, pad)) {
					result.failed(&result.writes, err)
					if e := outcome.Of(err); e == nil || e.Verdict != outcome.Retry {
						return
					}
				}
			}
		})
	}
	wait.Wait()
	return result
}

const stormWorkers = 16

// stormSize is 10,000 requests, fewer with -short.
func stormSize() int {
	if testing.Short() {
		return 2000
	}
	return 10_000
}

func TestNTLMHasNoWrongFailureOnAServerThatClosesConnections(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sim.Auth){
		"announced": func(a *sim.Auth) { a.RequestsPerConnection = 7 },
		"silently":  func(a *sim.Auth) { a.CloseRate, a.Seed = 0.05, 7 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, url := newNTLMServer(t, change)
			c, _ := newNTLMClient(t, url, ntlmUser, ntlmPassword)
			result := ntlmStorm(t, c, stormSize()/2)
			for _, err := range result.reads {
				t.Errorf("read: %v", err)
			}
			for _, err := range result.writes {
				// A connection that ends while a write is on its way leaves open whether
				// it was done. That is no wrong failure if it says so; anything else is.
				if e := outcome.Of(err); name == "announced" || e == nil || e.Reason != outcome.Network || !e.Ambiguous {
					t.Errorf("write: %v", err)
				}
			}
			n := s.AuthCounts()
			if n.Closed < stormSize()/100 || n.Logins < n.Closed/2 {
				t.Errorf("the server closed too little: %+v", n)
			}
			if len(result.writes) > n.Closed/10 {
				t.Errorf("%d of %d closed connections took a write with them", len(result.writes), n.Closed)
			}
			last := stormSize()/2/stormWorkers - 1
			for last%3 == 0 {
				last--
			}
			for worker := range stormWorkers {
				want := fmt.Sprintf("C%03d-%d", worker, last)
				id, _ := s.FindByKey("account", map[string]any{"accountnumber": fmt.Sprintf("C%03d", worker)})
				if row, _ := s.Row("account", id); row["name"] != want {
					t.Errorf("key %d: name %v, want %s", worker, row["name"], want)
				}
			}
		})
	}
}
