package sim

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// hookTimeout is how long an endpoint may take (developer guide, "Use WebHooks").
	hookTimeout = 60 * time.Second
	// maxHookBody is the size of a body beyond which most of it is left out.
	maxHookBody = 256 << 10
)

// hookCaller makes webhook calls.
type hookCaller struct {
	s      *Server
	client *http.Client
}

func newHookCaller(s *Server) *hookCaller {
	transport := s.opts.WebhookTransport
	if transport == nil {
		transport = &http.Transport{MaxIdleConnsPerHost: hookWorkers, IdleConnTimeout: time.Minute}
	}
	return &hookCaller{s: s, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call posts the execution context to the endpoint. Only the status counts: 2xx
// is success; 502, 503 and 504 are tried once more; the rest has failed. A failed
// call leaves a failed system job behind, one that succeeded a job unless the step
// deletes it. Source: developer guide, "Use WebHooks"; that the second try follows
// at once is an assumption.
func (c *hookCaller) call(ctx context.Context, call hookCall) (sent, retried bool) {
	body, exceeded := c.s.executionContext(call)
	status, err := c.post(ctx, call, body, exceeded)
	if err == nil && (status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout) {
		retried = true
		status, err = c.post(ctx, call, body, exceeded)
	}
	if ctx.Err() != nil { // the server is closed: nothing is known about the endpoint
		return false, retried
	}
	message := ""
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		message = "The webhook call failed because the http request timed out at client side. Please check your webhook request handler."
	case err != nil:
		message = "The webhook call failed because the endpoint could not be reached."
	case status < 200 || status > 299:
		message = "The webhook call failed because of http status " + strconv.Itoa(status) + "."
	}
	switch {
	case message != "":
		c.s.recordJob(asyncJob{id: call.id, name: call.step.name, step: call.step.id}, jobFailed, message)
	case !call.step.autoDelete:
		c.s.recordJob(asyncJob{id: call.id, name: call.step.name, step: call.step.id}, jobSucceeded, "")
	}
	return message == "", retried
}

func (c *hookCaller) post(ctx context.Context, call hookCall, body []byte, exceeded bool) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, call.step.url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("webhook: %w", err)
	}
	// Names as the guide spells them, in lower case also on the wire.
	for name, value := range map[string]string{
		"x-request-id": call.id.String(), "x-ms-dynamics-organization": c.s.hostName(),
		"x-ms-dynamics-entity-name": call.def.LogicalName, "x-ms-dynamics-request-name": call.message,
		"x-ms-correlation-request-id": call.correlation.String(),
	} {
		r.Header[name] = []string{value}
	}
	if exceeded {
		r.Header["x-ms-dynamics-msg-size-exceeded"] = []string{"true"}
	}
	r.Header.Set("Content-Type", "application/json") // not documented: an assumption
	if err := call.step.authorize(r); err != nil {
		return 0, err
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	return resp.StatusCode, nil
}

// hostName is what calls name as the organization.
func (s *Server) hostName() string {
	if s.opts.Profile == OnPremises {
		return s.opts.Organization
	}
	return s.opts.Organization + ".crm4.dynamics.com"
}

// authorize adds what the endpoint expects. Source: developer guide, "Register a
// WebHook", authentication options.
func (h *hookStep) authorize(r *http.Request) error {
	add := func(name, value string) {
		query := name + "=" + url.QueryEscape(value)
		if r.URL.RawQuery != "" {
			query = r.URL.RawQuery + "&" + query
		}
		r.URL.RawQuery = query
	}
	if h.authType == authWebhookKey {
		add("code", h.authValue)
		return nil
	}
	settings, err := parseSettings(h.authValue)
	if err != nil {
		return fmt.Errorf("webhook: settings: %w", err)
	}
	for _, s := range settings {
		if h.authType == authHTTPHeader {
			r.Header.Add(s.Name, s.Value)
		} else {
			add(url.QueryEscape(s.Name), s.Value)
		}
	}
	return nil
}

type hookSetting struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// parseSettings reads the pairs of an HttpHeader or HttpQueryString authvalue.
func parseSettings(text string) ([]hookSetting, error) {
	var doc struct {
		XMLName  xml.Name      `xml:"settings"`
		Settings []hookSetting `xml:"setting"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("not a settings document: %w", err)
	}
	for _, s := range doc.Settings {
		if s.Name == "" {
			return nil, errors.New("a setting has no name")
		}
	}
	return doc.Settings, nil
}
