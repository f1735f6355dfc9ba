package webapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cebridge/bridge/sim"

	"github.com/golang-jwt/jwt/v5"
)

func TestAKeyIsReadInEveryUsualForm(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PRIVATE KEY", "RSA PRIVATE KEY"} {
		files, cert := writeCertificate(t, t.TempDir(), kind, 0)
		if _, err := files.load(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		key, err := os.ReadFile(files.key)
		if err != nil {
			t.Fatal(err)
		}
		both := filepath.Join(t.TempDir(), "both.pem")
		write(t, both, append(key, cert...))
		if _, err := (certificateFiles{certificate: both}).load(); err != nil {
			t.Errorf("%s and certificate in one file: %v", kind, err)
		}
	}
}

func TestACertificateThatCannotServeIsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, _ := writeCertificate(t, dir, "PRIVATE KEY", 0)
	other, _ := writeCertificate(t, t.TempDir(), "PRIVATE KEY", 1)
	file := func(name string, blocks ...*pem.Block) string {
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		write(t, filepath.Join(dir, name), text)
		return filepath.Join(dir, name)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("canary-key-bytes")
	for name, c := range map[string]struct {
		files certificateFiles
		want  string
	}{
		"no file":          {certificateFiles{certificate: filepath.Join(dir, "none")}, "no such file"},
		"no certificate":   {certificateFiles{certificate: good.key}, "no PEM block CERTIFICATE"},
		"no key":           {certificateFiles{certificate: good.certificate}, "no PEM block PRIVATE KEY"},
		"broken":           {certificateFiles{certificate: file("broken.pem", &pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})}, "broken.pem"},
		"another key":      {certificateFiles{good.certificate, other.key}, "not the one of the certificate"},
		"an elliptic key":  {certificateFiles{good.certificate, file("ec.pem", &pem.Block{Type: "PRIVATE KEY", Bytes: raw})}, "not RSA"},
		"an encrypted key": {certificateFiles{good.certificate, file("enc.pem", &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: secret})}, "encrypted"},
		"an old encrypted": {certificateFiles{good.certificate, file("old.pem", &pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: secret})}, "encrypted"},
		"a spoiled key":    {certificateFiles{good.certificate, file("bad.pem", &pem.Block{Type: "PRIVATE KEY", Bytes: secret})}, "cannot be read"},
	} {
		_, err := c.files.load()
		wantText(t, err, c.want)
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the key shows: %v", name, err)
		}
	}
}

func TestAnAssertionHoldsWhatTheProviderAsksFor(t *testing.T) {
	t.Parallel()
	files, _ := writeCertificate(t, t.TempDir(), "PRIVATE KEY", 0)
	s, err := files.load()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	seen := map[string]bool{}
	for range 3 {
		text, err := s.assertion("app", "https://login.example/token", now)
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.RegisteredClaims
		token, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return s.cert.PublicKey, nil }, jwt.WithValidMethods([]string{"PS256"}))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(s.cert.Raw)
		if token.Header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
			t.Errorf("header %v", token.Header)
		}
		if claims.Issuer != "app" || claims.Subject != "app" || len(claims.Audience) != 1 || claims.Audience[0] != "https://login.example/token" ||
			!claims.ExpiresAt.Equal(now.Add(10*time.Minute)) || !claims.NotBefore.Equal(now) || seen[claims.ID] || claims.ID == "" {
			t.Errorf("%+v", claims)
		}
		seen[claims.ID] = true
	}
}

func TestAReplacedCertificateServesTheNextToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, _ := writeCertificate(t, dir, "PRIVATE KEY", 0)
	_, next := writeCertificate(t, t.TempDir(), "PRIVATE KEY", 1)
	s := newAuthServer(t, sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", Certificate: next}, nil)
	auth, err := NewClientCredentials(ClientCredentialsConfig{
		TokenEndpoint: TokenEndpoint{TokenURL: s.url + "/contoso.example/oauth2/v2.0/token"},
		ClientID:      "app", CertificateFile: files.certificate, KeyFile: files.key, URL: s.url,
	})
	c := s.client(t, auth, err)
	if _, err := c.WhoAmI(t.Context()); err == nil || !strings.Contains(err.Error(), "AADSTS700027") {
		t.Fatalf("the old certificate: %v", err)
	}
	// The files are replaced while it runs.
	write(t, files.certificate, next)
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKeys[1]())})
	write(t, files.key, key)
	renewNow(auth)
	if _, err := c.WhoAmI(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Half replaced: the last pair that fitted goes on serving.
	write(t, files.key, []byte("in between"))
	auth.age(time.Minute)
	s.RevokeTokens()
	if _, err := c.WhoAmI(t.Context()); err != nil {
		t.Errorf("while the files do not fit: %v", err)
	}
}

// renewNow ends the pause after a failed renewal.
func renewNow(a *ClientCredentials) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.retryAt = time.Now()
}
