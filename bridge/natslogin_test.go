package bridge_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

const natsSecret = "nats-canary-5521"

// runNATS runs a server with JetStream as an operator might have configured it.
func runNATS(t *testing.T, configure func(*server.Options)) string {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true}
	configure(o)
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

func file(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// must returns v, for calls that fail only if the test is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	return &authority{must(x509.ParseCertificate(der)), key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue makes a certificate for this machine, as server and client.
func (a *authority) issue() (cert, key []byte) {
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))})
}

// operator is a server run by JWTs, with one account and one user of it.
func operator(t *testing.T) (configure func(*server.Options), credentials string) {
	t.Helper()
	op, account, system, user := must(nkeys.CreateOperator()), must(nkeys.CreateAccount()), must(nkeys.CreateAccount()), must(nkeys.CreateUser())
	public := func(k nkeys.KeyPair) string { return must(k.PublicKey()) }
	oc := jwt.NewOperatorClaims(public(op))
	oc.SystemAccount = public(system)
	operatorJWT := must(oc.Encode(op))
	ac := jwt.NewAccountClaims(public(account))
	ac.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	sc := jwt.NewAccountClaims(public(system))
	resolver := &server.MemAccResolver{}
	for _, c := range []*jwt.AccountClaims{ac, sc} {
		if err := resolver.Store(c.Subject, must(c.Encode(op))); err != nil {
			t.Fatal(err)
		}
	}
	userJWT := must(jwt.NewUserClaims(public(user)).Encode(account))
	creds := must(jwt.FormatUserConfig(userJWT, must(user.Seed())))
	return func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{must(jwt.DecodeOperatorClaims(operatorJWT))}
		o.AccountResolver, o.SystemAccount = resolver, public(system)
	}, file(t, "bridge.creds", creds)
}

// Every way to log in is proven by a bridge that provides its streams and publishes
// through a server which lets nobody else in.
func TestABridgeLogsInToItsServerInEveryWay(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_BROKER", natsSecret)
	secret := `"${CEBRIDGE_TEST_BROKER}"`
	user := must(nkeys.CreateUser())
	ca := newAuthority()
	cert, key := ca.issue()
	clientCert, clientKey := ca.issue()
	pair := must(tls.X509KeyPair(cert, key))
	byJWT, credentials := operator(t)
	caFile := file(t, "ca.pem", ca.pem)
	for name, c := range map[string]struct {
		server func(*server.Options)
		login  string
		tls    bool
	}{
		"user and password": {func(o *server.Options) { o.Username, o.Password = "bridge", natsSecret }, "user: bridge, password: " + secret, false},
		"token":             {func(o *server.Options) { o.Authorization = natsSecret }, "token: " + secret, false},
		"nkey": {func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: must(user.PublicKey())}} },
			"nkey_file: " + file(t, "bridge.nk", must(user.Seed())), false},
		"credentials file": {byJWT, "credentials_file: " + credentials, false},
		"TLS, own authority": {func(o *server.Options) {
			o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{pair}}
		}, "tls: {ca_file: " + caFile + "}", true},
		"TLS, client certificate": {func(o *server.Options) {
			o.TLS, o.TLSVerify = true, true
			o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: ca.pool(), ClientAuth: tls.RequireAndVerifyClientCert}
		}, "tls: {ca_file: " + caFile + ", cert_file: " + file(t, "c.pem", clientCert) + ", key_file: " + file(t, "k.pem", clientKey) + "}", true},
		"inbox prefix": {func(o *server.Options) {
			o.Users = []*server.User{{Username: "bridge", Password: natsSecret, Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"$JS.>", "crm.>", "crm-state.>", "crm-notice.>", "crm-dead.>", "crm-parked.>"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_bridge.>"}},
			}}}
		}, "user: bridge, inbox_prefix: _INBOX_bridge, password: " + secret, false},
	} {
		t.Run(name, func(t *testing.T) {
			url := runNATS(t, c.server)
			if c.tls {
				url = strings.Replace(url, "nats://", "tls://", 1)
			}
			crm, address := newSim(t, sim.Options{})
			insert(t, crm, "account", map[string]any{"name": "Contoso"})
			text := func(login string) string {
				return "org: contoso\nwebapi: {url: SIM}\nnats: {urls: [\"NATS\"]" + login + "}\n" + followAccounts
			}
			b := must(bridge.New(parse(t, text(", "+c.login), address, url)))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := b.Start(ctx); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for b.Status().Tables[0].Events["loaded"] == 0 {
				select {
				case <-tick.C:
				case <-ctx.Done():
					t.Fatalf("nothing was published: %+v", b.Status().Tables[0])
				}
			}
			// Without the login there is no way in.
			without := must(bridge.New(parse(t, text(""), address, url)))
			short, stop := context.WithTimeout(t.Context(), 2*time.Second)
			defer stop()
			err := without.Start(short)
			if err == nil {
				_ = without.Stop(context.Background())
				t.Error("a bridge without the login was let in")
			} else if strings.Contains(err.Error(), natsSecret) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}
