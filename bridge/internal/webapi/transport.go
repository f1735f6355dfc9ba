package webapi

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"cebridge/bridge/internal/http1"
)

// maxHeaderBytes bounds the header of an answer.
const maxHeaderBytes = 256 << 10

// transportFor chooses what carries the requests.
func transportFor(cfg Config, r root) (http.RoundTripper, error) {
	if login, ok := cfg.Auth.(*NTLM); ok {
		if cfg.Transport != nil {
			return nil, errors.New("web api: NTLM logs connections in and needs its own; leave out the transport")
		}
		if cfg.HTTP2 {
			return nil, errors.New("web api: NTLM logs connections in and HTTP/2 shares them; switch HTTP/2 off")
		}
		return newNTLMPool(login, cfg, r.origin()+r.path+"WhoAmI"), nil
	}
	if cfg.Transport != nil {
		return cfg.Transport, nil
	}
	if http1.Supported && !cfg.HTTP2 && !proxied(cfg, r) {
		return newPool(cfg), nil
	}
	return newTransport(cfg), nil
}

// proxied tells whether a proxy stands before the organization, or may.
func proxied(cfg Config, r root) bool {
	if cfg.ProxyURL != nil {
		return true
	}
	if !cfg.ProxyFromEnvironment {
		return false
	}
	req, err := http.NewRequest(http.MethodGet, r.origin()+r.path, nil)
	if err != nil {
		return true
	}
	proxy, err := http.ProxyFromEnvironment(req)
	return proxy != nil || err != nil // each request will say what is wrong
}

// newPool makes the connections of requests that go to the server without a proxy and
// over HTTP/1.1, as nearly all do.
func newPool(cfg Config) *http1.Pool {
	return &http1.Pool{TLS: tlsConfig(cfg), MaxConns: cfg.MaxInFlight, MaxHeaderBytes: maxHeaderBytes}
}

// tlsConfig is the configured one, hardened.
func tlsConfig(cfg Config) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		conf = cfg.TLS.Clone()
		conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	}
	return conf
}

// newTransport makes the connections of all others. HTTP/2 is left out unless asked for: the
// service counts its limits per web server and spreads connections over servers,
// so that one connection for all requests would reach one server only.
func newTransport(cfg Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.HTTP2)
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        tlsConfig(cfg),
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxConnsPerHost:        cfg.MaxInFlight,
		MaxIdleConnsPerHost:    cfg.MaxInFlight,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ReadBufferSize:         32 << 10,
		WriteBufferSize:        8 << 10,
		Protocols:              protocols,
	}
	switch {
	case cfg.ProxyURL != nil:
		t.Proxy = http.ProxyURL(cfg.ProxyURL)
	case cfg.ProxyFromEnvironment:
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// newHTTPClient never follows a redirect: the caller sees the 3xx itself.
func newHTTPClient(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
