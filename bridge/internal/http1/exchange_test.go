package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestOnlyAReadOrWhatWasNotWrittenIsSentAgain: the server answers the first request of a
// connection and closes after it has read the second one, so that looking at the idle
// connection shows nothing.
func TestOnlyAReadOrWhatWasNotWrittenIsSentAgain(t *testing.T) {
	for _, c := range []struct {
		method, body string
		noGetBody    bool
		again        bool
	}{
		{"GET", "", false, true}, {"HEAD", "", false, true}, {"OPTIONS", "", false, true},
		{"GET", "body", false, true}, {"GET", "body", true, false},
		{"PATCH", "{}", false, false}, {"POST", "{}", false, false}, {"PUT", "{}", false, false},
		{"DELETE", "", false, false}, {"POST", strings.Repeat("x", 100_000), false, false},
	} {
		t.Run(c.method+" "+c.body[:min(4, len(c.body))], func(t *testing.T) {
			alike(t, func(t *testing.T, transport closing, scheme string) {
				var got atomic.Int32
				s := serve(t, scheme, func(n int, conn net.Conn, r *reader) {
					if _, _, ok := request(r); !ok {
						return
					}
					got.Add(1)
					_, _ = io.WriteString(conn, noContent)
					if _, body, ok := request(r); ok && body == c.body {
						got.Add(1)
					}
				})
				ask(t, transport, newRequest(t, "GET", s.url, ""))
				req := newRequest(t, c.method, s.url, c.body)
				if c.noGetBody {
					req.GetBody = nil
				}
				resp, err := transport.RoundTrip(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				if (err == nil) != c.again {
					t.Errorf("%v", err)
				}
				want := int32(2)
				if c.again {
					want = 3
				}
				if got.Load() != want || s.conns.Load() != want-1 {
					t.Errorf("%d requests on %d connections, %v", got.Load(), s.conns.Load(), err)
				}
			})
		})
	}
}

// brokenConn fails to write once it is told to, and looks alive.
type brokenConn struct {
	net.Conn
	broken atomic.Bool
	writes atomic.Int32
}

func (c *brokenConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	if c.broken.Load() {
		return 0, errors.New("broken")
	}
	return c.Conn.Write(p)
}

// scripted is a pool over in-memory connections.
func scripted(t *testing.T, wrap func(net.Conn) net.Conn, play script) *Pool {
	var number atomic.Int32
	var all sync.WaitGroup
	p := &Pool{MaxConns: 4, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		n := int(number.Add(1))
		all.Go(func() {
			defer server.Close()
			play(n, server, newReader(server))
		})
		return wrap(client), nil
	}}
	t.Cleanup(func() { p.CloseIdleConnections(); all.Wait() })
	return p
}

func TestAWriteOfWhichNothingWasWrittenIsSentAgain(t *testing.T) {
	for _, size := range []int{2, inlineBody + 1} {
		var conns []*brokenConn
		p := scripted(t, func(c net.Conn) net.Conn {
			b := &brokenConn{Conn: c}
			conns = append(conns, b)
			return b
		}, answering(noContent))
		ask(t, p, newRequest(t, "PATCH", "http://contoso.example/", "{}"))
		conns[0].broken.Store(true)
		req := newRequest(t, "PATCH", "http://contoso.example/", strings.Repeat("x", size))
		if resp, _ := ask(t, p, req); resp.StatusCode != 204 || len(conns) != 2 {
			t.Errorf("%d bytes: %s on %d connections", size, resp.Status, len(conns))
		}
		// A new connection that cannot be written on is not tried twice.
		p.CloseIdleConnections()
		p.Dial = func(context.Context, string, string) (net.Conn, error) {
			c, _ := net.Pipe()
			b := &brokenConn{Conn: c}
			b.broken.Store(true)
			conns = append(conns, b)
			return b, nil
		}
		if _, err := p.RoundTrip(newRequest(t, "PATCH", "http://contoso.example/", "{}")); err == nil || len(conns) != 3 {
			t.Errorf("%v after %d connections", err, len(conns))
		}
	}
}

func TestTriesAreBounded(t *testing.T) {
	var conns []*brokenConn
	p := scripted(t, func(c net.Conn) net.Conn {
		b := &brokenConn{Conn: c}
		conns = append(conns, b)
		return b
	}, answering(sized("hello")))
	var held []*http.Response
	for range 4 {
		resp, err := p.RoundTrip(newRequest(t, "GET", "http://contoso.example/", ""))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, resp)
	}
	for i, resp := range held {
		_, _ = io.ReadAll(resp.Body)
		conns[i].broken.Store(true)
	}
	_, err := p.RoundTrip(newRequest(t, "GET", "http://contoso.example/", ""))
	if idle, open := p.count(); err == nil || idle != 4-maxTries || open != idle {
		t.Errorf("%d idle of %d, %v", idle, open, err)
	}
}

func TestASmallRequestLeavesInOneWrite(t *testing.T) {
	var conns []*brokenConn
	p := scripted(t, func(c net.Conn) net.Conn {
		b := &brokenConn{Conn: c}
		conns = append(conns, b)
		return b
	}, answering(noContent))
	for i, body := range []string{"", "{}", strings.Repeat("x", 3000)} {
		ask(t, p, newRequest(t, "PATCH", "http://contoso.example/", body))
		if n := conns[0].writes.Load(); n != int32(i+1) {
			t.Errorf("%d bytes: %d writes", len(body), n-int32(i))
		}
	}
}

// TestTheEndOfTheContextEndsEveryStep ends it once the step is reached.
func TestTheEndOfTheContextEndsEveryStep(t *testing.T) {
	for name, play := range map[string]func(reached func(), hold <-chan struct{}) script{
		"reading the header": func(reached func(), hold <-chan struct{}) script {
			return func(_ int, c net.Conn, r *reader) {
				_, _, _ = request(r)
				reached()
				_, _ = r.ReadByte()
			}
		},
		"within the header": func(reached func(), hold <-chan struct{}) script {
			return func(_ int, c net.Conn, r *reader) {
				_, _, _ = request(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA:")
				reached()
				_, _ = r.ReadByte()
			}
		},
		"reading the body": func(reached func(), hold <-chan struct{}) script {
			return func(_ int, c net.Conn, r *reader) {
				_, _, _ = request(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
				reached()
				_, _ = r.ReadByte()
			}
		},
		"writing": func(reached func(), hold <-chan struct{}) script {
			return func(_ int, c net.Conn, r *reader) {
				_, _ = r.Peek(1)
				reached()
				<-hold
			}
		},
	} {
		for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
			t.Run(name+" "+want.Error(), func(t *testing.T) {
				alike(t, func(t *testing.T, transport closing, scheme string) {
					hold := make(chan struct{})
					defer close(hold)
					ctx, end := context.WithCancelCause(t.Context())
					defer end(nil)
					s := serve(t, scheme, play(func() { end(want) }, hold))
					body := "{}"
					if name == "writing" {
						body = strings.Repeat("x", 32<<20) // more than the systems buffer
					}
					resp, err := transport.RoundTrip(newRequest(t, "POST", s.url, body).WithContext(ctx))
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						_ = resp.Body.Close()
					}
					if !errors.Is(err, want) {
						t.Errorf("%v", err)
					}
					if p, ours := transport.(*Pool); ours {
						if _, open := p.count(); open != 0 {
							t.Error("the connection is kept")
						}
					}
				})
			})
		}
	}
}

func TestTheEndOfTheContextEndsDiallingAndTheHandshake(t *testing.T) {
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"dialling": func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"handshake": func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, server) }()
			return client, nil
		},
	} {
		p := &Pool{Dial: dial}
		why := errors.New("the caller's reason")
		ctx, end := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
		body := &countedBody{Reader: strings.NewReader("{}")}
		req := newRequest(t, "PATCH", "https://contoso.example/", "").WithContext(ctx)
		req.Body = body
		_, err := p.RoundTrip(req)
		end()
		if !errors.Is(err, why) || body.closed.Load() != 1 {
			t.Errorf("%s: %v, closed %d times", name, err, body.closed.Load())
		}
		if _, open := p.count(); open != 0 {
			t.Errorf("%s: the place is kept", name)
		}
	}
}

func TestAnEarlyAnswerIsSeen(t *testing.T) {
	for name, closes := range map[string]bool{"and the server closes": true, "and the server waits": false} {
		for _, known := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				alike(t, func(t *testing.T, transport closing, scheme string) {
					s := serve(t, scheme, func(_ int, c net.Conn, r *reader) {
						_, _ = http.ReadRequest(r)
						_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
						if !closes {
							_, _ = io.Copy(io.Discard, r)
						}
						closeWell(c)
					})
					req := newRequest(t, "POST", s.url, "")
					body := &countedBody{Reader: io.LimitReader(zeros{}, 64<<20)}
					req.Body, req.ContentLength = body, 64<<20
					if !known {
						req.ContentLength = -1
					}
					if resp, text := ask(t, transport, req); resp.StatusCode != 413 || text != "{}" {
						t.Errorf("%s %q", resp.Status, text)
					}
					eventually(t, "the body was closed", func() bool { return body.closed.Load() == 1 })
				})
			})
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestAnAnswerThatCameBeforeTheConnectionBrokeIsFound: writing fails after the first
// bytes, and the answer is there already.
func TestAnAnswerThatCameBeforeTheConnectionBrokeIsFound(t *testing.T) {
	for _, size := range []int{8 << 10, 64 << 10} { // written by the caller, and beside it
		p := scripted(t, func(c net.Conn) net.Conn { return &halfConn{Conn: c} }, func(_ int, c net.Conn, r *reader) {
			_, _ = c.Read(make([]byte, 2*writeBuffer))
			_, _ = io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
			_, _ = io.Copy(io.Discard, r)
		})
		resp, text := ask(t, p, newRequest(t, "POST", "http://contoso.example/", strings.Repeat("x", size)))
		if resp.StatusCode != 401 || text != "{}" {
			t.Errorf("%d bytes: %s %q", size, resp.Status, text)
		}
		if _, open := p.count(); open != 0 {
			t.Errorf("%d bytes: the connection is kept", size)
		}
	}
}

// halfConn takes the first write and no other one.
type halfConn struct {
	net.Conn
	writes atomic.Int32
}

func (c *halfConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) > 1 {
		return 0, errors.New("the server reads no more")
	}
	return c.Conn.Write(p)
}

func TestWithoutAnAnswerTheErrorOfWritingIsReturnedInAShortTime(t *testing.T) {
	for _, size := range []int{8 << 10, 64 << 10} {
		p := scripted(t, func(c net.Conn) net.Conn { return &halfConn{Conn: c} }, func(_ int, c net.Conn, r *reader) {
			_, _ = io.Copy(io.Discard, r)
		})
		_, err := p.RoundTrip(newRequest(t, "GET", "http://contoso.example/", strings.Repeat("x", size)))
		if err == nil || !strings.Contains(err.Error(), "reads no more") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestAFailureOfTheRequestsOwnBodyIsReturnedAsItIs(t *testing.T) {
	broken := errors.New("the file is gone")
	alike(t, func(t *testing.T, transport closing, scheme string) {
		s := serve(t, scheme, answering(noContent))
		ask(t, transport, newRequest(t, "PATCH", s.url, "{}")) // so that a kept one is used
		for _, again := range []bool{false, true} {
			req := newRequest(t, "PATCH", s.url, "")
			body := &countedBody{Reader: io.MultiReader(strings.NewReader("{"), failingReader{broken})}
			req.Body, req.ContentLength = body, 100
			if again {
				req.GetBody = func() (io.ReadCloser, error) { t.Error("sent again"); return body, nil }
			}
			if _, err := transport.RoundTrip(req); !errors.Is(err, broken) {
				t.Errorf("%v", err)
			}
			eventually(t, "the body was closed", func() bool { return body.closed.Load() == 1 })
		}
	})
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestTheBodyOfALargeRequestMayBeChangedAfterAnError(t *testing.T) {
	pools(t, func(t *testing.T, p *Pool, scheme string) {
		s := serve(t, scheme, func(_ int, c net.Conn, r *reader) { _, _ = r.Peek(1) })
		bytesOf := bytes.Repeat([]byte("x"), 8<<20)
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url, bytes.NewReader(bytesOf))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.RoundTrip(req); err == nil {
			t.Error("no error")
		}
		clear(bytesOf) // the race detector sees a goroutine that still reads it
	})
}

func TestABodyThatComesByAndByIsSentAtOnce(t *testing.T) {
	pools(t, func(t *testing.T, p *Pool, scheme string) {
		got := make(chan string)
		s := serve(t, scheme, func(_ int, c net.Conn, r *reader) {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			piece := make([]byte, 5)
			for range 2 {
				_, _ = io.ReadFull(req.Body, piece)
				got <- string(piece)
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(c, noContent)
			_, _ = r.ReadByte()
		})
		out, in := io.Pipe()
		go func() {
			for range 2 {
				_, _ = io.WriteString(in, "hello")
				if text := <-got; text != "hello" {
					t.Errorf("%q", text)
				}
			}
			_ = in.Close()
		}()
		req := newRequest(t, "POST", s.url, "")
		req.Body, req.ContentLength = out, -1
		ask(t, p, req)
		if idle, _ := p.count(); idle != 1 {
			t.Error("the connection is not kept")
		}
	})
}
