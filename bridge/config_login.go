package bridge

import (
	"net/url"
	"slices"
	"strings"

	"cebridge/bridge/internal/yamltree"
)

// The ways to log in to Customer Engagement.
const (
	AuthNone              = "none"
	AuthClientCredentials = "client_credentials" // Microsoft Entra
	AuthADFS              = "adfs"               // on-premises behind AD FS
	AuthNTLM              = "ntlm"               // on-premises, Windows authentication
)

// AuthConfig chooses how to log in. Method is one of the constants; each needs the
// fields named beside them, and no others may be set.
type AuthConfig struct {
	Method string
	// TokenURL, ClientID: client_credentials, adfs.
	TokenURL string
	ClientID string
	// ClientSecret: client_credentials, unless CertificateFile is set; adfs if the
	// client is a confidential one.
	ClientSecret Secret
	// CertificateFile and KeyFile are PEM files: client_credentials. The key may
	// stand in the certificate's file; then KeyFile is empty.
	CertificateFile string
	KeyFile         string
	// Scope: client_credentials; empty means <origin of the URL>/.default.
	Scope string
	// User, Password: adfs, ntlm.
	User     string
	Password Secret
	// Resource: adfs; empty means the organization's URL with a slash at the end.
	Resource string
}

// TLSConfig adds to what TLS does anyway: nothing below TLS 1.2 is spoken, and the
// other side's certificate is always checked.
type TLSConfig struct {
	// CAFile holds PEM certificates of authorities to trust beside the system's.
	CAFile string
	// CertFile and KeyFile are PEM files of a client certificate. They are read
	// again for every connection, so that they can be replaced.
	CertFile string
	KeyFile  string
}

// authFields are the fields of each method.
var authFields = map[string][]string{
	AuthNone:              nil,
	AuthClientCredentials: {"tenant", "token_url", "client_id", "client_secret", "certificate_file", "key_file", "scope"},
	AuthADFS:              {"token_url", "client_id", "client_secret", "user", "password", "resource"},
	AuthNTLM:              {"user", "password"},
}

func (r *reader) auth(m *yamltree.Map) {
	a := &r.cfg.WebAPI.Auth
	a.Method = m.Choice("method", AuthNone, AuthNone, AuthClientCredentials, AuthADFS, AuthNTLM)
	a.TokenURL = m.String("token_url", "")
	a.ClientID = m.String("client_id", "")
	a.ClientSecret = NewSecret(m.Secret("client_secret"))
	a.CertificateFile = m.String("certificate_file", "")
	a.KeyFile = m.String("key_file", "")
	a.Scope = m.String("scope", "")
	a.User = m.String("user", "")
	a.Password = NewSecret(m.Secret("password"))
	a.Resource = m.String("resource", "")
	tenant := m.String("tenant", "")
	m.Done()
	for _, name := range m.Names() {
		if name == "method" || slices.Contains(authFields[a.Method], name) || !slices.ContainsFunc(
			[]string{AuthClientCredentials, AuthADFS, AuthNTLM}, func(method string) bool { return slices.Contains(authFields[method], name) }) {
			continue
		}
		m.Note(name, "it has no meaning with method %s", a.Method)
	}
	require := func(name, text string) {
		if !m.Has(name) {
			m.Note(name, "required for %s%s", a.Method, text)
		}
	}
	switch a.Method {
	case AuthClientCredentials:
		if tenant != "" {
			if a.TokenURL != "" {
				m.Note("tenant", "give either tenant or token_url")
			}
			a.TokenURL = "https://login.microsoftonline.com/" + url.PathEscape(tenant) + "/oauth2/v2.0/token"
		}
		if a.TokenURL == "" {
			m.Note("tenant", "required: the tenant, or token_url")
		}
		require("client_id", "")
		switch {
		case !m.Has("client_secret") && !m.Has("certificate_file"):
			m.Note("client_secret", "required for client_credentials; write ${NAME} or ${file:/path}, or give a certificate_file")
		case m.Has("client_secret") && m.Has("certificate_file"):
			m.Note("certificate_file", "give either client_secret or certificate_file")
		case m.Has("key_file") && !m.Has("certificate_file"):
			m.Note("certificate_file", "required with key_file")
		}
	case AuthADFS:
		require("token_url", "; https://<server>/adfs/oauth2/token")
		require("client_id", "")
		require("user", "")
		require("password", "; write ${NAME} or ${file:/path}")
	case AuthNTLM:
		require("user", `; DOMAIN\name or name@domain`)
		require("password", "; write ${NAME} or ${file:/path}")
	}
	if a.TokenURL != "" {
		if text := checkTokenURL(a.TokenURL); text != "" {
			m.Note("token_url", "%s", text)
		}
	}
}

// checkTokenURL returns what is wrong with the address of a token endpoint, or "".
func checkTokenURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "":
		return "give the https address of the token endpoint"
	case u.User != nil:
		return "the URL must not hold a user name or password"
	case u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1":
		return "the secret would travel unprotected; use https (http only on this machine)"
	}
	return ""
}

func (r *reader) tls(m *yamltree.Map) TLSConfig {
	c := TLSConfig{CAFile: m.String("ca_file", ""), CertFile: m.String("cert_file", ""), KeyFile: m.String("key_file", "")}
	if (c.CertFile == "") != (c.KeyFile == "") {
		m.Note("key_file", "give cert_file and key_file together")
	}
	m.Done()
	return c
}

// proxy reads a proxy's address, or "environment". Without either none is used, also
// if the environment names one: where credentials go is said in the file.
func (r *reader) proxy(m *yamltree.Map) string {
	s := m.String("proxy", "")
	if s == "" || s == "environment" {
		return s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		m.Note("proxy", "write http://host:port, or environment for HTTPS_PROXY and friends")
	} else if u.User != nil {
		m.Note("proxy", "the URL must not hold a user name or password")
	}
	return s
}

// natsLogin reads how to log in to NATS.
func (r *reader) natsLogin(m *yamltree.Map) {
	c := &r.cfg.NATS
	c.CredentialsFile = m.String("credentials_file", "")
	c.NKeyFile = m.String("nkey_file", "")
	c.User = m.String("user", "")
	c.Password = NewSecret(m.Secret("password"))
	c.Token = NewSecret(m.Secret("token"))
	c.InboxPrefix = m.String("inbox_prefix", c.InboxPrefix)
	if text := checkFilter(c.InboxPrefix); text != "" || strings.ContainsAny(c.InboxPrefix, "*>") {
		m.Note("inbox_prefix", "%q is not a subject without wildcards", c.InboxPrefix)
	}
	if m.Has("tls") {
		c.TLS = r.tls(m.Map("tls"))
	}
	var given []string
	for _, name := range []string{"credentials_file", "nkey_file", "user", "token"} {
		if m.Has(name) {
			given = append(given, name)
		}
	}
	if len(given) > 1 {
		m.Note(given[1], "give one way to log in: %s", strings.Join(given, " or "))
	}
	if m.Has("user") != m.Has("password") {
		m.Note("password", "give user and password together")
	}
	if c.Embedded != nil && (len(given) > 0 || m.Has("tls")) {
		m.Note("embedded", "the embedded server takes no login and no TLS")
	}
}
