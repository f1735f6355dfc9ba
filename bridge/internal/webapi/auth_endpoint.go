package webapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// TokenEndpoint says where tokens are issued and how to get there.
type TokenEndpoint struct {
	// TokenURL must be https, except on the machine itself:
	// https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token, or
	// https://<server>/adfs/oauth2/token.
	TokenURL string
	// AllowHTTP permits a TokenURL without TLS elsewhere: a simulator in another
	// container.
	AllowHTTP bool
	// Timeout bounds one request to the token endpoint; default 30 s.
	Timeout time.Duration
	// TLS, ProxyURL and ProxyFromEnvironment are those of Config; a client
	// certificate in TLS is not shown to the endpoint.
	TLS                  *tls.Config
	ProxyURL             *url.URL
	ProxyFromEnvironment bool
	// Transport replaces the own transport.
	Transport http.RoundTripper
	// Meter, if not nil, shows the seconds until the token ends.
	Meter metric.Meter
}

// check refuses addresses to which no secret may go.
func (e TokenEndpoint) check() error {
	u, err := url.Parse(e.TokenURL)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http"):
		return errors.New("token URL: give the https address of the token endpoint")
	case u.Scheme == "http" && !e.AllowHTTP && !isLoopback(u.Hostname()):
		return errors.New("token URL: the client secret would travel unprotected; use https")
	}
	return nil
}

// newLogin makes a login without its ask function.
func (e TokenEndpoint) newLogin(known ...string) (*tokenLogin, error) {
	transport := e.Transport
	if transport == nil {
		conf := e.TLS
		if conf != nil {
			conf = conf.Clone()
			conf.Certificates, conf.GetClientCertificate = nil, nil
		}
		transport = newTransport(Config{MaxInFlight: 2, TLS: conf, ProxyURL: e.ProxyURL, ProxyFromEnvironment: e.ProxyFromEnvironment})
	}
	a := &tokenLogin{known: known, http: newHTTPClient(transport), timeout: e.Timeout}
	if a.timeout <= 0 {
		a.timeout = 30 * time.Second
	}
	if e.Meter != nil {
		if err := a.measure(e.Meter); err != nil {
			return nil, fmt.Errorf("token metrics: %w", err)
		}
	}
	return a, nil
}
