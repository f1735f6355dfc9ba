package http1

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnectionsAreBoundedAndReused(t *testing.T) {
	alike(t, func(t *testing.T, transport closing, scheme string) {
		s := serve(t, scheme, answering(noContent))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 10 {
					resp, err := transport.RoundTrip(newRequest(t, "PATCH", s.url, "{}"))
					if err != nil {
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
				}
			})
		}
		all.Wait()
		if n := s.conns.Load(); n > 4 {
			t.Errorf("%d connections, want at most 4", n)
		}
	})
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	alike(t, func(t *testing.T, transport closing, scheme string) {
		s := serve(t, scheme, answering(sized("hello")))
		var held []*http.Response
		for range 4 {
			resp, err := transport.RoundTrip(newRequest(t, "GET", s.url, ""))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, resp)
		}
		ctx, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer end()
		if _, err := transport.RoundTrip(newRequest(t, "GET", s.url, "").WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		// The next who waits gets what is given back, and what is closed.
		for i, resp := range held[:2] {
			done := make(chan struct{})
			go func() {
				defer close(done)
				ask(t, transport, newRequest(t, "GET", s.url, ""))
			}()
			if i == 0 {
				_, _ = io.ReadAll(resp.Body)
			}
			_ = resp.Body.Close()
			<-done
		}
		for _, resp := range held[2:] {
			_ = resp.Body.Close()
		}
	})
}

func TestTheConnectionUsedLastIsUsedFirst(t *testing.T) {
	pools(t, func(t *testing.T, p *Pool, scheme string) {
		s := serve(t, scheme, answering(sized("hello")))
		var held []*http.Response
		for range 3 {
			resp, err := p.RoundTrip(newRequest(t, "GET", s.url, ""))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, resp)
		}
		var last net.Conn
		for _, resp := range held {
			last = resp.Body.(*answerBody).conn.net
			_, _ = io.ReadAll(resp.Body)
		}
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			if i.Conn != last || !i.Reused || !i.WasIdle {
				t.Errorf("%+v", i)
			}
		}}
		req := newRequest(t, "GET", s.url, "")
		ask(t, p, req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	})
}

func TestIdleConnectionsAreClosedInTimeByOneTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		p := &Pool{MaxConns: 4, Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			open.Add(1)
			go func() {
				defer open.Add(-1)
				answering(sized("hello"))(1, server, newReader(server))
			}()
			return client, nil
		}}
		held := make([]*http.Response, 3)
		for i := range held {
			var err error
			if held[i], err = p.RoundTrip(newRequest(t, "GET", "http://contoso.example/", "")); err != nil {
				t.Fatal(err)
			}
		}
		for i, resp := range held {
			_, _ = io.ReadAll(resp.Body)
			if i < 2 {
				time.Sleep(30 * time.Second)
			}
		}
		for i, want := range []int32{3, 2, 1, 0} { // at 60, 90, 120 and 150 seconds
			synctest.Wait()
			if n := open.Load(); n != want {
				t.Errorf("step %d: %d connections are open, want %d", i, n, want)
			}
			time.Sleep(30*time.Second + time.Millisecond)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.armed || len(p.hosts) != 0 {
			t.Error("the timer runs, or the host is kept, though nothing is idle")
		}
	})
}

func TestCloseIdleConnectionsLeavesOthersAlone(t *testing.T) {
	pools(t, func(t *testing.T, p *Pool, scheme string) {
		s := serve(t, scheme, answering(sized("hello")))
		held, err := p.RoundTrip(newRequest(t, "GET", s.url, ""))
		if err != nil {
			t.Fatal(err)
		}
		ask(t, p, newRequest(t, "GET", s.url, ""))
		p.CloseIdleConnections()
		if idle, open := p.count(); idle != 0 || open != 1 {
			t.Errorf("%d idle of %d", idle, open)
		}
		if body, err := io.ReadAll(held.Body); err != nil || string(body) != "hello" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

func TestEveryOriginHasConnectionsOfItsOwn(t *testing.T) {
	p := &Pool{TLS: trusting(), MaxConns: 1}
	defer p.CloseIdleConnections()
	a, b, c := serve(t, "http", answering(sized("a"))), serve(t, "http", answering(sized("b"))), serve(t, "https", answering(sized("c")))
	for range 3 {
		for want, s := range map[string]*server{"a": a, "b": b, "c": c} {
			if _, got := ask(t, p, newRequest(t, "GET", s.url, "")); got != want {
				t.Errorf("%q from %s", got, want)
			}
		}
	}
	if a.conns.Load() != 1 || b.conns.Load() != 1 || c.conns.Load() != 1 {
		t.Error("connections are not reused")
	}
}

// TestAConnectionThatTheServerClosedOrSpokeOnIsNotUsed waits until the client's side of the
// connection has seen what the server did, then makes a write.
func TestAConnectionThatTheServerClosedOrSpokeOnIsNotUsed(t *testing.T) {
	if !Supported {
		t.Skip("this system cannot look at a connection")
	}
	for name, act := range map[string]func(c net.Conn){
		"closed": func(c net.Conn) { _ = c.Close() },
		"spoken": func(c net.Conn) { _, _ = io.WriteString(c, sized("nobody asked")) },
	} {
		t.Run(name, func(t *testing.T) {
			pools(t, func(t *testing.T, p *Pool, scheme string) {
				act1, acted := make(chan struct{}), make(chan struct{})
				s := serve(t, scheme, func(n int, c net.Conn, r *reader) {
					if _, _, ok := request(r); !ok {
						return
					}
					_, _ = io.WriteString(c, noContent)
					if n == 1 {
						<-act1
						act(c)
						close(acted)
					}
					_, _, _ = request(r)
				})
				resp, _ := ask(t, p, newRequest(t, "PATCH", s.url, "{}"))
				if resp.StatusCode != 204 {
					t.Fatal(resp.Status)
				}
				c := p.hosts[hostKey{scheme, resp.Request.URL.Host}].idle[0]
				if !c.quiet() || !c.quiet() {
					t.Fatal("an idle connection is not quiet")
				}
				close(act1)
				<-acted
				eventually(t, "the connection is not quiet", func() bool { return !c.quiet() })
				if resp, _ := ask(t, p, newRequest(t, "PATCH", s.url, "{}")); resp.StatusCode != 204 {
					t.Error(resp.Status)
				}
				if s.conns.Load() != 2 {
					t.Errorf("%d connections", s.conns.Load())
				}
			})
		})
	}
}

func TestErrorsOfMakingAConnectionKeepTheirTypes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	_ = l.Close()
	plain := serve(t, "http", func(_ int, c net.Conn, r *reader) {
		_, _ = r.Peek(1)
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		closeWell(c)
	})
	secure := serve(t, "https", func(_ int, c net.Conn, _ *reader) { _ = c.(*tls.Conn).Handshake() })
	for _, transport := range []closing{&Pool{TLS: &tls.Config{}}, &http.Transport{TLSClientConfig: &tls.Config{}}} {
		_, err := transport.RoundTrip(newRequest(t, "GET", closed, ""))
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%T, refused: %v", transport, err)
		}
		_, err = transport.RoundTrip(newRequest(t, "GET", secure.url, ""))
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
			t.Errorf("%T, unknown authority: %v", transport, err)
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
			t.Errorf("%T, unknown authority: %v", transport, err)
		}
		_, err = transport.RoundTrip(newRequest(t, "GET", strings.Replace(plain.url, "http:", "https:", 1), ""))
		if _, ok := errors.AsType[tls.RecordHeaderError](err); !ok {
			t.Errorf("%T, no TLS: %v", transport, err)
		}
		transport.CloseIdleConnections()
		if p, ours := transport.(*Pool); ours {
			if _, open := p.count(); open != 0 || len(p.hosts) != 0 {
				t.Error("a failed connection keeps its place")
			}
		}
	}
	trusted := &Pool{TLS: trusting()}
	trusted.TLS.ServerName = "fabrikam.example"
	_, err = trusted.RoundTrip(newRequest(t, "GET", secure.url, ""))
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("another name: %v", err)
	}
}

func TestAHandshakeThatTakesTooLongIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Pool{Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, server) }()
			return client, nil
		}}
		_, err := p.RoundTrip(newRequest(t, "GET", "https://contoso.example/", ""))
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("%v", err)
		}
	})
}

// TestTheTraceTellsWhetherARequestMayHaveArrived: the caller of the pool decides by
// it whether a write is ambiguous.
func TestTheTraceTellsWhetherARequestMayHaveArrived(t *testing.T) {
	alike(t, func(t *testing.T, transport closing, scheme string) {
		var steps []string
		var mu sync.Mutex
		step := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, text)
		}
		s := serve(t, scheme, func(_ int, c net.Conn, r *reader) {
			for {
				if _, err := r.Peek(1); err != nil {
					return
				}
				step("bytes")
				_, _, _ = request(r)
				_, _ = io.WriteString(c, noContent)
			}
		})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		for _, url := range []string{s.url, s.url, scheme + "://" + l.Addr().String()} {
			steps = append(steps, "|")
			req := newRequest(t, "PATCH", url, "{}")
			resp, err := transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				GetConn: func(string) { step("get") },
				GotConn: func(httptrace.GotConnInfo) { step("got") },
			})))
			if err == nil {
				_ = resp.Body.Close()
			} else if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
		}
		if want := []string{"|", "get", "got", "bytes", "|", "get", "got", "bytes", "|", "get"}; !slices.Equal(steps, want) {
			t.Errorf("%v", steps)
		}
	})
}

func TestARequestThatIsNoneIsRefusedBeforeAConnectionIsMade(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"scheme":   func(r *http.Request) { r.URL.Scheme = "ftp" },
		"host":     func(r *http.Request) { r.URL.Host = "" },
		"address":  func(r *http.Request) { r.URL = nil },
		"header":   func(r *http.Request) { r.Header = nil },
		"name":     func(r *http.Request) { r.Header["A b"] = []string{"x"} },
		"value":    func(r *http.Request) { r.Header["A"] = []string{"secret\r\nB: c"} },
		"method":   func(r *http.Request) { r.Method = "GET /x" },
		"trailers": func(r *http.Request) { r.Trailer = http.Header{"A\n": {"x"}} },
	} {
		body := &countedBody{Reader: strings.NewReader("x")}
		req := newRequest(t, "POST", "http://contoso.example/", "")
		req.Body, req.ContentLength = body, 1
		change(req)
		p := &Pool{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrInvalid }}
		if _, err := p.RoundTrip(req); err == nil || errors.Is(err, os.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if body.closed.Load() != 1 {
			t.Errorf("%s: the body was closed %d times", name, body.closed.Load())
		}
	}
}

// countedBody counts how often it is closed.
type countedBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *countedBody) Close() error {
	b.closed.Add(1)
	return nil
}
