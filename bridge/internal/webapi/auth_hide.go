package webapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cebridge/schema/outcome"
)

// hider cuts secrets out of what servers answer: an error page may echo the request
// with its credentials, and what a server says ends up in logs and dead letters.
type hider struct{ replacer *strings.Replacer }

// minSecret is the shortest text worth hiding: cutting out anything shorter would
// spoil every message and hide nothing.
const minSecret = 4

// newHider hides each secret as it is and in the forms in which a page may hold it.
func newHider(secrets []string) hider {
	var forms []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		raw := []byte(s)
		quoted, err := json.Marshal(s)
		if err == nil {
			forms = append(forms, string(quoted[1:len(quoted)-1]))
		}
		forms = append(forms, s, strings.ReplaceAll(s, "/", `\/`), url.QueryEscape(s), url.PathEscape(s),
			base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
			base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	// Of two forms that begin alike, the replacer takes the one that comes first.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, f := range forms {
		pairs = append(pairs, f, "[redacted]")
	}
	return hider{strings.NewReplacer(pairs...)}
}

func (h hider) text(s string) string { return h.replacer.Replace(s) }

// error replaces an error whose text shows a secret; others stay as they are.
func (h hider) error(err error) error {
	if err == nil {
		return nil
	}
	if text := h.text(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// hiding finds the secrets that an answer to req could show. req may be nil.
func (c *Client) hiding(req *http.Request) hider {
	var secrets []string
	if a, ok := c.auth.(interface{ secrets() []string }); ok {
		secrets = a.secrets()
	}
	if req != nil {
		if _, value, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
			secrets = append(secrets, value)
		}
	}
	return newHider(secrets)
}

// judge classifies an answer that was not accepted, without the secrets in it. req is
// the request that it answers, nil if that was a batch.
func (c *Client) judge(call *call, a answer, req *http.Request) *outcome.Error {
	hidden := c.hiding(req)
	a.body = []byte(hidden.text(string(a.body)))
	verdict := classify(call, a)
	verdict.Message = hidden.text(verdict.Message)
	verdict.Err = hidden.error(verdict.Err)
	return verdict
}
