package webapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/oauth2"
)

const (
	// maxTokenLife bounds what a token endpoint may promise.
	maxTokenLife = 24 * time.Hour
	// tokenRetry is how long a failed renewal stands before the next: whoever
	// asks meanwhile gets its error, or the old token while that is good.
	tokenRetry = 5 * time.Second
	// minTokenAge: a token refused this soon after it was issued is not renewed
	// again; it would be refused again, and the endpoint be flooded.
	minTokenAge = 5 * time.Second
)

// tokenLogin authorizes requests with bearer tokens of an identity provider. A token is
// renewed ahead of its end, after 80 % of its life, while it still serves; one
// renewal runs at a time, whoever asks.
type tokenLogin struct {
	// ask requests a token with the HTTP client in its context.
	ask func(ctx context.Context) (*oauth2.Token, error)
	// known are the secrets that ask sends, which no error may show.
	known   []string
	http    *http.Client
	timeout time.Duration

	mu      sync.Mutex
	token   token
	old     string   // the token before it, which requests may still carry
	renewal *renewal // the one that runs, or nil
	failed  error    // why the last renewal failed, or nil
	retryAt time.Time
}

// token is an access token with its times; zero expires means it told none.
type token struct {
	value                  string
	issued, renew, expires time.Time
}

// renewal is a running request for a token. done closes when err is final.
type renewal struct {
	done chan struct{}
	err  error
}

// measure registers the gauge of the token's remaining life.
func (a *tokenLogin) measure(m metric.Meter) error {
	_, err := m.Float64ObservableGauge(telemetry.TokenExpiry, metric.WithUnit("s"),
		metric.WithDescription("Time until the access token ends."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if !a.token.expires.IsZero() {
				o.Observe(time.Until(a.token.expires).Seconds())
			}
			return nil
		}))
	return err
}

// Authorize implements Authenticator. It waits for a token only when there is
// none that still serves.
func (a *tokenLogin) Authorize(ctx context.Context, req *http.Request) error {
	for {
		a.mu.Lock()
		now := time.Now()
		good := a.token.value != "" && (a.token.expires.IsZero() || now.Before(a.token.expires))
		due := !good || !a.token.renew.IsZero() && !now.Before(a.token.renew)
		held := a.failed != nil && now.Before(a.retryAt)
		if due && !held && a.renewal == nil {
			a.renewal = &renewal{done: make(chan struct{})}
			go a.renew(context.WithoutCancel(ctx), a.renewal)
		}
		value, running, failed := a.token.value, a.renewal, a.failed
		a.mu.Unlock()
		switch {
		case good:
			req.Header.Set("Authorization", "Bearer "+value)
			return nil
		case held:
			return failed
		}
		select {
		case <-running.done:
			if running.err != nil {
				return running.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Invalidate implements Authenticator. It drops the token that req carried,
// unless another took its place already.
func (a *tokenLogin) Invalidate(req *http.Request) bool {
	value, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	if value != a.token.value {
		return true
	}
	if time.Since(a.token.issued) < minTokenAge {
		return false
	}
	a.token, a.old = token{}, value
	return true
}

// renew asks for a token and settles the renewal. It outlives the request that
// started it, since others wait for it too; its own deadline ends it.
func (a *tokenLogin) renew(ctx context.Context, r *renewal) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, a.http), a.timeout)
	defer cancel()
	start := time.Now()
	fresh, err := a.ask(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	var next token
	if err == nil {
		next, err = newToken(fresh, start)
	}
	a.renewal, a.failed = nil, nil
	if err == nil {
		if a.token.value != "" {
			a.old = a.token.value
		}
		a.token = next
	} else {
		r.err = a.judge(err)
		a.failed, a.retryAt = r.err, time.Now().Add(tokenRetry)
	}
	close(r.done)
}

// newToken takes over what the endpoint answered. Its life counts from the
// request, so that the time the answer took cannot make it too long.
func newToken(t *oauth2.Token, start time.Time) (token, error) {
	fresh := token{value: t.AccessToken, issued: time.Now()}
	if t.TokenType != "" && !strings.EqualFold(t.TokenType, "bearer") {
		return token{}, &malformed{"the token endpoint issued a token that is not a bearer token"}
	}
	for i := range len(t.AccessToken) {
		if c := t.AccessToken[i]; c <= ' ' || c >= 0x7f {
			return token{}, &malformed{"the token endpoint issued a token that cannot stand in a header"}
		}
	}
	if t.Expiry.IsZero() {
		return fresh, nil
	}
	life := min(t.Expiry.Sub(fresh.issued), maxTokenLife)
	fresh.expires, fresh.renew = start.Add(life), start.Add(life*4/5)
	if !fresh.expires.After(fresh.issued) {
		return token{}, &malformed{"the token endpoint issued a token that has ended already"}
	}
	return fresh, nil
}

// secrets are the texts that nothing about this login may show.
func (a *tokenLogin) secrets() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append(a.known[:len(a.known):len(a.known)], a.token.value, a.old)
}

// judge gives the verdict on a failed renewal. The endpoint's description may
// name the application but never holds the secret; should it, it is cut out.
func (a *tokenLogin) judge(err error) *outcome.Error {
	hidden := newHider(a.known)
	e := &outcome.Error{Op: "POST token endpoint", Verdict: outcome.Retry, Reason: outcome.Network, Err: hidden.error(withoutURL(err))}
	var refused *oauth2.RetrieveError
	var bad *malformed
	switch {
	case errors.As(err, &refused):
		e.Err = nil
		e.Message = shorten(hidden.text(refused.ErrorCode + " " + refused.ErrorDescription))
		if refused.Response != nil {
			e.Status = refused.Response.StatusCode
		}
		e.Verdict, e.Reason = judgeTokenStatus(e.Status, refused.ErrorCode)
	case errors.As(err, &bad):
		e.Reason, e.Message, e.Err = outcome.BadAnswer, bad.text, nil
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		e.Reason = outcome.Timeout
	}
	return e
}

// judgeTokenStatus: only an OAuth error says that the registration is wrong; a
// bare status may come from anything in between.
func judgeTokenStatus(status int, code string) (outcome.Verdict, outcome.Reason) {
	switch {
	case status == http.StatusTooManyRequests:
		return outcome.Retry, outcome.Throttled
	case status >= 500 || code == "temporarily_unavailable" || code == "server_error":
		return outcome.Retry, outcome.Server
	case status == http.StatusUnauthorized, status == http.StatusBadRequest && code != "":
		return outcome.Stop, outcome.Unauthorized
	}
	return outcome.Retry, outcome.BadAnswer
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
