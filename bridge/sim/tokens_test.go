package sim

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const entraPath = "/contoso.example/oauth2/v2.0/token"

// entraForm is a good request for a token.
func entraForm() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"secret"}, "scope": {"http://org.example/.default"}}
}

func adfsForm() url.Values {
	return url.Values{"grant_type": {"password"}, "client_id": {"native"}, "username": {`CONTOSO\svc`}, "password": {"p&w"}, "resource": {"http://org.example/contoso/"}}
}

func askToken(t testing.TB, s *Server, path string, form url.Values) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://org.example"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	var answer map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	return w.Code, answer
}

func tokenOf(t testing.TB, s *Server, form url.Values) string {
	t.Helper()
	path := s.auth.tokenPath()
	status, answer := askToken(t, s, path, form)
	token, _ := answer["access_token"].(string)
	if status != 200 || token == "" {
		t.Fatalf("no token: %d %v", status, answer)
	}
	return token
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestATokenAdmitsUntilItEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Options
		form url.Values
	}{
		"Entra": {Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret", TokenLifetime: 10 * time.Minute}}, entraForm()},
		"AD FS": {Options{Profile: OnPremises, Auth: Auth{Method: AuthADFS, ClientID: "native", User: `contoso\SVC`, Password: "p&w", TokenLifetime: 10 * time.Minute}}, adfsForm()},
	} {
		t.Run(name, func(t *testing.T) {
			now := &clock{now: epoch}
			c.o.Now = now.Now
			s := newTestServer(t, c.o)
			status, answer := askToken(t, s, s.auth.tokenPath(), c.form)
			if status != 200 || answer["expires_in"] != 600.0 || !strings.EqualFold(answer["token_type"].(string), "bearer") {
				t.Fatalf("%d %v", status, answer)
			}
			token := answer["access_token"].(string)
			for _, scheme := range []string{"Bearer ", "bearer "} {
				send(t, s, "GET", "WhoAmI", "", "Authorization: "+scheme+token).want(t, 200, "")
			}
			now.pass(10*time.Minute + time.Second)
			a := send(t, s, "GET", "WhoAmI", "", "Authorization: Bearer "+token).want(t, 401, "")
			if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer error=invalid_token, ") || !strings.Contains(got, "authorization_uri=") {
				t.Errorf("challenge %q", got)
			}
		})
	}
}

func TestOnlyTokensOfThisServerForThisHostAdmit(t *testing.T) {
	t.Parallel()
	o := Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}}
	s, other := newTestServer(t, o), newTestServer(t, o)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, accessClaims{RegisteredClaims: jwt.RegisteredClaims{
		Audience: jwt.ClaimStrings{"http://org.example"}, ExpiresAt: jwt.NewNumericDate(epoch.Add(time.Hour)),
	}}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	good := tokenOf(t, s, entraForm())
	for name, header := range map[string]string{
		"another server's": "Bearer " + tokenOf(t, other, entraForm()), "unsigned": "Bearer " + unsigned, "changed": "Bearer " + good + "x",
		"nothing": "Bearer ", "basic": "Basic YXBwOnNlY3JldA==", "no scheme": good,
	} {
		if a := send(t, s, "GET", "WhoAmI", "", "Authorization: "+header); a.status != 401 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if a := sendURL(t, s, "GET", "http://other.example/api/data/v9.1/WhoAmI", "", "Authorization: Bearer "+good); a.status != 401 {
		t.Errorf("another host: %d", a.status)
	}
	send(t, s, "GET", "WhoAmI", "", "Authorization: Bearer "+good).want(t, 200, "")
}

func TestTokenRequestsAreRefusedAsTheProviderDoes(t *testing.T) {
	t.Parallel()
	entra := newTestServer(t, Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}})
	adfs := newTestServer(t, Options{Profile: OnPremises, Auth: Auth{Method: AuthADFS, ClientID: "native", ClientSecret: "cs", User: `CONTOSO\svc`, Password: "p&w"}})
	set := func(f url.Values, name, value string) url.Values {
		f.Set(name, value)
		if value == "" {
			f.Del(name)
		}
		return f
	}
	for _, c := range []struct {
		form   url.Values
		status int
		code   string
		text   string
	}{
		{set(entraForm(), "grant_type", ""), 400, "invalid_request", "AADSTS900144: "},
		{set(entraForm(), "grant_type", "password"), 400, "unsupported_grant_type", "AADSTS70003: "},
		{set(entraForm(), "client_id", ""), 400, "invalid_request", "'client_id'"},
		{set(entraForm(), "client_id", "other"), 400, "unauthorized_client", "AADSTS700016: "},
		{set(entraForm(), "client_secret", ""), 401, "invalid_client", "AADSTS7000218: "},
		{set(entraForm(), "client_secret", "wrong"), 401, "invalid_client", "AADSTS7000215: "},
		{set(entraForm(), "scope", ""), 400, "invalid_request", "'scope'"},
		{set(entraForm(), "scope", "http://org.example/user_impersonation"), 400, "invalid_scope", "AADSTS1002012: "},
		{set(entraForm(), "scope", "http://other.example/.default"), 400, "invalid_resource", "AADSTS500011: "},
		{set(entraForm(), "client_assertion", "x"), 400, "invalid_request", "client_assertion_type"},
	} {
		status, answer := askToken(t, entra, entraPath, c.form)
		text, _ := answer["error_description"].(string)
		if status != c.status || answer["error"] != c.code || !strings.Contains(text, c.text) || !strings.Contains(text, "Trace ID: ") {
			t.Errorf("%v: %d %v", c.form, status, answer)
		}
		if strings.Contains(text, "secret&") || strings.Contains(text, "wrong") {
			t.Errorf("the secret shows: %s", text)
		}
	}
	for _, c := range []struct {
		form url.Values
		code string
	}{
		{set(adfsForm(), "grant_type", "client_credentials"), "unsupported_grant_type"},
		{set(adfsForm(), "client_id", "other"), "invalid_client"},
		{adfsForm(), "invalid_client"}, // no client secret
		{set(set(adfsForm(), "client_secret", "cs"), "resource", "http://other.example/"), "invalid_resource"},
		{set(set(adfsForm(), "client_secret", "cs"), "password", "wrong"), "invalid_grant"},
		{set(set(adfsForm(), "client_secret", "cs"), "username", "someone"), "invalid_grant"},
	} {
		if status, answer := askToken(t, adfs, "/adfs/oauth2/token", c.form); status != 400 || answer["error"] != c.code {
			t.Errorf("%v: %d %v", c.form, status, answer)
		}
	}
	tokenOf(t, adfs, set(adfsForm(), "client_secret", "cs"))
	if a := sendURL(t, entra, "GET", "http://org.example"+entraPath, ""); a.status != 400 {
		t.Errorf("GET: %d", a.status)
	}
	if status, _ := askToken(t, entra, entraPath, set(entraForm(), "x", strings.Repeat("x", maxTokenForm))); status != 400 {
		t.Errorf("a huge form: %d", status)
	}
	if n := entra.AuthCounts(); n.Tokens != 0 || n.TokensRefused != 12 {
		t.Errorf("%+v", n)
	}
}

// registered is a certificate with its key.
type registered struct {
	key *rsa.PrivateKey
	der []byte
}

var makeCertificate = sync.OnceValue(func() registered {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, certificateTemplate(), certificateTemplate(), &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return registered{key, der}
})

func certificateTemplate() *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bridge"}, NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(1000 * time.Hour)}
}

func (r registered) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.der})
}

// assertion signs a good assertion, changed by change.
func (r registered) assertion(t testing.TB, method jwt.SigningMethod, key any, change func(header, claims map[string]any)) string {
	t.Helper()
	sum := sha256.Sum256(r.der)
	claims := jwt.MapClaims{"aud": "http://org.example" + entraPath, "iss": "app", "sub": "app", "jti": uuid.NewString(),
		"nbf": epoch.Unix(), "exp": epoch.Add(10 * time.Minute).Unix()}
	token := jwt.NewWithClaims(method, claims)
	token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	if change != nil {
		change(token.Header, claims)
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func assertionForm(text string) url.Values {
	f := entraForm()
	f.Del("client_secret")
	f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	f.Set("client_assertion", text)
	return f
}

func TestAnAssertionOfTheRegisteredCertificateGetsAToken(t *testing.T) {
	t.Parallel()
	cert := makeCertificate()
	s := newTestServer(t, Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", Certificate: cert.pem()}})
	one := sha1.Sum(cert.der)
	for name, text := range map[string]string{
		"PS256 with x5t#S256": cert.assertion(t, jwt.SigningMethodPS256, cert.key, nil),
		"RS256 with x5t": cert.assertion(t, jwt.SigningMethodRS256, cert.key, func(h, _ map[string]any) {
			delete(h, "x5t#S256")
			h["x5t"] = base64.RawURLEncoding.EncodeToString(one[:])
		}),
	} {
		token := tokenOf(t, s, assertionForm(text))
		send(t, s, "GET", "WhoAmI", "", "Authorization: Bearer "+token).want(t, 200, "")
		if status, answer := askToken(t, s, entraPath, assertionForm(text)); status != 401 || !strings.Contains(fmt.Sprint(answer), "AADSTS50013") {
			t.Errorf("%s: used twice: %d %v", name, status, answer)
		}
	}
	// A secret does not help where only a certificate is registered.
	if status, _ := askToken(t, s, entraPath, entraForm()); status != 401 {
		t.Errorf("secret: %d", status)
	}
}

func TestABadAssertionIsRefused(t *testing.T) {
	t.Parallel()
	cert := makeCertificate()
	s := newTestServer(t, Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", Certificate: cert.pem()}})
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) string {
		return cert.assertion(t, jwt.SigningMethodPS256, cert.key, func(_, c map[string]any) {
			c[name] = value
			if value == nil {
				delete(c, name)
			}
		})
	}
	head := func(name string, value any) string {
		return cert.assertion(t, jwt.SigningMethodPS256, cert.key, func(h, _ map[string]any) {
			h[name] = value
			if value == nil {
				delete(h, name)
			}
		})
	}
	for name, c := range map[string]struct {
		text   string
		number int
	}{
		"another key":          {cert.assertion(t, jwt.SigningMethodPS256, foreign, nil), 700027},
		"unsigned":             {cert.assertion(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), 700027},
		"HMAC with the public": {cert.assertion(t, jwt.SigningMethodHS256, cert.pem(), nil), 700027},
		"no thumbprint":        {head("x5t#S256", nil), 700027},
		"another thumbprint":   {head("x5t#S256", "AAAA"), 700027},
		"one of two wrong":     {head("x5t", "AAAA"), 700027},
		"ended":                {claim("exp", epoch.Add(-6*time.Minute).Unix()), 700024},
		"not yet":              {claim("nbf", epoch.Add(6*time.Minute).Unix()), 700024},
		"endless":              {claim("exp", epoch.Add(48*time.Hour).Unix()), 700024},
		"no end":               {claim("exp", nil), 50027},
		"another audience":     {claim("aud", "https://login.example/token"), 700023},
		"two audiences":        {claim("aud", []string{"http://org.example" + entraPath, "x"}), 700023},
		"another issuer":       {claim("iss", "other"), 700021},
		"another subject":      {claim("sub", "other"), 700021},
		"no id":                {claim("jti", nil), 50027},
		"not a token":          {"a.b.c", 50027},
	} {
		status, answer := askToken(t, s, entraPath, assertionForm(c.text))
		if status != 401 || answer["error"] != "invalid_client" || !strings.Contains(fmt.Sprint(answer["error_description"]), fmt.Sprintf("AADSTS%d:", c.number)) {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	if n := s.AuthCounts(); n.Tokens != 0 {
		t.Errorf("%+v", n)
	}
}

func TestACertificateWithoutAnRSAKeyIsNotRegistered(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, certificateTemplate(), certificateTemplate(), &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	if _, err := New(Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", Certificate: text.Bytes()}}); err == nil || !strings.Contains(err.Error(), "RSA") {
		t.Errorf("%v", err)
	}
}

func TestUsedAssertionsAreForgottenOnlyWhenTheyEnded(t *testing.T) {
	t.Parallel()
	a := &authState{seen: map[string]time.Time{}}
	for i := range maxAssertions {
		if !a.useAssertion(fmt.Sprint(i), epoch.Add(time.Minute), epoch) {
			t.Fatal(i)
		}
	}
	if a.useAssertion("more", epoch.Add(time.Minute), epoch) {
		t.Error("used beyond the bound")
	}
	if !a.useAssertion("more", epoch.Add(3*time.Minute), epoch.Add(2*time.Minute)) || len(a.seen) != 1 {
		t.Errorf("%d remembered", len(a.seen))
	}
}

// Whatever is posted, there is an answer of the token endpoint and no token.
func FuzzTokenRequest(f *testing.F) {
	cert := makeCertificate()
	s := newTestServer(f, Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "fuzz-secret", Certificate: cert.pem()}})
	f.Add(entraForm().Encode())
	f.Add(assertionForm(cert.assertion(f, jwt.SigningMethodHS256, []byte("x"), nil)).Encode())
	f.Add("grant_type=client_credentials&client_id=app&client_assertion=%%%")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "http://org.example"+entraPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 400 && w.Code != 401 || answer["error"] == nil {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
