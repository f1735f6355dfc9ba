package bridge

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/metric"

	"cebridge/bridge/internal/webapi"
)

// login makes what adds credentials to requests, nil for none. It reads certificates
// and sends nothing.
func (w WebAPIConfig) login(meter metric.Meter) (webapi.Authenticator, error) {
	conf, err := w.TLS.build()
	if err != nil {
		return nil, err
	}
	proxy, fromEnvironment := w.proxy()
	a := w.Auth
	endpoint := webapi.TokenEndpoint{TokenURL: a.TokenURL, TLS: conf, ProxyURL: proxy, ProxyFromEnvironment: fromEnvironment, Meter: meter}
	switch a.Method {
	case "", AuthNone:
		return nil, nil
	case AuthClientCredentials:
		return webapi.NewClientCredentials(webapi.ClientCredentialsConfig{
			TokenEndpoint: endpoint, ClientID: a.ClientID, ClientSecret: a.ClientSecret.Text(),
			CertificateFile: a.CertificateFile, KeyFile: a.KeyFile, Scope: a.Scope, URL: w.URL,
		})
	case AuthADFS:
		resource := a.Resource
		if resource == "" {
			resource = strings.TrimRight(w.URL, "/") + "/"
		}
		return webapi.NewADFS(webapi.ADFSConfig{
			TokenEndpoint: endpoint, ClientID: a.ClientID, ClientSecret: a.ClientSecret.Text(),
			User: a.User, Password: a.Password.Text(), Resource: resource,
		})
	case AuthNTLM:
		return webapi.NewNTLM(webapi.NTLMConfig{User: a.User, Password: a.Password.Text()})
	}
	return nil, fmt.Errorf("auth method %q: use %s, %s, %s or %s", a.Method, AuthNone, AuthClientCredentials, AuthADFS, AuthNTLM)
}

// proxy is the address of the proxy, or whether to ask the environment.
func (w WebAPIConfig) proxy() (u *url.URL, fromEnvironment bool) {
	switch w.Proxy {
	case "":
		return nil, false
	case "environment":
		return nil, true
	}
	u, err := url.Parse(w.Proxy)
	if err != nil {
		return &url.URL{}, false // refused with the first request, never gone around
	}
	return u, false
}

// build reads the files. nil means that nothing was configured.
func (c TLSConfig) build() (*tls.Config, error) {
	if c == (TLSConfig{}) {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificates of authorities: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // the system has none
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("certificates of authorities: %s holds no PEM certificate", c.CAFile)
		}
		conf.RootCAs = pool
	}
	if c.CertFile != "" {
		// What cannot be read is told now rather than by the first handshake.
		last, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			// Files that are being replaced may not fit together for a moment.
			if fresh, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err == nil {
				return &fresh, nil
			}
			return &last, nil
		}
	}
	return conf, nil
}
