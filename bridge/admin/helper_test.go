package admin

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a Source whose answers a test sets.
type source struct {
	mu     sync.Mutex
	status Status
	err    error
	calls  atomic.Int64
	// block, when set, holds Status back until it is closed; entered is told first.
	block   chan struct{}
	entered chan struct{}
}

func (s *source) Status() Status {
	s.calls.Add(1)
	if s.entered != nil {
		s.entered <- struct{}{}
	}
	if s.block != nil {
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *source) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *source) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// start runs a server on a free loopback port for as long as the test.
func start(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	o := Options{Listen: "127.0.0.1:0", Source: &source{}}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
	close  bool // the server ends the connection
}

// get asks over a connection of its own.
func get(t *testing.T, s *Server, method, path string) answer {
	t.Helper()
	return raw(t, s, method+" "+path+" HTTP/1.1\r\nHost: "+s.Addr()+"\r\nConnection: close\r\n\r\n")
}

// raw sends the bytes of a request, which no client library would let through,
// and reads the answer.
func raw(t *testing.T, s *Server, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("answer to %.60q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	// A server that closes upon a request it did not read whole resets the connection.
	if err != nil && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Fatalf("answer to %.60q: %v", request, err)
	}
	return answer{resp.StatusCode, resp.Header, string(body), resp.Close}
}
