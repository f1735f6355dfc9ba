package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	keepAlive        = 30 * time.Second
	// readBuffer is where the header and a short body are read.
	readBuffer = 4 << 10
	// readAhead is where a long body is read. Connections share such buffers, so that
	// many of them need little while they make writes.
	readAhead = 32 << 10
	// writeBuffer holds a whole small request, so that it leaves in one piece.
	writeBuffer = 4 << 10
)

// errHandshakeTimeout is a net.Error, like net/http's own.
var errHandshakeTimeout net.Error = handshakeTimeoutError{}

type handshakeTimeoutError struct{}

func (handshakeTimeoutError) Error() string {
	return "no TLS handshake within " + handshakeTimeout.String()
}
func (handshakeTimeoutError) Timeout() bool   { return true }
func (handshakeTimeoutError) Temporary() bool { return true }

// newHost makes the place for connections to u.
func newHost(key hostKey, u *url.URL, conf *tls.Config) (*host, error) {
	name, err := httpguts.PunycodeHostPort(u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("host name %q: %w", u.Hostname(), err)
	}
	h := &host{key: key}
	port := u.Port()
	switch u.Scheme {
	case "http":
		if port == "" {
			port = "80"
		}
	case "https":
		if port == "" {
			port = "443"
		}
		if h.tls = conf.Clone(); h.tls == nil {
			h.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if h.tls.ServerName == "" {
			h.tls.ServerName = name
		}
		h.tls.NextProtos = []string{"http/1.1"}
	default:
		return nil, fmt.Errorf("unsupported protocol scheme %q", u.Scheme)
	}
	h.address = net.JoinHostPort(name, port)
	return h, nil
}

// dial makes a connection in a place that h.open counts already.
func (p *Pool) dial(ctx context.Context, h *host) (*conn, error) {
	c, err := p.connect(ctx, h)
	if err == nil {
		return c, nil
	}
	p.free(h)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, err
}

func (p *Pool) connect(ctx context.Context, h *host) (*conn, error) {
	dial := p.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext
	}
	raw, err := dial(ctx, "tcp", h.address)
	if err != nil {
		return nil, err
	}
	c := &conn{pool: p, host: h, raw: raw, net: raw}
	if h.tls != nil {
		if err := c.handshake(ctx, h.tls); err != nil {
			_ = raw.Close()
			return nil, err
		}
	}
	c.probe = newProbe(raw)
	c.read = bufio.NewReaderSize((*wire)(c), readBuffer)
	c.write = bufio.NewWriterSize((*wire)(c), writeBuffer)
	c.onEnd = c.cut
	return c, nil
}

// handshake begins TLS.
func (c *conn) handshake(ctx context.Context, conf *tls.Config) error {
	limited, done := context.WithTimeoutCause(ctx, handshakeTimeout, errHandshakeTimeout)
	defer done()
	secure := tls.Client(c.raw, conf)
	if err := secure.HandshakeContext(limited); err != nil {
		if ctx.Err() == nil && errors.Is(context.Cause(limited), errHandshakeTimeout) {
			return errHandshakeTimeout
		}
		return err
	}
	state := secure.ConnectionState()
	c.net, c.tls = secure, &state
	return nil
}

// checkRequest refuses what net/http's transport refuses.
func checkRequest(req *http.Request) error {
	switch {
	case req.URL == nil:
		return errors.New("request without an address")
	case req.Header == nil:
		return errors.New("request without a header")
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return fmt.Errorf("unsupported protocol scheme %q", req.URL.Scheme)
	case req.URL.Host == "":
		return errors.New("no host in the request's address")
	case req.Method == http.MethodConnect:
		return errors.New("CONNECT is not offered here")
	case req.Method != "" && !httpguts.ValidHeaderFieldName(req.Method): // both are tokens
		return fmt.Errorf("invalid method %q", req.Method)
	}
	for _, header := range [2]http.Header{req.Header, req.Trailer} {
		for name, values := range header {
			if !httpguts.ValidHeaderFieldName(name) {
				return fmt.Errorf("invalid header field name %q", name)
			}
			for _, value := range values {
				if !httpguts.ValidHeaderFieldValue(value) { // which may be a secret
					return fmt.Errorf("invalid value of header field %q", name)
				}
			}
		}
	}
	return nil
}
