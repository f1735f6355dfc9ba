package webapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"cebridge/schema/outcome"
)

// secretForms are the forms in which an answer may show a secret.
func secretForms(s string) []string {
	return []string{
		s, url.QueryEscape(s), url.PathEscape(s), strings.ReplaceAll(s, "/", `\/`),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
	}
}

func TestSecretsAreCutOutInEveryForm(t *testing.T) {
	t.Parallel()
	h := newHider([]string{canarySecret, "", "ab", `quo"ted\canary`})
	for _, form := range append(secretForms(canarySecret), secretForms(`quo"ted\canary`)...) {
		if got := h.text("before " + form + " after"); got != "before [redacted] after" {
			t.Errorf("%s becomes %q", form, got)
		}
	}
	if got := h.text("ab is too short to be hidden"); !strings.HasPrefix(got, "ab is") {
		t.Errorf("%q", got)
	}
	plain := errors.New("plain")
	if h.error(nil) != nil || h.error(plain) != plain {
		t.Error("an error without secrets was changed")
	}
	if err := h.error(fmt.Errorf("x %s", canarySecret)); err.Error() != "x [redacted]" {
		t.Errorf("%v", err)
	}
}

// An answer that echoes the request's credentials, in any shape, long before the
// text is cut, shows nothing.
func TestAnEchoedTokenShowsNowhere(t *testing.T) {
	t.Parallel()
	const token = "canary.token-with~all_characters+/="
	for name, handler := range map[string]http.HandlerFunc{
		"error of the API": func(w http.ResponseWriter, r *http.Request) {
			answering(500, fmt.Sprintf(`{"error":{"code":"","message":%q}}`, strings.Repeat("x", 480)+r.Header.Get("Authorization")))(w, r)
		},
		"page": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(502)
			_, _ = w.Write([]byte(r.Header.Get("Authorization")))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example/?t="+url.QueryEscape(r.Header.Get("Authorization")), http.StatusFound)
		},
		"encoding": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", r.Header.Get("Authorization"))
			answering(200, "{}")(w, r)
		},
		"refused": func(w http.ResponseWriter, r *http.Request) {
			answering(401, fmt.Sprintf(`{"error":{"code":"","message":%q}}`, url.QueryEscape(r.Header.Get("Authorization"))))(w, r)
		},
	} {
		c, _ := newTestClient(t, handler, func(cfg *Config) { cfg.Auth = bearer(token) })
		_, err := c.WhoAmI(t.Context())
		if outcome.Of(err) == nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, form := range append(secretForms(token), "canary") {
			if strings.Contains(fmt.Sprintf("%v %+v", err, outcome.Of(err)), form) {
				t.Errorf("%s: %v shows %s", name, err, form)
			}
		}
	}
}
