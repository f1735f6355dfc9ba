package webapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema/outcome"
)

const hookSecret = "a<secret>&of-the-test"

// bell records rings.
type bell struct {
	mu    sync.Mutex
	rings []string
	*httptest.Server
}

func newBell(t *testing.T, knows func(*http.Request) bool) *bell {
	b := &bell{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		text := r.Header.Get("X-Ms-Dynamics-Request-Name") + " " + r.Header.Get("X-Ms-Dynamics-Entity-Name")
		if !knows(r) {
			text = "stranger"
		}
		b.rings = append(b.rings, text)
	}))
	t.Cleanup(b.Close)
	return b
}

func (o *organization) register(t *testing.T, w Webhook) []WebhookChange {
	t.Helper()
	changes, err := o.client.CompareWebhook(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range changes {
		if err := ch.Apply(t.Context()); err != nil {
			t.Fatalf("%s: %s: %v", ch.Name, ch.What, err)
		}
	}
	return changes
}

func TestARegisteredWebhookRingsWithItsKeyInEachWay(t *testing.T) {
	for name, c := range map[string]struct {
		auth  WebhookAuth
		knows func(*http.Request) bool
	}{
		"key":    {WebhookKey, func(r *http.Request) bool { return r.URL.Query().Get("code") == hookSecret }},
		"header": {WebhookHeader, func(r *http.Request) bool { return r.Header.Get("X-Ring") == hookSecret }},
		"query":  {WebhookQuery, func(r *http.Request) bool { return r.URL.Query().Get("X-Ring") == hookSecret }},
	} {
		t.Run(name, func(t *testing.T) {
			bothProfiles(t, func(t *testing.T, profile sim.Profile) {
				o := newOrganization(t, sim.Options{Profile: profile})
				b := newBell(t, c.knows)
				w := Webhook{Name: "cebridge contoso", URL: b.URL + "/ring", Auth: c.auth, Param: "X-Ring", Secret: hookSecret, Tables: []string{"account", "contact"}}
				if changes := o.register(t, w); len(changes) != 7 {
					t.Fatalf("%d changes", len(changes))
				}
				if again := o.register(t, w); len(again) != 0 {
					t.Fatalf("a second look finds %d changes: %+v", len(again), again)
				}
				id, err := o.sim.Insert("account", map[string]any{"name": "x"})
				if err != nil {
					t.Fatal(err)
				}
				if err := o.sim.Delete("account", id); err != nil {
					t.Fatal(err)
				}
				o.sim.WaitWebhooks()
				b.mu.Lock()
				defer b.mu.Unlock()
				if text := strings.Join(b.rings, ", "); len(b.rings) != 2 || !strings.Contains(text, "Create account") || !strings.Contains(text, "Delete account") {
					t.Errorf("rings: %s", text)
				}
			})
		})
	}
}

func TestEachDifferenceOfAWebhookIsNamedAndMended(t *testing.T) {
	o := newOrganization(t, sim.Options{})
	was := Webhook{Name: "cebridge contoso", URL: "https://bell.contoso.example/ring", Auth: WebhookKey, Param: "code", Secret: hookSecret, Tables: []string{"account"}}
	o.register(t, was)
	for name, c := range map[string]struct {
		change func(*Webhook)
		want   string
	}{
		"url":       {func(w *Webhook) { w.URL = "https://other.contoso.example" }, "change its URL from https://bell.contoso.example/ring to https://other.contoso.example"},
		"auth":      {func(w *Webhook) { w.Auth = WebhookHeader }, "change how it shows the key"},
		"secret":    {func(w *Webhook) { w.Secret = "another-secret" }, "give it the present key"},
		"no table":  {func(w *Webhook) { w.Tables = nil }, "remove the step: its table is not followed"},
		"new table": {func(w *Webhook) { w.Tables = append(w.Tables, "contact") }, "register the asynchronous step"},
	} {
		now := was
		now.Tables = append([]string(nil), was.Tables...)
		c.change(&now)
		changes := o.register(t, now)
		if len(changes) == 0 || changes[0].What != c.want {
			t.Errorf("%s: %+v", name, changes)
		}
		for _, w := range []Webhook{now, was, was} { // and back again
			changes = o.register(t, w)
		}
		if len(changes) != 0 {
			t.Errorf("%s: still different: %+v", name, changes)
		}
	}
	var steps struct{ Value []stepRow }
	if err := o.client.metadataQuery(t.Context(), "sdkmessageprocessingsteps?$select=sdkmessageprocessingstepid", &steps); err != nil || len(steps.Value) != 3 {
		t.Fatalf("%d steps, %v", len(steps.Value), err)
	}
	if err := o.sim.Update("sdkmessageprocessingstep", steps.Value[0].ID, map[string]any{"statecode": 1, "statuscode": 2}); err != nil {
		t.Fatal(err)
	}
	if changes := o.register(t, was); len(changes) != 1 || changes[0].What != "enable the step" {
		t.Errorf("a disabled step: %+v", changes)
	}
	if changes := o.register(t, was); len(changes) != 0 {
		t.Errorf("afterwards: %+v", changes)
	}
}

func TestAWebhookOfATableWithoutMessagesIsRefusedByName(t *testing.T) {
	o := newOrganization(t, sim.Options{})
	_, err := o.client.CompareWebhook(t.Context(), Webhook{Name: "x", URL: "https://bell.contoso.example", Auth: WebhookKey, Secret: hookSecret, Tables: []string{"nothing"}})
	if !hasReason(err, outcome.Config) || !strings.Contains(err.Error(), "table nothing") {
		t.Error(err)
	}
}

func TestAUserWithoutTheRightIsToldWhoMayAndTheKeyStaysHidden(t *testing.T) {
	c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodGet {
			switch {
			case strings.Contains(r.URL.Path, "sdkmessages"):
				answering(200, `{"value":[{"sdkmessageid":"`+guid1+`","name":"Create"},{"sdkmessageid":"`+guid2+`","name":"Update"},{"sdkmessageid":"`+guid3+`","name":"Delete"}]}`)(w, r)
			default:
				answering(200, `{"value":[]}`)(w, r)
			}
			return
		}
		var sent map[string]any
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
		text, _ := json.Marshal("Principal lacks prvCreateServiceEndpoint, sent " + sent["authvalue"].(string))
		answering(403, `{"error":{"code":"0x80040220","message":`+string(text)+`}}`)(w, r)
	}))
	changes, err := c.CompareWebhook(t.Context(), Webhook{Name: "x", URL: "https://bell.contoso.example", Auth: WebhookKey, Secret: hookSecret})
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	err = changes[0].Apply(t.Context())
	if !hasReason(err, outcome.Forbidden) || !strings.Contains(err.Error(), "System Customizer") || strings.Contains(err.Error(), hookSecret) {
		t.Error(err)
	}
}
