package webapi

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/bridge/internal/http1"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

const emptyDelta = `{"value":[],"@odata.deltaLink":"accounts?$deltatoken=1"}`

// throttling answers 429 with a wish, then as usual; it keeps the times of arrival.
type throttling struct {
	wish string
	mu   sync.Mutex
	at   []time.Time
}

func (s *throttling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.at = append(s.at, time.Now())
	first := len(s.at) == 1
	s.mu.Unlock()
	if !first {
		answering(200, emptyDelta)(w, r)
		return
	}
	if s.wish != "" {
		w.Header().Set("Retry-After", s.wish)
	}
	answering(429, apiError("0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."))(w, r)
}

func TestNoRequestIsSentBeforeRetryAfter(t *testing.T) {
	t.Parallel()
	for wish, want := range map[string]time.Duration{
		"37": 37 * time.Second, "400": 400 * time.Second, "1000000000": time.Hour,
		"": unnamedDelay, "soon": unnamedDelay, "-5": unnamedDelay, "0": unnamedDelay,
	} {
		t.Run(wish, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &throttling{wish: wish}
				c, stop := newPipeClient(t, s)
				defer stop()
				start := time.Now()
				err := pageError(c, t.Context())
				if e := outcome.Of(err); e == nil || e.Verdict != outcome.RetryAfter || e.Reason != outcome.Throttled {
					t.Fatalf("%v", err)
				}
				// Both kinds of request, many at once.
				var group sync.WaitGroup
				for range 20 {
					group.Go(func() {
						if err := pageError(c, t.Context()); err != nil {
							t.Error(err)
						}
					})
					group.Go(func() { _ = applyError(c, t.Context(), upsertAccount()) })
				}
				group.Wait()
				var spread bool
				for _, at := range s.at[1:] {
					waited := at.Sub(start)
					if waited < want || waited > want+maxSpread {
						t.Errorf("a request was sent after %v; asked to wait %v", waited, want)
					}
					spread = spread || !at.Equal(s.at[1])
				}
				if len(s.at) != 41 || !spread {
					t.Errorf("%d requests, spread %t", len(s.at), spread)
				}
			})
		})
	}
}

func TestGateOnlyMovesLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gate{random: func() float64 { return 0.5 }}
		if !g.open() || g.wait(t.Context()) != nil {
			t.Fatal("a new gate is closed")
		}
		if !g.closeFor(time.Minute) || g.closeFor(time.Second) || g.open() {
			t.Fatal("a short wish opened a long one")
		}
		start := time.Now()
		done := make(chan time.Duration, 1)
		go func() {
			_ = g.wait(t.Context())
			done <- time.Since(start)
		}()
		advance(30 * time.Second)
		g.closeFor(time.Minute)
		if waited := <-done; waited < 90*time.Second || waited > 91*time.Second {
			t.Errorf("waited %v through an extension to 90s", waited)
		}
	})
}

func TestWaitingForTheGateEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, stop := newPipeClient(t, &throttling{wish: "3600"})
		defer stop()
		_ = pageError(c, t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := pageError(c, ctx)
		if !errors.Is(err, context.DeadlineExceeded) || outcome.Of(err) != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// stalling never answers, or stops in the middle of the body.
type stalling struct {
	partial bool
	arrived chan struct{}
}

func (s stalling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if s.partial {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("OData-Version", "4.0")
		_, _ = io.WriteString(w, `{"value":[`)
		w.(http.Flusher).Flush()
	}
	if s.arrived != nil {
		s.arrived <- struct{}{}
	}
	<-r.Context().Done()
}

func TestTimeoutIsAVerdictAndAmbiguousForWrites(t *testing.T) {
	t.Parallel()
	for _, partial := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, stop := newPipeClient(t, stalling{partial: partial})
			defer stop()
			start := time.Now()
			for i, err := range []error{pageError(c, t.Context()), applyError(c, t.Context(), upsertAccount())} {
				e := outcome.Of(err)
				if e == nil || e.Verdict != outcome.Retry || e.Reason != outcome.Timeout || e.Ambiguous != (i == 1) {
					t.Errorf("partial %t, request %d: %v", partial, i, err)
				}
			}
			if took := time.Since(start); took != 2*DefaultTimeout {
				t.Errorf("took %v, want two deadlines", took)
			}
		})
	}
}

// drip sends one byte a second for ever.
func drip(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, " "); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		advance(time.Second)
	}
}

func TestADrippingAnswerMeetsTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, stop := newPipeClient(t, http.HandlerFunc(drip))
		defer stop()
		start := time.Now()
		err := pageError(c, t.Context())
		if e := outcome.Of(err); e == nil || e.Reason != outcome.Timeout || time.Since(start) != DefaultTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestTheCallersEndIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, partial := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := stalling{partial: partial, arrived: make(chan struct{})}
			c, stop := newPipeClient(t, s)
			defer stop()
			for _, do := range []func(context.Context) error{
				func(ctx context.Context) error { return pageError(c, ctx) },
				func(ctx context.Context) error { return applyError(c, ctx, upsertAccount()) },
			} {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- do(ctx) }()
				<-s.arrived
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) || outcome.Of(err) != nil {
					t.Errorf("partial %t: %v", partial, err)
				}
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				go func() { done <- do(ctx) }()
				<-s.arrived
				if err := <-done; !errors.Is(err, context.DeadlineExceeded) || outcome.Of(err) != nil {
					t.Errorf("partial %t: %v", partial, err)
				}
				cancel()
			}
		})
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		release := make(chan struct{})
		c, stop := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			answering(200, emptyDelta)(w, r)
		}), func(cfg *Config) { cfg.MaxInFlight = 3 })
		defer stop()
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() { _ = pageError(c, t.Context()) })
		}
		synctest.Wait()
		if running.Load() != 3 {
			t.Errorf("%d requests run, want 3", running.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := pageError(c, ctx); !errors.Is(err, context.DeadlineExceeded) || outcome.Of(err) != nil {
			t.Errorf("waiting for a slot: %v", err)
		}
		close(release)
		group.Wait()
		if most.Load() != 3 {
			t.Errorf("up to %d requests ran", most.Load())
		}
	})
}

// TestAmbiguityFollowsTheConnection breaks connections at three moments.
func TestAmbiguityFollowsTheConnection(t *testing.T) {
	t.Parallel()
	refused := newPool(Config{MaxInFlight: 1})
	refused.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	for name, c := range map[string]struct {
		transport http.RoundTripper
		want      bool
	}{
		"before a connection": {refused, false},
		"after the request":   {breaking(""), true},
		"in the header":       {breaking("HTTP/1.1 204 No Con"), true},
		"in the body":         {breaking("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nOData-Version: 4.0\r\nContent-Length: 90\r\n\r\n{\"a\":"), true},
		"after a whole 204":   {breaking("HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n\r\n"), false},
		"an unknown transport": {roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("broken")
		}), true},
	} {
		client, err := New(Config{URL: "http://contoso.example", Transport: c.transport})
		if err != nil {
			t.Fatal(err)
		}
		result, err := client.Apply(t.Context(), upsertAccount())
		client.Close()
		if name == "after a whole 204" {
			if err != nil || result.Effect != schema.EffectWritten {
				t.Errorf("%s: %+v, %v", name, result, err)
			}
			continue
		}
		if e := outcome.Of(err); e == nil || e.Verdict != outcome.Retry || e.Reason != outcome.Network || e.Ambiguous != c.want {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

// breaking is a transport whose server reads a request, writes that much, and
// closes the connection.
func breaking(written string) *http1.Pool {
	transport := newPool(Config{MaxInFlight: 1})
	transport.Dial = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			buf := make([]byte, 64<<10)
			_, _ = server.Read(buf)
			_, _ = io.WriteString(server, written)
		}()
		return client, nil
	}
	return transport
}

func TestAWriteIsNeverSentTwiceByItself(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	inner := breaking("")
	dial := inner.Dial
	inner.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, address)
	}
	c, err := New(Config{URL: "http://contoso.example", Transport: inner})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	result, err := c.Apply(t.Context(), upsertAccount())
	if err == nil || dials.Load() != 1 || result.Requests != 1 {
		t.Errorf("%d connections, %d requests, %v", dials.Load(), result.Requests, err)
	}
}

// renewable is an authenticator whose token a server refuses until renewed.
type renewable struct {
	mu          sync.Mutex
	generation  int
	invalidated int
	final       bool
}

func (a *renewable) Authorize(_ context.Context, r *http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.Header.Set("Authorization", "Bearer "+string(rune('a'+a.generation)))
	return nil
}

func (a *renewable) Invalidate(*http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.invalidated++
	if a.final {
		return false
	}
	a.generation++
	return true
}

func TestRefusedCredentialsAreRenewedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		auth     Authenticator
		accepts  string
		requests int32
		want     outcome.Verdict
	}{
		"renewed":          {&renewable{}, "Bearer b", 2, ""},
		"still refused":    {&renewable{}, "Bearer z", 2, outcome.Reauthenticate},
		"nothing to renew": {&renewable{final: true}, "Bearer z", 1, outcome.Reauthenticate},
		"no credentials":   {nil, "Bearer z", 1, outcome.Stop},
	} {
		var requests atomic.Int32
		client, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			body, _ := io.ReadAll(r.Body)
			switch {
			case r.Header.Get("Authorization") != c.accepts:
				w.Header().Set("WWW-Authenticate", "Bearer authorization_uri=https://login.example")
				answering(401, "")(w, r)
			case string(body) != `{"name":"Fabrikam"}`:
				t.Errorf("%s: the body was lost: %q", name, body)
			default:
				answering(204, "")(w, r)
			}
		}), func(cfg *Config) { cfg.Auth = c.auth })
		result, err := client.Apply(t.Context(), upsertAccount())
		if requests.Load() != c.requests || result.Requests != int(c.requests) {
			t.Errorf("%s: %d requests, %d counted", name, requests.Load(), result.Requests)
		}
		if e := outcome.Of(err); c.want == "" && err != nil || c.want != "" && (e == nil || e.Verdict != c.want || e.Reason != outcome.Unauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhoAmI(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]*Identity{
		`{"UserId":"` + guid1 + `","OrganizationId":"` + guid2 + `","BusinessUnitId":"` + guid3 + `"}`: {guid1, guid2, guid3},
		`{"UserId":"` + guid1 + `","OrganizationId":"` + guid2 + `"}`:                                  nil,
		`{"UserId":1}`: nil, `[]`: nil, ``: nil, `null`: nil, `{"error":{}}`: nil,
	} {
		c, _ := newTestClient(t, answering(200, body))
		got, err := c.WhoAmI(t.Context())
		if (err == nil) != (want != nil) || want != nil && got != *want || want == nil && got != (Identity{}) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	c, err := New(Config{URL: "https://contoso.crm4.dynamics.com"})
	if err != nil {
		t.Fatal(err)
	}
	if c.timeout != DefaultTimeout || c.governor.most != DefaultMaxInFlight || c.maxPage != DefaultMaxPageBytes || c.maxBody != DefaultMaxBodyBytes {
		t.Errorf("defaults: %+v", c)
	}
	_, err = New(Config{URL: "https://contoso.crm4.dynamics.com", Version: "9.2", Timeout: -1, MaxInFlight: 5000, MaxPageBytes: 1, MaxBodyBytes: 1 << 40})
	wantText(t, err, "version", "timeout", "in flight", "page limit", "answer limit")
	_, err = New(Config{URL: "contoso"})
	wantText(t, err, "https://")
}

// TestConnectionsAreKept makes many requests and counts connections: no more
// than run at once, failures included.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var opened, n atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1)%3 == 0 {
			answering(400, apiError("0x80040265", "no"))(w, r)
			return
		}
		answering(204, "")(w, r)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c, err := New(Config{URL: srv.URL, MaxInFlight: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 25 {
				_ = applyError(c, t.Context(), upsertAccount())
			}
		})
	}
	group.Wait()
	if n.Load() != 200 || opened.Load() > 4 {
		t.Errorf("%d requests on %d connections, want 200 on at most 4", n.Load(), opened.Load())
	}
}

func TestOwnTransportIsHardened(t *testing.T) {
	t.Parallel()
	own := newTransport(Config{MaxInFlight: 7, TLS: &tls.Config{MinVersion: tls.VersionTLS10, ServerName: "x"}})
	if own.TLSClientConfig.MinVersion != tls.VersionTLS12 || own.TLSClientConfig.ServerName != "x" || own.TLSClientConfig.InsecureSkipVerify {
		t.Errorf("TLS: %+v", own.TLSClientConfig)
	}
	if own.Proxy != nil || own.MaxConnsPerHost != 7 || own.MaxIdleConnsPerHost != 7 || own.Protocols.HTTP2() {
		t.Errorf("transport: %+v", own)
	}
	if newTransport(Config{ProxyFromEnvironment: true}).Proxy == nil {
		t.Error("the proxy was asked for and is not used")
	}
	direct := newPool(Config{MaxInFlight: 7, TLS: &tls.Config{MinVersion: tls.VersionTLS10, ServerName: "x"}})
	if direct.TLS.MinVersion != tls.VersionTLS12 || direct.TLS.ServerName != "x" || direct.TLS.InsecureSkipVerify ||
		direct.MaxConns != 7 || direct.MaxHeaderBytes != maxHeaderBytes {
		t.Errorf("pool: %+v", direct)
	}
}

// failing is an authenticator that has no credentials to give.
type failing struct{ err error }

func (f failing) Authorize(context.Context, *http.Request) error { return f.err }
func (failing) Invalidate(*http.Request) bool                    { return false }

func TestNothingIsSentWithoutCredentials(t *testing.T) {
	t.Parallel()
	refused := &outcome.Error{Op: "POST token endpoint", Verdict: outcome.Stop, Reason: outcome.Unauthorized}
	c, _ := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }),
		func(cfg *Config) { cfg.Auth = failing{refused} })
	result, err := c.Apply(t.Context(), upsertAccount())
	if e := outcome.Of(err); e == nil || e.Verdict != outcome.Stop || e.Ambiguous || result.Requests != 0 {
		t.Errorf("%+v, %v", result, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pageError(c, ctx); !errors.Is(err, context.Canceled) || outcome.Of(err) != nil {
		t.Errorf("the caller had left: %v", err)
	}
	if _, err := c.Metadata(ctx, []string{"account"}); !errors.Is(err, context.Canceled) || outcome.Of(err) != nil {
		t.Errorf("the caller had left: %v", err)
	}
}

// TestTheGateIsCheckedAfterCredentials closes the gate while credentials are
// fetched: the request must wait, and ask for credentials again.
func TestTheGateIsCheckedAfterCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var arrived time.Time
		var asked int
		var c *Client
		c, stop := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived = time.Now()
			answering(200, emptyDelta)(w, r)
		}), func(cfg *Config) {
			cfg.Auth = authorizing(func() {
				if asked++; asked == 1 {
					c.governor.gate.closeFor(time.Minute)
				}
			})
		})
		defer stop()
		start := time.Now()
		if err := pageError(c, t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := arrived.Sub(start); waited < time.Minute || asked != 2 {
			t.Errorf("sent after %v with credentials asked for %d times", waited, asked)
		}
	})
}

type authorizing func()

func (f authorizing) Authorize(context.Context, *http.Request) error { f(); return nil }
func (authorizing) Invalidate(*http.Request) bool                    { return false }
