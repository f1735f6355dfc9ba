package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain proves that no test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// identity is the certificate that net/http/httptest shows, for "example.com" and the loopback.
var identity = sync.OnceValue(func() *httptest.Server {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	srv.Close()
	return srv
})

func trusting() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(identity().Certificate())
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

type closing interface {
	http.RoundTripper
	CloseIdleConnections()
}

// newStandard is net/http's transport with the settings of a Pool.
func newStandard(maxConns int) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		TLSClientConfig: trusting(), MaxConnsPerHost: maxConns, MaxIdleConnsPerHost: maxConns,
		MaxResponseHeaderBytes: DefaultMaxHeaderBytes, Protocols: protocols,
		ReadBufferSize: 32 << 10, WriteBufferSize: 8 << 10,
	}
}

// alike runs a test on the pool and on net/http's transport, with and without TLS.
func alike(t *testing.T, test func(t *testing.T, transport closing, scheme string)) {
	t.Helper()
	for _, scheme := range []string{"http", "https"} {
		for name, transport := range map[string]closing{"pool": &Pool{TLS: trusting(), MaxConns: 4}, "standard": newStandard(4)} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				defer transport.CloseIdleConnections()
				test(t, transport, scheme)
			})
		}
	}
}

// pools runs a test on the pool, with and without TLS.
func pools(t *testing.T, test func(t *testing.T, p *Pool, scheme string)) {
	t.Helper()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			p := &Pool{TLS: trusting(), MaxConns: 4}
			defer p.CloseIdleConnections()
			test(t, p, scheme)
		})
	}
}

// server takes connections and hands each to a script.
type server struct {
	url   string
	conns atomic.Int32
	raw   sync.Map // number of the connection -> net.Conn below TLS
}

// script says what to do on a connection. It ends when the connection should be closed.
type script func(number int, c net.Conn, r *bufio.Reader)

// serve starts a server whose connections are played by a script.
func serve(t testing.TB, scheme string, play script) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{url: scheme + "://" + l.Addr().String() + "/"}
	var all sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1))
			s.raw.Store(n, c)
			all.Go(func() {
				cut := context.AfterFunc(ctx, func() { _ = c.Close() })
				defer cut()
				defer c.Close()
				spoken := c
				if scheme == "https" {
					spoken = tls.Server(c, &tls.Config{Certificates: identity().TLS.Certificates})
				}
				play(n, spoken, bufio.NewReader(spoken))
			})
		}
	})
	t.Cleanup(func() { end(); _ = l.Close(); all.Wait() })
	return s
}

// request reads one request with its body; false: the connection ended.
func request(r *bufio.Reader) (*http.Request, string, bool) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, "", false
	}
	body, err := io.ReadAll(req.Body)
	return req, string(body), err == nil
}

// answering plays the same answer to every request.
func answering(text string) script {
	return func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, _, ok := request(r); !ok {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

const noContent = "HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n\r\n"

func sized(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func newRequest(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// ask makes a request and reads its answer.
func ask(t testing.TB, transport http.RoundTripper, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", req.Method, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: reading the answer: %v", req.Method, err)
	}
	_ = resp.Body.Close()
	return resp, string(body)
}

// idle counts the idle connections of the pool, and all of them.
func (p *Pool) count() (idle, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.hosts {
		idle += len(h.idle)
		open += h.open
	}
	return idle, open
}

// eventually waits for something to become true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// Names that keep the scripts short.
type (
	netConn = net.Conn
	reader  = bufio.Reader
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 1) }

// closeWell closes so that everything written arrives: no byte is left unread that would
// make the system reset the connection.
func closeWell(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
}

// sortedLines makes the order of headers, which differs where one is added, no matter.
func sortedLines(text string) string {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n\n" + body
}
