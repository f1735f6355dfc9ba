package bridge

import (
	"strings"

	"golang.org/x/net/http/httpguts"

	"cebridge/bridge/internal/webapi"
	"cebridge/bridge/internal/yamltree"
	"cebridge/schema"
)

// RegisterConfig says how Apply registers the doorbell as a webhook of Customer
// Engagement. Empty URL means that it does not.
type RegisterConfig struct {
	// URL is where Customer Engagement reaches the doorbell.
	URL string
	// Auth is key, header or query: how the ring brings the doorbell's key. Empty means
	// key when the key's name is code, else header.
	Auth string
}

// The ways a ring brings the key.
const (
	registerKey    = "key"
	registerHeader = "header"
	registerQuery  = "query"
	// keyParameter is the query parameter of a WebhookKey. Source: developer guide,
	// "Register a WebHook".
	keyParameter = "code"
)

// register reads doorbell.register, after the rest of the doorbell.
func (r *reader) register(m, doorbell *yamltree.Map) {
	c := &r.cfg.Doorbell.Register
	c.URL = m.String("url", "")
	if m.Has("auth") {
		c.Auth = m.Choice("auth", "", registerKey, registerHeader, registerQuery)
	}
	if text := checkURL(strings.TrimRight(c.URL, "/")); c.URL == "" {
		m.Note("url", "required: where Customer Engagement reaches the doorbell")
	} else if text != "" {
		m.Note("url", "%s", text)
	}
	name := r.cfg.Doorbell.Name
	if c.Auth == registerKey && name != keyParameter {
		m.Note("auth", "a WebhookKey is always called %s, and doorbell.name is %s: write header or query", keyParameter, name)
	}
	if c.Auth == registerHeader && !httpguts.ValidHeaderFieldName(name) {
		m.Note("auth", "doorbell.name is not the name of a header")
	}
	if !doorbell.Has("key") {
		doorbell.Note("key", "required with register: the key that every ring must bring; write ${NAME} or ${file:/path}")
	}
	m.Done()
}

// webhook is the webhook that the configuration wants; false when it wants none.
func (b *Bridge) webhook() (webapi.Webhook, bool) {
	d := b.cfg.Doorbell
	if d.Register.URL == "" {
		return webapi.Webhook{}, false
	}
	auth := d.Register.Auth
	if auth == "" {
		auth = registerHeader
		if d.Name == keyParameter {
			auth = registerKey
		}
	}
	w := webapi.Webhook{
		Name: "cebridge " + b.cfg.Prefix + " " + b.cfg.Org, URL: d.Register.URL, Param: d.Name, Secret: d.Key.Text(), Solution: b.cfg.WebAPI.Solution,
		Auth: map[string]webapi.WebhookAuth{registerKey: webapi.WebhookKey, registerHeader: webapi.WebhookHeader, registerQuery: webapi.WebhookQuery}[auth],
	}
	for _, t := range b.cfg.Outbound.Tables {
		w.Tables = append(w.Tables, t.Table)
	}
	return w, true
}

// definitions reads how what Apply defines in Customer Engagement is named and where
// it goes.
func (r *reader) definitions(m *yamltree.Map) {
	c := &r.cfg.WebAPI
	c.PublisherPrefix = m.String("publisher_prefix", c.PublisherPrefix)
	if !schema.ValidPublisherPrefix(c.PublisherPrefix) {
		m.Note("publisher_prefix", "2 to 8 letters or digits, beginning with a letter, not with mscrm")
	}
	c.Solution = m.String("solution", "")
	if c.Solution != "" && !schema.ValidToken(c.Solution) {
		m.Note("solution", "the unique name of a solution: letters, digits and '_'")
	}
}
