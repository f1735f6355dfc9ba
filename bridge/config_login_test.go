package bridge

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
)

// loginProblems parses a configuration with that auth section and returns what is
// wrong below the given path.
func loginProblems(t *testing.T, webapi, nats string) []string {
	t.Helper()
	t.Setenv("CEBRIDGE_TEST_SECRET", "s3cret")
	_, err := ParseConfig("c.yaml", []byte("org: contoso\nwebapi: {url: https://crm.contoso.example/CONTOSO, "+webapi+"}\nnats: {"+nats+"}\n"+
		"outbound: {type_prefix: com.contoso, tables: {account: {columns: [name]}}}\n"))
	var ps schema.Problems
	if err != nil && !errors.As(err, &ps) {
		t.Fatal(err)
	}
	var texts []string
	for _, p := range ps {
		texts = append(texts, p.Field+": "+p.Text)
	}
	return texts
}

const (
	someNATS = `urls: ["nats://a:4222"]`
	aSecret  = `"${CEBRIDGE_TEST_SECRET}"`
)

func TestEveryLoginNeedsItsFieldsAndTakesNoOthers(t *testing.T) {
	for auth, want := range map[string]string{
		`method: none`: "",
		`method: client_credentials, tenant: contoso, client_id: a, client_secret: ` + aSecret:                                               "",
		`method: client_credentials, tenant: contoso, client_id: a, certificate_file: /c.pem, key_file: /k.pem`:                              "",
		`method: client_credentials, tenant: contoso, client_id: a, certificate_file: /c.pem`:                                                "",
		`method: adfs, token_url: https://fs.contoso.example/adfs/oauth2/token, client_id: a, user: u@contoso.example, password: ` + aSecret: "",
		`method: ntlm, user: 'CONTOSO\crm', password: ` + aSecret:                                                                            "",

		`method: kerberos`: `method: "kerberos" is not one of none, client_credentials, adfs, ntlm`,
		`method: client_credentials, client_id: a, client_secret: ` + aSecret:                                           "tenant: required: the tenant, or token_url",
		`method: client_credentials, tenant: contoso, client_secret: ` + aSecret:                                        "client_id: required for client_credentials",
		`method: client_credentials, tenant: contoso, client_id: a`:                                                     "client_secret: required for client_credentials; write ${NAME} or ${file:/path}, or give a certificate_file",
		`method: client_credentials, tenant: contoso, client_id: a, client_secret: plain`:                               "client_secret: a secret must not stand in the file; write ${NAME} or ${file:/path}",
		`method: client_credentials, tenant: c, client_id: a, certificate_file: /c, client_secret: ` + aSecret:          "certificate_file: give either client_secret or certificate_file",
		`method: client_credentials, tenant: c, client_id: a, key_file: /k, client_secret: ` + aSecret:                  "certificate_file: required with key_file",
		`method: client_credentials, tenant: c, client_id: a, user: u, client_secret: ` + aSecret:                       "user: it has no meaning with method client_credentials",
		`method: client_credentials, token_url: "http://login.example/t", client_id: a, client_secret: ` + aSecret:      "token_url: the secret would travel unprotected; use https (http only on this machine)",
		`method: client_credentials, token_url: "https://u:p@login.example/t", client_id: a, client_secret: ` + aSecret: "token_url: the URL must not hold a user name or password",
		`method: adfs, client_id: a, user: u, password: ` + aSecret:                                                     "token_url: required for adfs; https://<server>/adfs/oauth2/token",
		`method: adfs, token_url: "https://fs/t", user: u, password: ` + aSecret:                                        "client_id: required for adfs",
		`method: ntlm, password: ` + aSecret:                                                                            `user: required for ntlm; DOMAIN\name or name@domain`,
		`method: ntlm, user: u`:                                                                                         "password: required for ntlm; write ${NAME} or ${file:/path}",
		`method: ntlm, user: u, password: "hunter2"`:                                                                    "password: a secret must not stand in the file; write ${NAME} or ${file:/path}",
		`method: ntlm, user: u, client_id: a, password: ` + aSecret:                                                     "client_id: it has no meaning with method ntlm",
		`method: none, tenant: contoso`:                                                                                 "tenant: it has no meaning with method none",
		`method: ntlm, user: u, pasword: x, password: ` + aSecret:                                                       "pasword: unknown field; did you mean password?",
	} {
		var list []string
		if want != "" {
			list = []string{"webapi.auth." + want}
		}
		if diff := cmp.Diff(list, loginProblems(t, "auth: {"+auth+"}", someNATS)); diff != "" {
			t.Errorf("%s:\n%s", auth, diff)
		}
	}
}

func TestTLSAndProxyAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		`tls: {ca_file: /ca.pem}`:                      "",
		`tls: {cert_file: /c.pem, key_file: /k.pem}`:   "",
		`proxy: environment`:                           "",
		`proxy: "http://proxy:3128"`:                   "",
		`tls: {cert_file: /c.pem}`:                     "webapi.tls.key_file: give cert_file and key_file together",
		`tls: {insecure_skip_verify: true}`:            "webapi.tls.insecure_skip_verify: unknown field",
		`proxy: "http://u:p@proxy:3128"`:               "webapi.proxy: the URL must not hold a user name or password",
		`proxy: "socks5://proxy"`:                      "webapi.proxy: write http://host:port, or environment for HTTPS_PROXY and friends",
		`proxy: "proxy:3128"`:                          "webapi.proxy: write http://host:port, or environment for HTTPS_PROXY and friends",
		`tls: {ca_file: /ca.pem}, proxy: "http://p/x"`: "webapi.proxy: write http://host:port, or environment for HTTPS_PROXY and friends",
	} {
		var list []string
		if want != "" {
			list = []string{want}
		}
		if diff := cmp.Diff(list, loginProblems(t, text, someNATS)); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}

func TestNATSTakesOneLogin(t *testing.T) {
	for text, want := range map[string]string{
		someNATS + `, credentials_file: /a.creds`:                     "",
		someNATS + `, nkey_file: /a.nk, tls: {ca_file: /ca.pem}`:      "",
		someNATS + `, user: u, password: ` + aSecret:                  "",
		someNATS + `, token: ` + aSecret + `, inbox_prefix: _INBOX_b`: "",
		someNATS + `, token: plain`:                                   "nats.token: a secret must not stand in the file; write ${NAME} or ${file:/path}",
		someNATS + `, user: u`:                                        "nats.password: give user and password together",
		someNATS + `, nkey_file: /a.nk, token: ` + aSecret:            "nats.token: give one way to log in: nkey_file or token",
		someNATS + `, inbox_prefix: "a.>"`:                            `nats.inbox_prefix: "a.>" is not a subject without wildcards`,
		someNATS + `, tls: {key_file: /k.pem}`:                        "nats.tls.key_file: give cert_file and key_file together",
		`embedded: {port: -1}, token: ` + aSecret:                     "nats.embedded: the embedded server takes no login and no TLS",
		`embedded: {port: -1}, tls: {ca_file: /ca.pem}`:               "nats.embedded: the embedded server takes no login and no TLS",
		`embedded: {port: -1}, inbox_prefix: _INBOX_bridge`:           "",
		`urls: ["nats://u:p@a:4222"]`:                                 "nats.urls: every server is written as nats://host:port or tls://host:port, without a user",
	} {
		var list []string
		if want != "" {
			list = []string{want}
		}
		if diff := cmp.Diff(list, loginProblems(t, "max_in_flight: 5", text)); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}

func TestFilesThatCannotServeAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []TLSConfig{{CAFile: "/nonexistent/ca.pem"}, {CertFile: "/nonexistent/c.pem", KeyFile: "/nonexistent/k.pem"}} {
		if _, err := c.build(); err == nil || !strings.Contains(err.Error(), "/nonexistent/") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := (TLSConfig{CAFile: "config_login_test.go"}).build(); err == nil || !strings.Contains(err.Error(), "holds no PEM certificate") {
		t.Errorf("%v", err)
	}
	if conf, err := (TLSConfig{}).build(); conf != nil || err != nil {
		t.Errorf("%v, %v", conf, err)
	}
	for _, w := range []WebAPIConfig{
		{URL: "https://crm.example", Auth: AuthConfig{Method: "kerberos"}},
		{URL: "https://crm.example", Auth: AuthConfig{Method: AuthNTLM}},
		{URL: "https://crm.example", Auth: AuthConfig{Method: AuthADFS, TokenURL: "http://fs.example/t", ClientID: "a", User: "u", Password: NewSecret("p")}},
		{URL: "https://crm.example", Auth: AuthConfig{Method: AuthClientCredentials, TokenURL: "https://login.example", ClientID: "a", CertificateFile: "/nonexistent/c.pem"}},
	} {
		if _, err := w.login(nil); err == nil {
			t.Errorf("%+v was accepted", w.Auth)
		}
	}
}
