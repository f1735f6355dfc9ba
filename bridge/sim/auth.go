package sim

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// AuthMethod is how callers have to log in.
type AuthMethod string

// The methods. The names are those of the bridge's configuration.
const (
	// AuthNone lets everybody in.
	AuthNone AuthMethod = ""
	// AuthClientCredentials is Microsoft Entra's way, online: an application gets a
	// bearer token at /TENANT/oauth2/v2.0/token for its secret or for an assertion
	// signed with its certificate.
	AuthClientCredentials AuthMethod = "client_credentials"
	// AuthADFS is the way of an internet-facing deployment on premises: a user's name
	// and password for a bearer token at /adfs/oauth2/token.
	AuthADFS AuthMethod = "adfs"
	// AuthNTLM is Windows authentication on premises: a challenge per connection.
	AuthNTLM AuthMethod = "ntlm"
)

// Auth says who may call. The zero value lets everybody in. The simulator's own API
// below /sim/ never asks for a login.
type Auth struct {
	Method AuthMethod
	// Tenant is the first segment of the token endpoint's path, "contoso.example"
	// when empty. Client credentials only.
	Tenant string
	// ClientID is the registered application. Client credentials need it and at
	// least one of ClientSecret and Certificate; for AD FS "" admits any.
	ClientID     string
	ClientSecret string
	// Certificate is a PEM certificate whose key may sign assertions.
	Certificate []byte
	// User and Password of AD FS and NTLM; User is DOMAIN\name or name@domain.
	User, Password string
	// TokenLifetime is how long a bearer token is accepted; 0 means an hour.
	TokenLifetime time.Duration
	// RequestsPerConnection, 3 or more, is after how many requests an NTLM connection
	// ends, with "Connection: close" on the last answer; 0 means never.
	RequestsPerConnection int
	// CloseRate, from 0 to 1, is how many of the answers on NTLM connections are
	// followed by an unannounced end of the connection. Seed fixes which.
	CloseRate float64
	Seed      uint64
}

// check fills in and checks the settings.
func (a Auth) check(p Profile) (Auth, *x509.Certificate, error) {
	fail := func(format string, args ...any) (Auth, *x509.Certificate, error) {
		return a, nil, fmt.Errorf("simulator: auth: "+format, args...)
	}
	a.Tenant = cmp.Or(a.Tenant, "contoso.example")
	a.TokenLifetime = cmp.Or(a.TokenLifetime, time.Hour)
	switch {
	case a.RequestsPerConnection == 1 || a.RequestsPerConnection == 2:
		return fail("requests per connection: a login alone takes two; use 3 or more")
	case a.TokenLifetime < time.Second || a.RequestsPerConnection < 0 || !(a.CloseRate >= 0 && a.CloseRate <= 1):
		return fail("a token lives at least a second, requests per connection are not negative, and the close rate is between 0 and 1")
	case a.Method == AuthNone:
		return a, nil, nil
	case a.Method == AuthClientCredentials && p != Online, a.Method == AuthADFS && p != OnPremises, a.Method == AuthNTLM && p != OnPremises:
		return fail("%s does not exist in the profile %s", a.Method, p)
	case a.Method == AuthADFS || a.Method == AuthNTLM:
		if a.User == "" || a.Password == "" {
			return fail("%s needs a user and a password", a.Method)
		}
		return a, nil, nil
	case a.Method != AuthClientCredentials:
		return fail("unknown method %q: use %s, %s or %s", a.Method, AuthClientCredentials, AuthADFS, AuthNTLM)
	case a.ClientID == "" || a.ClientSecret == "" && len(a.Certificate) == 0:
		return fail("%s needs a client id and a secret or a certificate", a.Method)
	case strings.Trim(a.Tenant, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "":
		return fail("tenant %q: use letters, digits, '-' and '.'", a.Tenant)
	case len(a.Certificate) == 0:
		return a, nil, nil
	}
	cert, err := parseCertificate(a.Certificate)
	if err != nil {
		return fail("certificate: %w", err)
	}
	return a, cert, nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM block CERTIFICATE found")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if _, ok := cert.PublicKey.(*rsa.PublicKey); !ok {
		return nil, errors.New("its key is not RSA")
	}
	return cert, nil
}

// authState is what the server knows about logins.
type authState struct {
	Auth
	cert *x509.Certificate
	key  [32]byte // signs bearer tokens

	mu     sync.Mutex
	epoch  int                  // tokens of earlier epochs are revoked
	seen   map[string]time.Time // ids of used assertions with their end
	rng    *randv2.Rand         // decides which connections end
	counts AuthCounts
}

// AuthCounts tells what happened at the door since the start.
type AuthCounts struct {
	// Tokens issued, and requests for one that were refused.
	Tokens        int `json:"tokens"`
	TokensRefused int `json:"tokensRefused"`
	// Challenges are answers 401 to API requests, those of NTLM handshakes included.
	Challenges int `json:"challenges"`
	// Logins are NTLM handshakes that ended well, LoginsRefused those that did not:
	// wrong credentials, or a third leg on a connection without a challenge.
	Logins        int `json:"logins"`
	LoginsRefused int `json:"loginsRefused"`
	// Closed connections, by RequestsPerConnection and by CloseRate.
	Closed int `json:"closed"`
}

func newAuthState(o Options) (*authState, error) {
	a, cert, err := o.Auth.check(o.Profile)
	if err != nil {
		return nil, err
	}
	st := &authState{Auth: a, cert: cert, seen: map[string]time.Time{}, rng: randv2.New(randv2.NewPCG(a.Seed, 0xc105e))}
	if _, err := rand.Read(st.key[:]); err != nil {
		return nil, fmt.Errorf("simulator: auth: %w", err)
	}
	return st, nil
}

func (a *authState) count(change func(*AuthCounts)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.counts)
}

// AuthCounts is what happened at the door so far.
func (s *Server) AuthCounts() AuthCounts {
	s.auth.mu.Lock()
	defer s.auth.mu.Unlock()
	return s.auth.counts
}

// RevokeTokens makes every bearer token issued so far count as invalid. Connections
// that logged in by NTLM stay logged in.
func (s *Server) RevokeTokens() {
	s.auth.mu.Lock()
	defer s.auth.mu.Unlock()
	s.auth.epoch++
}

// guard puts the login in front of the API.
func (s *Server) guard(api http.Handler) http.Handler {
	switch s.auth.Method {
	case AuthClientCredentials, AuthADFS:
		return s.guardBearer(api)
	case AuthNTLM:
		return s.guardNTLM(api)
	}
	return api
}

// serveAuth serves /sim/auth: GET the counts; DELETE /sim/auth/tokens revokes every
// bearer token.
func (s *Server) serveAuth(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/sim/auth" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.AuthCounts())
	case r.URL.Path == "/sim/auth/tokens" && r.Method == http.MethodDelete:
		s.RevokeTokens()
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "GET /sim/auth or DELETE /sim/auth/tokens", http.StatusNotFound)
	}
}

// unauthorized answers 401 with challenges. On premises several headers may come,
// one a scheme (seen in public clients). The body is assumed.
func unauthorized(w http.ResponseWriter, challenges ...string) {
	h := w.Header()
	for _, c := range challenges {
		h.Add("WWW-Authenticate", c)
	}
	const body = "HTTP Error 401 - Unauthorized: Access is denied"
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte(body))
}

// origin is scheme and host that a request was sent to.
func origin(r *http.Request) string {
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
