package bridge_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cebridge/bridge"
	"cebridge/bridge/internal/jet"
	"cebridge/bridge/sim"
)

// tryStart starts and stops a bridge with that webapi section.
func tryStart(t *testing.T, webapi, nats string) error {
	return tryStartFor(t, patience, webapi, nats)
}

// refused tries to start a bridge that never can, and returns an error that holds want,
// if there is one. A start waits for what may pass by itself, so it is given a longer time
// only where a shorter one did not tell.
func refused(t *testing.T, want, webapi, nats string) (err error) {
	t.Helper()
	for wait := time.Second; wait < patience; wait *= 4 {
		if err = tryStartFor(t, wait, webapi, nats); err == nil || strings.Contains(err.Error(), want) {
			break
		}
	}
	return err
}

func tryStartFor(t *testing.T, patience time.Duration, webapi, nats string) error {
	t.Helper()
	b, err := bridge.New(parse(t, "org: contoso\nwebapi: {"+webapi+"}\nnats: {urls: [\"NATS\"]}\n"+followAccounts, "", nats))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		return err
	}
	return b.Stop(context.Background())
}

func startBroker(t *testing.T) string {
	t.Helper()
	srv, err := jet.StartEmbedded(jet.EmbeddedOptions{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	return srv.URL()
}

func TestAPrivateAuthorityAndAClientCertificateOpenTheWay(t *testing.T) {
	t.Parallel()
	crm, _ := newSim(t, sim.Options{Auth: sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}})
	ca := newAuthority()
	cert, key := ca.issue()
	pair := must(tls.X509KeyPair(cert, key))
	var oldest atomic.Uint32
	handler := crm.Handler()
	serve := func(conf *tls.Config) string {
		h := handler
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			oldest.Store(uint32(r.TLS.Version))
			h.ServeHTTP(w, r)
		}))
		conf.Certificates = []tls.Certificate{pair}
		srv.TLS = conf
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv.URL
	}
	clientCert, clientKey := ca.issue()
	nats := startBroker(t)
	secret := file(t, "secret", []byte("secret\n"))
	section := func(url, tls string) string {
		return `url: "` + url + `", tls: {` + tls + `}, auth: {method: client_credentials, token_url: "` + url +
			`/contoso.example/oauth2/v2.0/token", client_id: app, client_secret: "${file:` + secret + `}"}`
	}
	caFile := "ca_file: " + file(t, "ca.pem", ca.pem)
	own := "cert_file: " + file(t, "c.pem", clientCert) + ", key_file: " + file(t, "k.pem", clientKey)

	open := serve(&tls.Config{})
	if err := tryStart(t, section(open, caFile), nats); err != nil {
		t.Errorf("private authority: %v", err)
	}
	if oldest.Load() < tls.VersionTLS12 {
		t.Errorf("TLS version %x", oldest.Load())
	}
	if err := refused(t, "certificate", section(open, ""), nats); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority was trusted: %v", err)
	}
	old := serve(&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err := refused(t, "protocol version", section(old, caFile), nats); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1 was spoken: %v", err)
	}
	free, _ := newSim(t, sim.Options{})
	handler = free.Handler()
	closed := serve(&tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()})
	if err := tryStart(t, `url: "`+closed+`", tls: {`+caFile+", "+own+"}", nats); err != nil {
		t.Errorf("client certificate: %v", err)
	}
	if err := refused(t, "certificate required", `url: "`+closed+`", tls: {`+caFile+"}", nats); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without the client certificate: %v", err)
	}
}

func TestAProxyIsUsedOnlyIfTheFileNamesIt(t *testing.T) {
	_, url := newSim(t, sim.Options{})
	nats := startBroker(t)
	var seen atomic.Int32
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) { seen.Add(1) },
		Transport: &http.Transport{},
		ErrorLog:  log.New(io.Discard, "", 0), // requests that the end of the bridge cuts off
	})
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	if err := tryStart(t, `url: "`+url+`"`, nats); err != nil || seen.Load() != 0 {
		t.Errorf("without: %v, %d requests through the proxy", err, seen.Load())
	}
	if err := tryStart(t, `url: "`+url+`", proxy: "`+proxy.URL+`"`, nats); err != nil || seen.Load() == 0 {
		t.Errorf("with: %v, %d requests through the proxy", err, seen.Load())
	}
}

// A login that cannot be set up is an error of Start, with the file that is at fault.
func TestALoginThatCannotBeMadeEndsTheStart(t *testing.T) {
	t.Parallel()
	nats := startBroker(t)
	for webapi, want := range map[string]string{
		`url: "https://127.0.0.1:1", tls: {ca_file: /nonexistent/ca.pem}`:                                                                     "/nonexistent/ca.pem",
		`url: "https://127.0.0.1:1", auth: {method: client_credentials, tenant: contoso, client_id: a, certificate_file: /nonexistent/c.pem}`: "/nonexistent/c.pem",
	} {
		if err := tryStart(t, webapi, nats); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", webapi, err)
		}
	}
}

// Each login of the file opens the simulator's door of the same name, for a start
// that reads who it is, the metadata and a table.
func TestABridgeLogsInByEveryMethod(t *testing.T) {
	t.Parallel()
	nats := startBroker(t)
	secret := `"${file:` + file(t, "secret", []byte("p&w/+=ü")) + `}"`
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))})
	keyFile := file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}))
	entra := `method: client_credentials, client_id: app, token_url: "ORIGIN/contoso.example/oauth2/v2.0/token", `
	for name, c := range map[string]struct {
		auth  sim.Auth
		login string
	}{
		"secret": {sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", ClientSecret: "p&w/+=ü"}, entra + "client_secret: " + secret},
		"certificate": {sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", Certificate: cert},
			entra + "certificate_file: " + file(t, "cert.pem", cert) + ", key_file: " + keyFile},
		"adfs": {sim.Auth{Method: sim.AuthADFS, User: "svc@contoso.example", Password: "p&w/+=ü"},
			`method: adfs, client_id: app, token_url: "ORIGIN/adfs/oauth2/token", user: svc@contoso.example, password: ` + secret},
		"ntlm": {sim.Auth{Method: sim.AuthNTLM, User: `CONTOSO\svc`, Password: "p&w/+=ü", RequestsPerConnection: 5},
			`method: ntlm, user: 'CONTOSO\svc', password: ` + secret},
	} {
		o, version := sim.Options{Auth: c.auth}, "v9.2"
		if c.auth.Method != sim.AuthClientCredentials {
			o.Profile, version = sim.OnPremises, "v9.1"
		}
		crm, url := newSim(t, o)
		login := strings.ReplaceAll(c.login, "ORIGIN", strings.TrimSuffix(url, "/contoso"))
		if err := tryStart(t, `url: "`+url+`", version: `+version+", auth: {"+login+"}", nats); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := crm.AuthCounts(); n.Tokens+n.Logins == 0 || n.TokensRefused+n.LoginsRefused > 0 {
			t.Errorf("%s: %+v", name, n)
		}
	}
}
