package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener is a network in memory: what a test needs to have the server in a
// synctest bubble, where real sockets never become idle.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs fn with a server on a listener in memory, a plain HTTP client of
// it, and a clock that jumps.
func inBubble(t *testing.T, o Options, fn func(t *testing.T, get func(target string, headers ...string) answer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		l := newPipeListener()
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		transport := &http.Transport{DialContext: l.dial}
		client := &http.Client{Transport: transport}
		fn(t, func(target string, headers ...string) answer {
			t.Helper()
			if !strings.HasPrefix(target, "http://") {
				target = "http://crm.contoso.com/api/data/v9.2/" + target
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.ReplaceAll(target, " ", "%20"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ": ")
				if name == "Form" {
					r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(value))
					name, value = "Content-Type", "application/x-www-form-urlencoded"
				}
				r.Header.Set(name, value)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return answer{resp.StatusCode, resp.Header, string(body)}
		})
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestInABubbleAThrottledClientWaitsMinutesInNoTime(t *testing.T) {
	start := time.Now()
	inBubble(t, Options{Limits: &ServiceLimits{Requests: 3}}, func(t *testing.T, get func(string, ...string) answer) {
		for range 3 {
			get("WhoAmI").want(t, 200, "")
		}
		refused := get("WhoAmI").want(t, 429, "0x80072322")
		wait, err := strconv.Atoi(refused.header.Get("Retry-After"))
		if err != nil || wait < 240 {
			t.Fatalf("Retry-After %q, want minutes", refused.header.Get("Retry-After"))
		}
		time.Sleep(time.Duration(wait) * time.Second)
		get("WhoAmI").want(t, 200, "")
	})
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v of real time", took)
	}
}

func TestInABubbleADeltaTokenExpiresAfterDays(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, get func(string, ...string) answer) {
		link := get("accounts?$select=name", track).page(t).Delta
		time.Sleep(7 * 24 * time.Hour)
		get(link).want(t, 200, "")
		time.Sleep(time.Second)
		get(link).want(t, 400, codeExpiredVersion)
	})
}

func TestInABubbleABearerTokenExpires(t *testing.T) {
	inBubble(t, Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}}, func(t *testing.T, get func(string, ...string) answer) {
		login := func() string {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"secret"}, "scope": {"http://crm.contoso.com/.default"}}
			var token struct {
				AccessToken string `json:"access_token"`
			}
			a := get("http://crm.contoso.com"+entraPath, "Form: "+form.Encode()).want(t, 200, "")
			if err := json.Unmarshal([]byte(a.body), &token); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("Authorization: Bearer %s", token.AccessToken)
		}
		first := login()
		get("WhoAmI", first).want(t, 200, "")
		time.Sleep(time.Hour + time.Second)
		get("WhoAmI", first).want(t, 401, "")
		get("WhoAmI", login()).want(t, 200, "")
	})
}
