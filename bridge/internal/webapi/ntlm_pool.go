package webapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// warmAbove is the size of a body in bytes from which a small request first makes
	// sure that the connection still is there and logged in.
	warmAbove = 32 << 10
	// loginTries is how often a login begins anew because its connection broke.
	loginTries = 4
)

// ntlmPool is a transport whose connections log in by NTLM. Each request takes a
// slot, which is a transport with at most one HTTP/1.1 connection, and keeps it until
// its answer is read. A login is done with GET requests to a fixed address, so that
// the request itself travels on connections that are logged in only. If the server
// closes such a connection unseen and the request meets 401 on the next one, it is
// sent again after another login: 401 says that it was not carried out. A 401 on the
// very connection that is logged in is believed the second time.
type ntlmPool struct {
	auth  *NTLM
	cfg   Config
	probe string // address of the login's requests
	// scheme is what the server takes: NTLM, or Negotiate if it offers only that.
	scheme atomic.Pointer[string]

	mu   sync.Mutex
	idle []*ntlmSlot // the one used last is at the end, and is used first
}

// ntlmSlot is one connection at a time. It belongs to one request at a time.
type ntlmSlot struct {
	http *http.Transport
	// dialled counts connections; live is the number of the open one, 0 if none, in
	// that of the one that logged in.
	dialled, live atomic.Int64
	in            int64
}

// numberedConn tells its slot when it closes, so that a connection that the server
// ended while it was idle is not taken for a logged-in one.
type numberedConn struct {
	net.Conn
	slot   *ntlmSlot
	number int64
}

// Close implements net.Conn.
func (c *numberedConn) Close() error {
	c.slot.live.CompareAndSwap(c.number, 0)
	return c.Conn.Close()
}

func newNTLMPool(auth *NTLM, cfg Config, probe string) *ntlmPool {
	p := &ntlmPool{auth: auth, cfg: cfg, probe: probe}
	p.cfg.MaxInFlight = 1
	scheme := "NTLM"
	p.scheme.Store(&scheme)
	return p
}

func (p *ntlmPool) take() *ntlmSlot {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return s
	}
	s := &ntlmSlot{http: newTransport(p.cfg)}
	dial := s.http.DialContext
	s.http.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &numberedConn{Conn: conn, slot: s, number: s.dialled.Add(1)}
		s.live.Store(c.number)
		return c, nil
	}
	return s
}

func (p *ntlmPool) give(s *ntlmSlot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
}

// CloseIdleConnections closes the connections of slots that no request holds.
func (p *ntlmPool) CloseIdleConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		s.http.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (p *ntlmPool) RoundTrip(req *http.Request) (*http.Response, error) {
	s := p.take()
	resp, err := p.exchange(s, req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		p.give(s)
		return nil, err
	}
	resp.Body = &returningBody{ReadCloser: resp.Body, back: sync.OnceFunc(func() { p.give(s) })}
	return resp, nil
}

// returningBody gives the slot back when the answer was read.
type returningBody struct {
	io.ReadCloser
	back func()
}

// Close implements io.Closer.
func (b *returningBody) Close() error {
	err := b.ReadCloser.Close()
	b.back()
	return err
}

func (p *ntlmPool) exchange(s *ntlmSlot, req *http.Request) (*http.Response, error) {
	if !s.loggedIn() || req.ContentLength > warmAbove {
		if err := p.login(req.Context(), s); err != nil {
			notSent(req)
			return nil, err
		}
	}
	refused := 0
	for try := 1; ; try++ {
		in := s.in
		resp, err := s.http.RoundTrip(req)
		if err != nil && !closedBefore(err) || err == nil && resp.StatusCode != http.StatusUnauthorized {
			return s.ended(resp, err)
		}
		if err == nil && s.dialled.Load() == in {
			refused++ // by the server, on the connection that it had let in
		}
		again, ok := repeat(req)
		if !ok || refused == 2 || try == loginTries {
			return s.ended(resp, err)
		}
		if err == nil {
			discard(resp)
		}
		s.reset()
		if err := p.login(req.Context(), s); err != nil {
			return nil, err
		}
		req = again
	}
}

// ended notes that the server closes the connection after this answer.
func (s *ntlmSlot) ended(resp *http.Response, err error) (*http.Response, error) {
	if err != nil || resp.Close {
		s.in = 0
	}
	return resp, err
}

// closedBefore tells whether the server had closed the connection before the request
// was on it. net/http sends such a request again by itself only if its method is
// idempotent; it has no name for the error.
func closedBefore(err error) bool {
	return strings.Contains(err.Error(), "server closed idle connection")
}

// repeat makes the same request with its body from the beginning.
func repeat(req *http.Request) (*http.Request, bool) {
	again := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return again, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	again.Body = body
	return again, err == nil
}

func (s *ntlmSlot) loggedIn() bool {
	live := s.live.Load()
	return live != 0 && live == s.in
}

// reset forgets the connection: the next request dials.
func (s *ntlmSlot) reset() {
	s.http.CloseIdleConnections()
	s.in = 0
}

// notSent tells the caller's trace that the request itself found no connection.
func notSent(req *http.Request) {
	if t := httptrace.ContextClientTrace(req.Context()); t != nil && t.GetConn != nil {
		t.GetConn(req.URL.Host)
	}
}
