package bridge_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
)

const (
	crmCanary    = `crm-canary/7719+=&"x\y`
	brokerCanary = "broker-canary-3308"
)

// canaries are texts that may appear nowhere, with every form of them.
type canaries struct {
	mu    sync.Mutex
	texts map[string]bool
}

func (c *canaries) add(texts ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range texts {
		quoted, _ := json.Marshal(s)
		for _, form := range []string{
			s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(string(quoted), `"`), strings.ReplaceAll(s, "/", `\/`),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
		} {
			c.texts[form] = true
		}
	}
}

// absent fails the test if text holds a canary.
func (c *canaries) absent(t *testing.T, where, text string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for form := range c.texts {
		if i := strings.Index(text, form); i >= 0 {
			t.Errorf("%s shows %q: …%s", where, form, text[max(0, i-200):min(len(text), i+len(form))])
		}
	}
}

// echo stands before the simulator and tells callers their own credentials back, in
// the ways in which error pages do.
type echo struct {
	api   http.Handler
	known *canaries

	mu    sync.Mutex
	mode  string // of requests to the API
	token bool   // the token endpoint fails too
	count map[string]int
}

func (e *echo) set(mode string, token bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mode, e.token = mode, token
}

func (e *echo) counts(mode string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count[mode]
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	auth := r.Header.Get("Authorization")
	if _, token, ok := strings.Cut(auth, " "); ok {
		e.known.add(token)
	}
	isToken := strings.HasSuffix(r.URL.Path, "/token")
	e.mu.Lock()
	mode := e.mode
	if isToken && !e.token || mode == "reject" && r.Method == http.MethodGet {
		mode = ""
	}
	e.count[mode]++
	e.mu.Unlock()
	if isToken && mode != "" {
		_ = r.ParseForm()
		auth = r.PostForm.Get("client_secret") + " " + r.PostForm.Get("password") + " " + r.PostForm.Encode()
	}
	fail := func(status int, message string) {
		body, _ := json.Marshal(map[string]any{"error": map[string]string{"code": "", "message": message}})
		if isToken {
			body, _ = json.Marshal(map[string]string{"error": "temporarily_unavailable", "error_description": message})
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
	switch mode {
	case "":
		e.api.ServeHTTP(w, r)
	case "error":
		fail(500, "the request was "+auth+" "+base64.StdEncoding.EncodeToString([]byte(auth))+" "+url.QueryEscape(auth))
	case "reject":
		fail(400, "the request was "+auth)
	case "page":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(502)
		_, _ = fmt.Fprintf(w, "<pre>Authorization: %s</pre>", auth)
	case "redirect":
		http.Redirect(w, r, "https://login.contoso.example/?was="+url.QueryEscape(auth), http.StatusFound)
	case "refuse":
		w.Header().Set("WWW-Authenticate", "Bearer error=invalid_token, error_description="+url.PathEscape(auth))
		fail(401, "not accepted: "+auth)
	}
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// canaryRig is a bridge with canaries for secrets between an echoing server and NATS.
type canaryRig struct {
	t       *testing.T
	known   *canaries
	front   *echo
	crm     *sim.Server
	js      jetstream.JetStream
	config  bridge.Config
	log     *safeBuffer
	spans   *tracetest.SpanRecorder
	settled chan inbound.Settled
}

func newCanaryRig(t *testing.T, auth sim.Auth, login string) *canaryRig {
	t.Helper()
	t.Setenv("CEBRIDGE_TEST_CRM", crmCanary)
	t.Setenv("CEBRIDGE_TEST_BROKER", brokerCanary)
	r := &canaryRig{t: t, known: &canaries{texts: map[string]bool{}}, log: &safeBuffer{}, spans: tracetest.NewSpanRecorder(), settled: make(chan inbound.Settled, 100)}
	r.known.add(crmCanary, brokerCanary)
	profile, version := sim.Online, "v9.2"
	if auth.Method != sim.AuthClientCredentials {
		profile, version = sim.OnPremises, "v9.1"
	}
	s, err := sim.New(sim.Options{Profile: profile, Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	r.crm = s
	t.Cleanup(func() { _ = s.Close() })
	r.front = &echo{api: s.Handler(), known: r.known, count: map[string]int{}}
	srv := httptest.NewServer(r.front)
	t.Cleanup(srv.Close)
	address := srv.URL
	if profile == sim.OnPremises {
		address += "/contoso"
	}
	if auth.Method == sim.AuthNTLM {
		// A Windows login needs the simulator's own connections.
		if address, err = s.Start("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	broker := runNATS(t, func(o *server.Options) { o.Authorization = brokerCanary })
	nc, err := nats.Connect(broker, nats.Token(brokerCanary), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if r.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	r.config = parse(t, "org: contoso\nwebapi: {url: SIM, version: "+version+", auth: {"+strings.ReplaceAll(login, "FRONT", srv.URL)+"}}\n"+
		"nats: {urls: [\"NATS\"], token: \"${CEBRIDGE_TEST_BROKER}\"}\n"+bothWays, address, broker)
	return r
}

func (r *canaryRig) bridge() *bridge.Bridge {
	r.t.Helper()
	logger := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := bridge.New(r.config, bridge.WithLogger(logger),
		bridge.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))),
		bridge.WithSettled(func(_ string, s inbound.Settled) { r.settled <- s }))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// startUntil starts a bridge that waits for what never comes, until a condition holds,
// and returns why it did not start.
func (r *canaryRig) startUntil(ok func() bool) error {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.bridge().Start(ctx) }()
	r.until("the start meets the fault", func() bool { return len(ended) > 0 || ok() })
	cancel()
	return <-ended
}

// until waits for a condition that has no signal of its own.
func (r *canaryRig) until(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("never: %s; log:\n%s", what, r.log)
		}
	}
}

// check looks for canaries in everything that leaves the bridge.
func (r *canaryRig) check(b *bridge.Bridge) {
	r.t.Helper()
	r.known.absent(r.t, "the configuration", fmt.Sprintf("%v %+v %#v", r.config, r.config, r.config))
	for _, path := range []string{"/metrics", "/status.json", "/readyz", "/"} {
		_, body := get(r.t, "http://"+b.AdminAddr()+path)
		r.known.absent(r.t, path, body)
	}
	r.known.absent(r.t, "the log", r.log.String())
	for _, s := range r.spans.Ended() {
		r.known.absent(r.t, "span "+s.Name(), fmt.Sprintf("%v %v %v", s.Attributes(), s.Events(), s.Status()))
	}
}

func TestNoSecretLeavesTheBridge(t *testing.T) {
	for name, c := range map[string]struct {
		auth  sim.Auth
		login string
	}{
		"client credentials": {
			sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", ClientSecret: crmCanary},
			`method: client_credentials, client_id: app, token_url: "FRONT/contoso.example/oauth2/v2.0/token", client_secret: "${CEBRIDGE_TEST_CRM}"`,
		},
		"adfs": {
			sim.Auth{Method: sim.AuthADFS, User: `CONTOSO\svc`, Password: crmCanary},
			`method: adfs, client_id: app, token_url: "FRONT/adfs/oauth2/token", user: 'CONTOSO\svc', password: "${CEBRIDGE_TEST_CRM}"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newCanaryRig(t, c.auth, c.login)

			// A start that fails: the token endpoint tells everything back.
			for _, mode := range []string{"error", "page", "redirect"} {
				r.front.set(mode, true)
				const waits = "waiting to start" // says the log once the answer was read
				before := strings.Count(r.log.String(), waits)
				err := r.startUntil(func() bool { return strings.Count(r.log.String(), waits) > before })
				if err == nil || r.front.counts(mode) == 0 {
					t.Fatalf("%s: the start did not meet the fault: %v", mode, err)
				}
				r.known.absent(t, "the error of Start", fmt.Sprintf("%v %+v", err, err))
			}

			r.front.set("", false)
			b := r.bridge()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := b.Start(ctx); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Stop(context.Background()); err != nil {
					r.known.absent(t, "the error of Stop", err.Error())
				}
			}()
			publish := func(id string) {
				data, _ := json.Marshal(map[string]any{"specversion": "1.0", "id": id, "source": "/test", "type": "com.example.customer",
					"data": map[string]any{"id": id, "name": "Contoso"}})
				if _, err := r.js.PublishMsg(ctx, &nats.Msg{Subject: "erp.customer", Header: nats.Header{"Content-Type": {"application/cloudevents+json"}}, Data: data}); err != nil {
					t.Fatal(err)
				}
			}
			settled := func() inbound.Settled {
				select {
				case s := <-r.settled:
					return s
				case <-ctx.Done():
					t.Fatalf("nothing was settled; log:\n%s", r.log)
					panic("unreachable")
				}
			}

			// Every answer tells the credentials back; a write becomes a dead letter.
			r.front.set("reject", false)
			publish("A1")
			s := settled()
			if s.Outcome != "rejected" || s.Err == nil || !strings.Contains(s.Err.Error(), "[redacted]") {
				t.Errorf("the write was %s: %v", s.Outcome, s.Err)
			}
			r.known.absent(t, "the verdict", fmt.Sprintf("%v %+v", s.Err, s.Err))
			for _, mode := range []string{"error", "page", "refuse"} {
				r.front.set(mode, false)
				publish("B-" + mode)
				before := r.front.counts(mode)
				r.until(mode+" was met", func() bool { return r.front.counts(mode) >= before+3 })
				r.check(b)
			}
			r.crm.RevokeTokens()
			r.front.set("", false)

			dead, err := r.js.Stream(ctx, b.Names().DeadStream())
			if err != nil {
				t.Fatal(err)
			}
			info, err := dead.Info(ctx)
			if err != nil || info.State.Msgs == 0 {
				t.Fatalf("no dead letter: %v", err)
			}
			for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
				m, err := dead.GetMsg(ctx, seq)
				if err != nil {
					t.Fatal(err)
				}
				r.known.absent(t, "dead letter", fmt.Sprintf("%v %s", m.Header, m.Data))
			}
			r.check(b)
			if len(r.spans.Ended()) == 0 || !strings.Contains(r.log.String(), "[redacted]") {
				t.Error("nothing was recorded that could have shown a secret")
			}
		})
	}
}

// A Windows password that is refused, pages instead of answers, and a wrong token for
// NATS: the errors name the cause and no secret.
func TestNoSecretStandsInAFailedLogin(t *testing.T) {
	r := newCanaryRig(t, sim.Auth{Method: sim.AuthNTLM, User: `CONTOSO\svc`, Password: "another"},
		`method: ntlm, user: 'CONTOSO\svc', password: "${CEBRIDGE_TEST_CRM}"`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := r.bridge().Start(ctx)
	if err == nil || !strings.Contains(err.Error(), "refuses the user or its password") {
		t.Fatalf("%v", err)
	}
	r.known.absent(t, "the error", fmt.Sprintf("%v %+v", err, err))

	r.config.NATS.Token = bridge.NewSecret("wrong-" + brokerCanary)
	if err = r.bridge().Start(ctx); err == nil {
		t.Fatal("a wrong token was accepted")
	}
	r.known.absent(t, "the error", fmt.Sprintf("%v %+v", err, err))
	r.known.absent(t, "the log", r.log.String())
}
