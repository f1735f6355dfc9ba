package webapi

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"cebridge/schema/outcome"
)

// WebhookAuth is how a webhook shows its secret. Source: developer guide, "Register a
// WebHook" and the choice authtype of "Service Endpoint table reference".
type WebhookAuth int

// The ways: as the query parameter code, as a header, as a query parameter.
const (
	WebhookKey    WebhookAuth = 4
	WebhookHeader WebhookAuth = 5
	WebhookQuery  WebhookAuth = 6
)

// Webhook is an endpoint that the server is to call after every create, update and
// delete in some tables.
type Webhook struct {
	// Name finds the endpoint again.
	Name string
	URL  string
	Auth WebhookAuth
	// Param is the header or query parameter that carries Secret; WebhookKey has its
	// own.
	Param, Secret string
	Tables        []string
	// Solution is the unique name of an unmanaged solution to add to, "" for none.
	Solution string
}

// WebhookChange is one difference between a webhook and what is registered.
type WebhookChange struct {
	// Name is the webhook's, or the step's; What says what is to be done.
	Name, What string
	// Creates, Removes: a registration is made, or taken away.
	Creates, Removes bool

	apply func(context.Context) error
}

// Apply makes the change. It may be repeated after a failure once the differences
// were read again.
func (w WebhookChange) Apply(ctx context.Context) error { return w.apply(ctx) }

// Values of the tables that webhooks are registered in. Source: "Register a WebHook",
// "SDK Message Processing Step table reference".
const (
	contractWebhook    = 8
	modeAsynchronous   = 1
	stagePostOperation = 40
	deployedOnServer   = 0
)

// hookMessages are the messages that change records.
var hookMessages = []string{"Create", "Update", "Delete"}

// CompareWebhook lists what has to be done so that the webhook is called: its endpoint,
// and an asynchronous step for each table and message. Steps of the endpoint for
// other tables are listed to be removed; what belongs to other endpoints is not
// looked at. The ids of what is made follow from the names, so that two bridges at the
// same moment make one registration.
func (c *Client) CompareWebhook(ctx context.Context, w Webhook) ([]WebhookChange, error) {
	h := &hooks{client: c, want: w}
	changes, err := h.compare(ctx)
	if err != nil {
		return nil, h.explain(err)
	}
	return changes, nil
}

// hooks compares one webhook.
type hooks struct {
	client   *Client
	want     Webhook
	endpoint string // its id
	changes  []WebhookChange
}

type endpointRow struct {
	ID          string `json:"serviceendpointid"`
	URL         string `json:"url"`
	AuthType    int    `json:"authtype"`
	Description string `json:"description"`
}

type stepRow struct {
	ID      string `json:"sdkmessageprocessingstepid"`
	Name    string `json:"name"`
	Mode    int    `json:"mode"`
	Stage   int    `json:"stage"`
	State   int    `json:"statecode"`
	Message string `json:"_sdkmessageid_value"`
	Filter  string `json:"_sdkmessagefilterid_value"`
}

func (h *hooks) compare(ctx context.Context) ([]WebhookChange, error) {
	if err := h.compareEndpoint(ctx); err != nil {
		return nil, err
	}
	var steps struct{ Value []stepRow }
	err := h.client.metadataQuery(ctx, "sdkmessageprocessingsteps?$select=sdkmessageprocessingstepid,name,mode,stage,statecode,_sdkmessageid_value,_sdkmessagefilterid_value"+
		"&$filter="+escapeFilter("_eventhandler_value eq "+h.endpoint), &steps)
	if err != nil {
		return nil, err
	}
	messages, err := h.messages(ctx)
	if err != nil {
		return nil, err
	}
	var kept []string
	for _, table := range h.want.Tables {
		filters, err := h.filters(ctx, table, messages)
		if err != nil {
			return nil, err
		}
		for _, message := range hookMessages {
			i := slices.IndexFunc(steps.Value, func(s stepRow) bool { return s.Filter == filters[message] && s.Message == messages[message] })
			if i < 0 {
				h.addStep(table, message, messages[message], filters[message])
				continue
			}
			kept = append(kept, steps.Value[i].ID)
			h.compareStep(steps.Value[i])
		}
	}
	for _, s := range steps.Value {
		if !slices.Contains(kept, s.ID) {
			h.add(WebhookChange{Name: s.Name, What: "remove the step: its table is not followed", Removes: true}, http.MethodDelete, "sdkmessageprocessingsteps("+s.ID+")", nil)
		}
	}
	return h.changes, nil
}

// add notes a change that is one request.
func (h *hooks) add(w WebhookChange, method, path string, body any) {
	header := map[string]string{}
	switch {
	case method == http.MethodPatch:
		header["If-Match"] = "*" // never make what was removed meanwhile
	case w.Creates && h.want.Solution != "":
		header["MSCRM.SolutionUniqueName"] = h.want.Solution
	}
	w.apply = func(ctx context.Context) error { return h.explain(h.client.change(ctx, method, path, body, header)) }
	h.changes = append(h.changes, w)
}

func (h *hooks) compareEndpoint(ctx context.Context) error {
	w := h.want
	h.endpoint = uuid.NewSHA1(uuid.NameSpaceURL, []byte("cebridge/webhook/"+w.Name)).String()
	var found struct{ Value []endpointRow }
	err := h.client.metadataQuery(ctx, "serviceendpoints?$select=serviceendpointid,url,authtype,description"+
		"&$filter="+escapeFilter(fmt.Sprintf("contract eq %d and name eq '%s'", contractWebhook, strings.ReplaceAll(w.Name, "'", "''"))), &found)
	if err != nil {
		return err
	}
	body := map[string]any{"url": w.URL, "authtype": int(w.Auth), "authvalue": w.authValue()}
	if len(found.Value) == 0 {
		body["serviceendpointid"], body["name"], body["contract"], body["description"] = h.endpoint, w.Name, contractWebhook, w.fingerprint(h.endpoint)
		h.add(WebhookChange{Name: w.Name, What: "register the endpoint " + w.URL, Creates: true}, http.MethodPost, "serviceendpoints", body)
		return nil
	}
	have := found.Value[0]
	for _, e := range found.Value {
		if e.ID == h.endpoint {
			have = e
		}
	}
	h.endpoint = have.ID
	body["description"] = w.fingerprint(h.endpoint)
	what := ""
	switch {
	case have.URL != w.URL:
		what = "change its URL from " + have.URL + " to " + w.URL
	case have.AuthType != int(w.Auth):
		what = "change how it shows the key"
	case have.Description != body["description"]:
		what = "give it the present key"
	default:
		return nil
	}
	h.add(WebhookChange{Name: w.Name, What: what}, http.MethodPatch, "serviceendpoints("+h.endpoint+")", body)
	return nil
}

// authValue is what the column authvalue takes: it can be written and not read.
func (w Webhook) authValue() string {
	if w.Auth == WebhookKey {
		return w.Secret
	}
	var name, value strings.Builder
	_ = xml.EscapeText(&name, []byte(w.Param)) // a Builder takes everything
	_ = xml.EscapeText(&value, []byte(w.Secret))
	return `<settings><setting name="` + name.String() + `" value="` + value.String() + `" /></settings>`
}

// fingerprint tells a secret from another one, since the server does not show it. Its
// 16 bits, slow to compute, do not help to find it.
func (w Webhook) fingerprint(salt string) string {
	sum, err := pbkdf2.Key(sha256.New, w.Param+"\x00"+w.Secret, []byte(salt), 10_000, 2)
	if err != nil { // only for parameters other than these
		return "cebridge"
	}
	return "cebridge, key " + hex.EncodeToString(sum)
}

// messages finds the ids of the messages.
func (h *hooks) messages(ctx context.Context) (map[string]string, error) {
	var found struct {
		Value []struct {
			ID   string `json:"sdkmessageid"`
			Name string `json:"name"`
		}
	}
	filter := "name eq '" + strings.Join(hookMessages, "' or name eq '") + "'"
	if err := h.client.metadataQuery(ctx, "sdkmessages?$select=sdkmessageid,name&$filter="+escapeFilter(filter), &found); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, m := range found.Value {
		ids[m.Name] = m.ID
	}
	for _, name := range hookMessages {
		if ids[name] == "" {
			return nil, &outcome.Error{Op: "webhook", Verdict: outcome.Stop, Reason: outcome.Config, Message: "the organization has no message " + name}
		}
	}
	return ids, nil
}

// filters finds what joins the messages with a table.
func (h *hooks) filters(ctx context.Context, table string, messages map[string]string) (map[string]string, error) {
	if !validName(table) {
		return nil, badName(table)
	}
	var found struct {
		Value []struct {
			ID      string `json:"sdkmessagefilterid"`
			Message string `json:"_sdkmessageid_value"`
		}
	}
	var any []string
	for _, name := range hookMessages {
		any = append(any, "_sdkmessageid_value eq "+messages[name])
	}
	filter := "primaryobjecttypecode eq '" + table + "' and (" + strings.Join(any, " or ") + ")"
	if err := h.client.metadataQuery(ctx, "sdkmessagefilters?$select=sdkmessagefilterid,_sdkmessageid_value&$filter="+escapeFilter(filter), &found); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, name := range hookMessages {
		for _, f := range found.Value {
			if f.Message == messages[name] {
				ids[name] = f.ID
			}
		}
		if ids[name] == "" {
			return nil, &outcome.Error{Op: "webhook", Verdict: outcome.Stop, Reason: outcome.Config, Message: "no step can be registered for " + name + " of table " + table}
		}
	}
	return ids, nil
}

func (h *hooks) addStep(table, message, messageID, filterID string) {
	name := h.want.Name + ": " + message + " of " + table
	h.add(WebhookChange{Name: name, What: "register the asynchronous step", Creates: true}, http.MethodPost, "sdkmessageprocessingsteps", map[string]any{
		"sdkmessageprocessingstepid": uuid.NewSHA1(uuid.NameSpaceURL, []byte(h.endpoint+"/"+table+"/"+message)).String(),
		"name":                       name, "mode": modeAsynchronous, "stage": stagePostOperation, "rank": 1,
		"supporteddeployment": deployedOnServer, "asyncautodelete": true,
		"sdkmessageid@odata.bind":                 "/sdkmessages(" + messageID + ")",
		"sdkmessagefilterid@odata.bind":           "/sdkmessagefilters(" + filterID + ")",
		"eventhandler_serviceendpoint@odata.bind": "/serviceendpoints(" + h.endpoint + ")",
	})
}

func (h *hooks) compareStep(s stepRow) {
	path := "sdkmessageprocessingsteps(" + s.ID + ")"
	if s.Mode != modeAsynchronous || s.Stage != stagePostOperation {
		h.add(WebhookChange{Name: s.Name, What: "make the step asynchronous: people wait for the bridge now"}, http.MethodPatch, path,
			map[string]any{"mode": modeAsynchronous, "stage": stagePostOperation})
	}
	if s.State != 0 {
		h.add(WebhookChange{Name: s.Name, What: "enable the step"}, http.MethodPatch, path, map[string]any{"statecode": 0, "statuscode": 1})
	}
}

// explain says what a missing privilege means here, and keeps the secret out of what
// the server says.
func (h *hooks) explain(err error) error {
	e := outcome.Of(err)
	if e == nil {
		return err
	}
	if h.want.Secret != "" {
		e.Message = strings.ReplaceAll(e.Message, h.want.Secret, "[hidden]")
	}
	if e.Reason == outcome.Forbidden {
		return fmt.Errorf("the user may not register webhooks: it needs the rights of a System Customizer, or somebody who has them registers the webhook by hand: %w", err)
	}
	return err
}

// escapeFilter encodes a filter as a query's value.
func escapeFilter(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
