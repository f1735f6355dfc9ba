package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// tape is a connection on which the answer stands already, and then nothing comes.
type tape struct {
	net.Conn // nil: nothing else is called
	text     *bytes.Reader
	closed   atomic.Bool
}

func (c *tape) Read(p []byte) (int, error)    { return c.text.Read(p) }
func (*tape) Write(p []byte) (int, error)     { return len(p), nil }
func (*tape) SetReadDeadline(time.Time) error { return nil }
func (c *tape) Close() error                  { c.closed.Store(true); return nil }

// FuzzAnswer: whatever is answered, the exchange ends, says the same as http.ReadResponse,
// and leaves a connection for reuse only if nothing is left over on it.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		noContent, sized("hello"), sized("hello") + "more", "", "HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 100 Continue\r\n\r\n" + noContent, "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + zipped("hello"),
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", strings.Repeat("HTTP/1.1 102 X\r\n\r\n", 20),
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, write bool) {
		c := &tape{text: bytes.NewReader(text)}
		p := &Pool{Dial: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
		defer p.CloseIdleConnections()
		method, out := "GET", ""
		if write {
			method, out = "PATCH", "{}"
		}
		req := newRequest(t, method, "http://contoso.example/", out)
		resp, err := p.RoundTrip(req)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			_ = resp.Body.Close()
		}
		idle, open := p.count()
		if open != idle || (idle == 1) == c.closed.Load() {
			t.Fatalf("%d idle of %d, closed: %v", idle, open, c.closed.Load())
		}
		if idle == 1 {
			for _, h := range p.hosts {
				if n := h.idle[0].read.Buffered(); n != 0 {
					t.Fatalf("%d bytes are left over on a connection to be used again", n)
				}
			}
		}
		if err != nil || resp.Uncompressed {
			return
		}
		other := bufio.NewReader(bytes.NewReader(text))
		for {
			want, err := http.ReadResponse(other, req)
			if err != nil {
				t.Fatalf("http.ReadResponse refuses what was read: %v", err)
			}
			if want.StatusCode >= 100 && want.StatusCode < 200 {
				continue
			}
			wanted, _ := io.ReadAll(io.LimitReader(want.Body, 1<<20))
			if want.StatusCode != resp.StatusCode || !bytes.Equal(body, wanted) {
				t.Fatalf("%d %q, want %d %q", resp.StatusCode, body, want.StatusCode, wanted)
			}
			return
		}
	})
}
