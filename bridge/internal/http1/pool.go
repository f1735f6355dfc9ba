package http1

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// The defaults of a Pool's fields.
const (
	DefaultMaxConns       = 64
	DefaultIdleTimeout    = 90 * time.Second
	DefaultMaxHeaderBytes = 256 << 10
)

// Pool is an http.RoundTripper for HTTP/1.1 with connections of its own. Its fields are
// set before the first request; zero means the defaults. It is safe for use by many
// goroutines.
type Pool struct {
	// Dial makes a connection; nil means TCP, within 10 seconds, with keep-alive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is used for https. ServerName and NextProtos are filled in a copy.
	TLS *tls.Config
	// MaxConns bounds the connections of one scheme and host, those being made included.
	MaxConns int
	// IdleTimeout is how long a connection without a request is kept.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds the header of an answer, 1xx answers before it included.
	MaxHeaderBytes int64

	mu    sync.Mutex
	hosts map[hostKey]*host
	timer *time.Timer // of sweep; nil until a connection was idle
	armed bool        // timer will fire
}

var _ http.RoundTripper = (*Pool)(nil)

type hostKey struct{ scheme, host string }

// host is where connections of one scheme and host are kept. It exists while there is a
// connection to it.
type host struct {
	key     hostKey
	address string      // to dial
	tls     *tls.Config // nil for http
	// What follows is guarded by Pool.mu.
	idle    []*conn // longest idle first
	open    int     // connections, idle and being made included
	waiting []*waiter
}

// waiter is a request that waits for a connection.
type waiter struct {
	// turn takes one value: a connection, or nil for the leave to make one.
	turn chan *conn
}

// get returns a connection that is alive as far as can be seen.
func (p *Pool) get(ctx context.Context, u *url.URL) (*conn, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.mu.Lock()
		h, err := p.hostLocked(u)
		if err != nil {
			p.mu.Unlock()
			return nil, err
		}
		var c *conn
		var w *waiter
		switch n := len(h.idle); {
		case n > 0:
			c = h.idle[n-1]
			h.idle[n-1] = nil
			h.idle = h.idle[:n-1]
		case h.open < cmp.Or(p.MaxConns, DefaultMaxConns):
			h.open++
		default:
			w = &waiter{turn: make(chan *conn, 1)}
			h.waiting = append(h.waiting, w)
		}
		p.mu.Unlock()
		if w != nil {
			if c, err = p.wait(ctx, h, w); err != nil {
				return nil, err
			}
		}
		if c == nil {
			return p.dial(ctx, h)
		}
		if c.quiet() {
			return c, nil
		}
		p.drop(c)
	}
}

// hostLocked finds or makes the place for connections to u.
func (p *Pool) hostLocked(u *url.URL) (*host, error) {
	key := hostKey{u.Scheme, u.Host}
	if h := p.hosts[key]; h != nil {
		return h, nil
	}
	h, err := newHost(key, u, p.TLS)
	if err != nil {
		return nil, err
	}
	if p.hosts == nil {
		p.hosts = make(map[hostKey]*host, 1)
	}
	p.hosts[key] = h
	return h, nil
}

// wait waits for the turn of w.
func (p *Pool) wait(ctx context.Context, h *host, w *waiter) (*conn, error) {
	select {
	case c := <-w.turn:
		return c, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(h.waiting, w)
	if i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // the turn came at the same time: the next one has it
		if c := <-w.turn; c != nil {
			p.put(c)
		} else {
			p.free(h)
		}
	}
	return nil, context.Cause(ctx)
}

// put takes a connection back whose exchange is over, for reuse.
func (p *Pool) put(c *conn) {
	c.reused = true
	p.mu.Lock()
	defer p.mu.Unlock()
	h := c.host
	if len(h.waiting) > 0 {
		h.next() <- c
		return
	}
	c.idleSince = time.Now()
	h.idle = append(h.idle, c)
	if p.armed {
		return
	}
	p.armed = true
	p.arm(cmp.Or(p.IdleTimeout, DefaultIdleTimeout))
}

// next takes the first waiter from the queue. Its channel has room.
func (h *host) next() chan<- *conn {
	w := h.waiting[0]
	h.waiting[0] = nil
	h.waiting = h.waiting[1:]
	return w.turn
}

// drop closes a connection and gives its place to who waits.
func (p *Pool) drop(c *conn) {
	c.cut()
	p.free(c.host)
}

// free gives up the place of a connection.
func (p *Pool) free(h *host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(h.waiting) > 0 {
		h.next() <- nil
		return
	}
	p.goneLocked(h, 1)
}

// goneLocked counts n connections of h off.
func (p *Pool) goneLocked(h *host, n int) {
	if h.open -= n; h.open == 0 && p.hosts[h.key] == h {
		delete(p.hosts, h.key)
	}
}

// arm sets the timer. Pool.mu is held.
func (p *Pool) arm(d time.Duration) {
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.sweep)
		return
	}
	p.timer.Reset(d)
}

// sweep closes what was idle for too long. It comes again while something is idle.
func (p *Pool) sweep() {
	limit := cmp.Or(p.IdleTimeout, DefaultIdleTimeout)
	p.mu.Lock()
	now := time.Now()
	var old []*conn
	var next time.Duration
	for _, h := range p.hosts {
		n := 0
		for n < len(h.idle) && now.Sub(h.idle[n].idleSince) >= limit {
			n++
		}
		old = append(old, h.idle[:n]...)
		h.idle = slices.Delete(h.idle, 0, n)
		if len(h.idle) > 0 {
			left := limit - now.Sub(h.idle[0].idleSince)
			if next == 0 || left < next {
				next = left
			}
		}
		p.goneLocked(h, n)
	}
	if p.armed = next > 0; p.armed {
		p.arm(next)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.bye()
	}
}

// CloseIdleConnections closes the connections that no request uses.
func (p *Pool) CloseIdleConnections() {
	p.mu.Lock()
	var old []*conn
	for _, h := range p.hosts {
		old = append(old, h.idle...)
		n := len(h.idle)
		h.idle = nil
		p.goneLocked(h, n)
	}
	if p.armed {
		p.timer.Stop()
		p.armed = false
	}
	p.mu.Unlock()
	for _, c := range old {
		c.bye()
	}
}
