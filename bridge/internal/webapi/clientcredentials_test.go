package webapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

const canarySecret = "canary+s3cret/&="

// issuer is a token endpoint that counts and scripts.
type issuer struct {
	mu     sync.Mutex
	forms  []url.Values
	life   int           // seconds
	delay  time.Duration // before each answer
	answer func(n int, w http.ResponseWriter) bool
}

func (s *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	s.forms = append(s.forms, r.PostForm)
	n := len(s.forms)
	s.mu.Unlock()
	if s.delay > 0 {
		advance(s.delay)
	}
	w.Header().Set("Content-Type", "application/json")
	if s.answer != nil && s.answer(n, w) {
		return
	}
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","access_token":"token-%d","expires_in":%d}`, n, s.life)
}

func (s *issuer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

// newCredentials makes credentials against s in memory.
func newCredentials(t *testing.T, s *issuer) (a *ClientCredentials, stop func()) {
	t.Helper()
	transport, stop := startPipe(s)
	a, err := NewClientCredentials(ClientCredentialsConfig{
		TokenEndpoint: TokenEndpoint{TokenURL: "http://login.example/tenant/oauth2/v2.0/token", AllowHTTP: true, Transport: transport},
		ClientID:      "app", ClientSecret: canarySecret, URL: "https://Contoso.crm4.dynamics.com:443/",
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, stop
}

func authorize(t *testing.T, a *ClientCredentials) (*http.Request, error) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "https://contoso.crm4.dynamics.com/", nil)
	return req, a.Authorize(t.Context(), req)
}

func wantToken(t *testing.T, a *ClientCredentials, want string) *http.Request {
	t.Helper()
	req, err := authorize(t, a)
	if err != nil {
		t.Fatal(err)
	}
	if got := req.Header.Get("Authorization"); got != "Bearer "+want {
		t.Fatalf("%q, want %s", got, want)
	}
	return req
}

func TestTokenFormIsTheDocumentedOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 3600}
		a, stop := newCredentials(t, s)
		defer stop()
		wantToken(t, a, "token-1")
		want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {canarySecret},
			"scope": {"https://contoso.crm4.dynamics.com/.default"}}
		if got := s.forms[0].Encode(); got != want.Encode() {
			t.Errorf("form %s", got)
		}
	})
}

func TestTokenIsRenewedAheadWhileItServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 1000, delay: 10 * time.Second}
		a, stop := newCredentials(t, s)
		defer stop()
		wantToken(t, a, "token-1")
		advance(780 * time.Second) // 790 s old
		wantToken(t, a, "token-1")
		synctest.Wait()
		if s.count() != 1 {
			t.Fatal("renewed before 80 % of its life")
		}
		advance(11 * time.Second)
		start := time.Now()
		for range 50 {
			wantToken(t, a, "token-1") // nobody waits
		}
		if time.Since(start) != 0 {
			t.Error("a good token was waited for")
		}
		advance(11 * time.Second)
		wantToken(t, a, "token-2")
		if s.count() != 2 {
			t.Errorf("%d requests for a token, want 2", s.count())
		}
	})
}

func TestOneRenewalForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 3600, delay: time.Second}
		a, stop := newCredentials(t, s)
		defer stop()
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() { wantToken(t, a, "token-1") })
		}
		group.Wait()
		refused := wantToken(t, a, "token-1")
		advance(minTokenAge)
		var renewed atomic.Int32
		for range 100 {
			group.Go(func() {
				if a.Invalidate(refused) {
					renewed.Add(1)
				}
				wantToken(t, a, "token-2")
			})
		}
		group.Wait()
		if s.count() != 2 || renewed.Load() != 100 {
			t.Errorf("%d requests, %d renewed", s.count(), renewed.Load())
		}
	})
}

func TestAFreshTokenThatIsRefusedIsNotRenewedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 3600}
		a, stop := newCredentials(t, s)
		defer stop()
		req := wantToken(t, a, "token-1")
		if a.Invalidate(req) {
			t.Error("renewed a token issued just now")
		}
		advance(minTokenAge)
		if !a.Invalidate(req) {
			t.Error("an older token is not renewed")
		}
		wantToken(t, a, "token-2")
	})
}

func TestTheOldTokenServesWhileTheEndpointIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 1000, answer: func(n int, w http.ResponseWriter) bool {
			if n == 1 {
				return false
			}
			w.WriteHeader(503)
			return true
		}}
		a, stop := newCredentials(t, s)
		defer stop()
		wantToken(t, a, "token-1")
		advance(900 * time.Second)
		for range 90 {
			wantToken(t, a, "token-1")
			advance(time.Second)
		}
		if n := s.count(); n < 10 || n > 20 {
			t.Errorf("%d attempts to renew in 90 s, want one each %v", n-1, tokenRetry)
		}
		advance(11 * time.Second)
		_, err := authorize(t, a)
		if e := outcome.Of(err); e == nil || e.Verdict != outcome.Retry || e.Reason != outcome.Server || e.Status != 503 {
			t.Errorf("%v", err)
		}
	})
}

func TestVerdictsOfTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	oauth := func(code, text string) string {
		return fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, text)
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"wrong secret":        {401, oauth("invalid_client", "AADSTS7000215: Invalid client secret "+canarySecret), "stop unauthorized"},
		"no such application": {400, oauth("unauthorized_client", "AADSTS700016"), "stop unauthorized"},
		"a bare 400":          {400, "<html>", "retry bad_answer"},
		"a redirect":          {302, "", "retry bad_answer"},
		"not found":           {404, "", "retry bad_answer"},
		"throttled":           {429, oauth("", ""), "retry throttled"},
		"down":                {503, "", "retry server"},
		"busy":                {400, oauth("temporarily_unavailable", "AADSTS90033"), "retry server"},
		"a login page":        {200, "<html>Sign in</html>", "retry network"},
		"no token":            {200, `{"token_type":"Bearer"}`, "retry network"},
		"another token type":  {200, `{"token_type":"mac","access_token":"x","expires_in":60}`, "retry bad_answer"},
		"a broken token":      {200, `{"access_token":"a\r\nHost: b","expires_in":60}`, "retry bad_answer"},
		"an ended token":      {200, `{"access_token":"x","expires_in":-60}`, "retry bad_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, stop := newCredentials(t, &issuer{answer: func(_ int, w http.ResponseWriter) bool {
					if c.status == 302 {
						w.Header().Set("Location", "http://evil.example/")
					}
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
					return true
				}})
				defer stop()
				req, err := authorize(t, a)
				e := outcome.Of(err)
				if e == nil || req.Header.Get("Authorization") != "" {
					t.Fatalf("%v", err)
				}
				wantVerdict(t, name, e, c.want)
				if text := fmt.Sprintf("%v %+v", err, e); strings.Contains(text, canarySecret) || strings.Contains(text, url.QueryEscape(canarySecret)) {
					t.Errorf("the error shows the secret: %s", text)
				}
				_, again := authorize(t, a)
				if !errors.Is(again, err) {
					t.Errorf("asked again at once: %v", again)
				}
			})
		})
	}
}

func TestATokenWithoutAnEndIsKeptUntilRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{answer: func(n int, w http.ResponseWriter) bool {
			_, _ = fmt.Fprintf(w, `{"token_type":"bearer","access_token":"token-%d"}`, n)
			return true
		}}
		a, stop := newCredentials(t, s)
		defer stop()
		req := wantToken(t, a, "token-1")
		advance(1000 * time.Hour)
		wantToken(t, a, "token-1")
		a.Invalidate(req)
		wantToken(t, a, "token-2")
	})
}

func TestWaitingForATokenEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 60, delay: 20 * time.Second}
		a, stop := newCredentials(t, s)
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := a.Authorize(ctx, httptest.NewRequest(http.MethodGet, "/", nil))
		if !errors.Is(err, context.DeadlineExceeded) || outcome.Of(err) != nil {
			t.Errorf("%v", err)
		}
		wantToken(t, a, "token-1") // the renewal went on for those who stay
		if s.count() != 1 {
			t.Errorf("%d requests", s.count())
		}
	})
}

func TestAnEndpointThatHangsIsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, stop := startPipe(stalling{})
		defer stop()
		a, err := NewClientCredentials(ClientCredentialsConfig{TokenEndpoint: TokenEndpoint{TokenURL: "http://login.example/", AllowHTTP: true, Transport: transport},
			ClientID: "app", ClientSecret: "x", Scope: "s"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = authorize(t, a)
		if e := outcome.Of(err); e == nil || e.Reason != outcome.Timeout || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestRegistrationIsChecked(t *testing.T) {
	t.Parallel()
	good := ClientCredentialsConfig{TokenEndpoint: TokenEndpoint{TokenURL: "https://login.example/token"}, ClientID: "app", ClientSecret: "s", URL: "https://contoso.example"}
	if _, err := NewClientCredentials(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ClientCredentialsConfig){
		"no token URL":    func(c *ClientCredentialsConfig) { c.TokenURL = "" },
		"plain http":      func(c *ClientCredentialsConfig) { c.TokenURL = "http://login.example/token" },
		"a password":      func(c *ClientCredentialsConfig) { c.TokenURL = "https://a:b@login.example/token" },
		"no id":           func(c *ClientCredentialsConfig) { c.ClientID = "" },
		"no secret":       func(c *ClientCredentialsConfig) { c.ClientSecret = "" },
		"no organization": func(c *ClientCredentialsConfig) { c.URL = "" },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewClientCredentials(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, local := range []string{"http://localhost:1/token", "http://127.0.0.1:1/token", "http://[::1]:1/token"} {
		cfg := good
		cfg.TokenURL = local
		if _, err := NewClientCredentials(cfg); err != nil {
			t.Errorf("%s: %v", local, err)
		}
	}
	cfg := good
	cfg.URL, cfg.Params = "", url.Values{"resource": {"https://contoso.example/"}}
	if _, err := NewClientCredentials(cfg); err != nil {
		t.Errorf("AD FS with a resource: %v", err)
	}
}

func TestTheTokensEndIsMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		transport, stop := startPipe(&issuer{life: 3600})
		defer stop()
		a, err := NewClientCredentials(ClientCredentialsConfig{TokenEndpoint: TokenEndpoint{TokenURL: "http://login.example/", AllowHTTP: true, Transport: transport,
			Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")}, ClientID: "app", ClientSecret: "x", Scope: "s"})
		if err != nil {
			t.Fatal(err)
		}
		seconds := func() []metricdata.DataPoint[float64] {
			var got metricdata.ResourceMetrics
			if err := reader.Collect(t.Context(), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.ScopeMetrics) == 0 {
				return nil
			}
			return got.ScopeMetrics[0].Metrics[0].Data.(metricdata.Gauge[float64]).DataPoints
		}
		if p := seconds(); len(p) != 0 {
			t.Errorf("measured without a token: %+v", p)
		}
		wantToken(t, a, "token-1")
		advance(10 * time.Minute)
		if p := seconds(); len(p) != 1 || p[0].Value != 3000 {
			t.Errorf("%+v, want 3000 s left", p)
		}
	})
}
