package webapi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/bridge/sim"
	"cebridge/schema/outcome"
)

// authServer is a simulator that asks for a login, on a clock of its own.
type authServer struct {
	*sim.Server
	url string

	mu  sync.Mutex
	now time.Time
}

func (s *authServer) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *authServer) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func newAuthServer(t *testing.T, a sim.Auth, faults *sim.Faults) *authServer {
	t.Helper()
	s := &authServer{now: time.Now()}
	profile := sim.Online
	if a.Method != sim.AuthClientCredentials {
		profile = sim.OnPremises
	}
	server, err := sim.New(sim.Options{Profile: profile, Auth: a, Now: s.clock, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = server
	if s.url, err = server.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// origin is the server's address without an organization.
func (s *authServer) origin() string { return strings.TrimSuffix(s.url, "/contoso") }

// client makes a client that logs in with auth.
func (s *authServer) client(t *testing.T, auth Authenticator, err error) *Client {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{URL: s.url, Version: "v9.1", Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var secretAuth = sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", ClientSecret: canarySecret, TokenLifetime: time.Minute}

func (s *authServer) withSecret(t *testing.T, secret string) *Client {
	t.Helper()
	auth, err := NewClientCredentials(ClientCredentialsConfig{
		TokenEndpoint: TokenEndpoint{TokenURL: s.origin() + "/contoso.example/oauth2/v2.0/token"},
		ClientID:      "app", ClientSecret: secret, URL: s.url,
	})
	return s.client(t, auth, err)
}

func (s *authServer) withUser(t *testing.T, password string) *Client {
	t.Helper()
	auth, err := NewADFS(ADFSConfig{
		TokenEndpoint: TokenEndpoint{TokenURL: s.origin() + "/adfs/oauth2/token"},
		ClientID:      "native", User: `CONTOSO\svc`, Password: password, Resource: s.url + "/",
	})
	return s.client(t, auth, err)
}

func TestOneTokenServesAllUntilItEndsOrIsRevoked(t *testing.T) {
	t.Parallel()
	adfs := sim.Auth{Method: sim.AuthADFS, ClientID: "native", User: `CONTOSO\svc`, Password: canarySecret, TokenLifetime: time.Minute}
	for name, open := range map[string]func(*testing.T) (*authServer, *Client){
		"secret": func(t *testing.T) (*authServer, *Client) {
			s := newAuthServer(t, secretAuth, nil)
			return s, s.withSecret(t, canarySecret)
		},
		"certificate": func(t *testing.T) (*authServer, *Client) {
			files, text := writeCertificate(t, t.TempDir(), "PRIVATE KEY", 0)
			s := newAuthServer(t, sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", Certificate: text, TokenLifetime: time.Minute}, nil)
			auth, err := NewClientCredentials(ClientCredentialsConfig{
				TokenEndpoint: TokenEndpoint{TokenURL: s.url + "/contoso.example/oauth2/v2.0/token"},
				ClientID:      "app", CertificateFile: files.certificate, KeyFile: files.key, URL: s.url,
			})
			return s, s.client(t, auth, err)
		},
		"AD FS": func(t *testing.T) (*authServer, *Client) {
			s := newAuthServer(t, adfs, nil)
			return s, s.withUser(t, canarySecret)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := open(t)
			ask := func() {
				t.Helper()
				var wait sync.WaitGroup
				for range 30 {
					wait.Go(func() {
						if _, err := c.WhoAmI(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				wait.Wait()
			}
			ask()
			if n := s.AuthCounts(); n.Tokens != 1 || n.Challenges != 0 {
				t.Errorf("%+v, want one token for all", n)
			}
			// The server forgets the token. It is old enough to be believed in that.
			aged := c.auth.(interface{ age(time.Duration) })
			aged.age(time.Minute)
			s.RevokeTokens()
			ask()
			if n := s.AuthCounts(); n.Tokens != 2 || n.Challenges == 0 || n.TokensRefused != 0 {
				t.Errorf("%+v, want one more token", n)
			}
			// It ends by the server's clock, which runs ahead of ours.
			aged.age(time.Minute)
			s.pass(2 * time.Minute)
			ask()
			if n := s.AuthCounts(); n.Tokens != 3 {
				t.Errorf("%+v, want one more token", n)
			}
		})
	}
}

// age makes the held token look older, for tests with real connections.
func (a *tokenLogin) age(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token.issued = a.token.issued.Add(-d)
}

func TestRefusedLoginsNameTheCauseAndNoSecret(t *testing.T) {
	t.Parallel()
	s := newAuthServer(t, secretAuth, nil)
	_, err := s.withSecret(t, "wrong-canary").WhoAmI(t.Context())
	if e := outcome.Of(err); e == nil || e.Verdict != outcome.Stop || e.Reason != outcome.Unauthorized {
		t.Errorf("%v", err)
	}
	wantText(t, err, "AADSTS7000215")
	on := newAuthServer(t, sim.Auth{Method: sim.AuthADFS, User: `CONTOSO\svc`, Password: canarySecret}, nil)
	_, err2 := on.withUser(t, "wrong-canary").WhoAmI(t.Context())
	if e := outcome.Of(err2); e == nil || e.Verdict != outcome.Stop {
		t.Errorf("%v", err2)
	}
	wantText(t, err2, "MSIS9659")
	if text := err.Error() + err2.Error(); strings.Contains(text, "canary") {
		t.Errorf("a secret shows: %s", text)
	}
}

func TestATokenEndpointThatFailsForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, kind := range []sim.FaultKind{sim.FaultServerError, sim.FaultHTMLPage, sim.FaultLoginRedirect, sim.FaultCutBeforeCommit, sim.FaultTruncatedJSON, sim.FaultEmptyBody, sim.FaultThrottle} {
		faults := sim.NewFaults(1)
		faults.Add(sim.Rule{Kind: kind, PathContains: "/token", Times: 1})
		s := newAuthServer(t, secretAuth, faults)
		c := s.withSecret(t, canarySecret)
		_, err := c.WhoAmI(t.Context())
		if e := outcome.Of(err); e == nil || e.Verdict != outcome.Retry || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", kind, err)
		}
		renewNow(c.auth.(*ClientCredentials))
		if _, err := c.WhoAmI(t.Context()); err != nil {
			t.Errorf("%s: afterwards: %v", kind, err)
		}
	}
}

// testKeys are two keys for all tests: making one takes long.
var testKeys = [2]func() *rsa.PrivateKey{sync.OnceValue(makeKey), sync.OnceValue(makeKey)}

func makeKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// writeCertificate makes a certificate of one of the keys, in files of their own.
func writeCertificate(t *testing.T, dir, kind string, which int) (certificateFiles, []byte) {
	t.Helper()
	key := testKeys[which]()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "bridge"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw := x509.MarshalPKCS1PrivateKey(key)
	if kind == "PRIVATE KEY" {
		if raw, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			t.Fatal(err)
		}
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	files := certificateFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	write(t, files.certificate, text)
	write(t, files.key, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
	return files, text
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
