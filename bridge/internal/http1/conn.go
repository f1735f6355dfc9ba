package http1

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// conn is a connection. It belongs to one exchange at a time, or is idle.
type conn struct {
	pool *Pool
	host *host
	raw  net.Conn // what was dialed
	net  net.Conn // what HTTP is spoken on: raw, or TLS on it
	tls  *tls.ConnectionState
	// probe looks whether the idle connection is still there; nil cannot.
	probe *probe

	read  *bufio.Reader
	write *bufio.Writer
	// ahead lies between read and net while a long body is read; else it is nil.
	ahead *ahead
	// left is how many bytes of a header may be read still.
	left int64
	// readErr is how reading ended, even while bytes that came before are in read.
	readErr error
	// written counts bytes of the exchange; another goroutine than the one that writes
	// may look only after that one has ended.
	written int64
	// writeErr is how writing to the connection failed: another failure of writing is
	// the request's own.
	writeErr error

	reused    bool
	idleSince time.Time
	onEnd     func() // cut, made once

	// out is the request as it is written, and header its header where something is
	// added to it: the caller's is not touched.
	out    http.Request
	header http.Header
	sent   sentBody
}

var errHeaderSize = errors.New("the header of the answer is too large")

// wire is the conn as its buffers see it.
type wire conn

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		w.readErr = errHeaderSize
		return 0, w.readErr
	}
	if int64(len(p)) > w.left {
		p = p[:w.left]
	}
	if w.ahead != nil && (len(w.ahead.rest) > 0 || len(p) < len(w.ahead.bytes)) {
		return w.readAhead(p)
	}
	n, err := w.net.Read(p)
	w.left -= int64(n)
	if err != nil {
		w.readErr = err
	}
	return n, err
}

// ahead is what a long body is read into.
type ahead struct {
	bytes [readAhead]byte
	rest  []byte // of bytes: not given out yet
}

var aheads = sync.Pool{New: func() any { return new(ahead) }}

func (w *wire) readAhead(p []byte) (int, error) {
	a := w.ahead
	if len(a.rest) == 0 {
		n, err := w.net.Read(a.bytes[:])
		a.rest = a.bytes[:n]
		if err != nil {
			w.readErr = err
		}
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.net.Write(p)
	w.written += int64(n)
	if err != nil {
		w.writeErr = err
	}
	return n, err
}

// memory hides that it is a bufio.Writer, for Request.Write flushes one between the
// header and a body that it does not know to be in memory.
type memory struct{ *bufio.Writer }

// begin prepares an exchange.
func (c *conn) begin(req *http.Request, body io.ReadCloser, gzip bool) {
	c.written = 0
	c.left = c.pool.MaxHeaderBytes
	if c.left <= 0 {
		c.left = DefaultMaxHeaderBytes
	}
	c.out = *req
	if gzip {
		if c.header == nil {
			c.header = make(http.Header, len(req.Header)+1)
		}
		maps.Copy(c.header, req.Header)
		c.header["Accept-Encoding"] = acceptGzip
		c.out.Header = c.header
	}
	c.sent = sentBody{}
	if body != nil && body != http.NoBody {
		c.sent.body = body
		c.out.Body = &c.sent
	}
}

// forget drops what belongs to the exchange that is over.
func (c *conn) forget() {
	c.out = http.Request{}
	c.sent = sentBody{}
	clear(c.header)
}

// bodyBegins ends the bound of the header, and prepares for a body of that length.
func (c *conn) bodyBegins(length int64) {
	c.left = math.MaxInt64
	if length < 0 || length > readBuffer {
		c.ahead = aheads.Get().(*ahead)
	}
}

// exhausted tells whether everything that was read was used. A body must have ended.
func (c *conn) exhausted() bool {
	if a := c.ahead; a != nil {
		if len(a.rest) > 0 {
			return false
		}
		c.ahead = nil
		aheads.Put(a)
	}
	return c.read.Buffered() == 0 && c.readErr == nil
}

// cut closes the connection without a word. It may be called at any time, and again.
func (c *conn) cut() { _ = c.raw.Close() }

// bye closes an idle connection.
func (c *conn) bye() { _ = c.net.Close() }

// past is a deadline that is over.
var past = time.Unix(1, 0)

// quiet tells whether the idle connection is there and nothing was said on it.
func (c *conn) quiet() bool {
	if c.tls != nil && !c.nothingDecrypted() {
		return false
	}
	return c.probe == nil || c.probe.quiet()
}

// nothingDecrypted tells whether TLS has no bytes of its own to give. Its Read asks the
// connection only after them, whose time is over; such an error does not stay (crypto/tls
// keeps only errors that are not temporary).
func (c *conn) nothingDecrypted() bool {
	if c.raw.SetReadDeadline(past) != nil {
		return false
	}
	var one [1]byte
	n, err := c.net.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.raw.SetReadDeadline(time.Time{}) == nil
}

// headerError names the bound.
func (c *conn) headerError() error {
	limit := c.pool.MaxHeaderBytes
	if limit <= 0 {
		limit = DefaultMaxHeaderBytes
	}
	return fmt.Errorf("%w: more than %d bytes", errHeaderSize, limit)
}
