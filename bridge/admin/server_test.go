package admin

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no source":             {func(o *Options) { o.Source = nil }, "source"},
		"no port":               {func(o *Options) { o.Listen = "127.0.0.1" }, "host:port"},
		"empty port":            {func(o *Options) { o.Listen = "127.0.0.1:" }, "host:port"},
		"nothing":               {func(o *Options) { o.Listen = "" }, "host:port"},
		"all interfaces":        {func(o *Options) { o.Listen = ":8080" }, "other machines"},
		"all interfaces, IPv4":  {func(o *Options) { o.Listen = "0.0.0.0:8080" }, "other machines"},
		"all interfaces, IPv6":  {func(o *Options) { o.Listen = "[::]:8080" }, "other machines"},
		"one other interface":   {func(o *Options) { o.Listen = "192.0.2.1:8080" }, "other machines"},
		"a name":                {func(o *Options) { o.Listen = "bridge.contoso.com:8080" }, "other machines"},
		"a name like localhost": {func(o *Options) { o.Listen = "localhost.fabrikam.com:80" }, "other machines"},
		"host with a port":      {func(o *Options) { o.AllowedHosts = []string{"bridge.contoso.com:443"} }, "allowed host"},
		"host a URL":            {func(o *Options) { o.AllowedHosts = []string{"https://bridge.contoso.com"} }, "allowed host"},
		"host empty":            {func(o *Options) { o.AllowedHosts = []string{""} }, "allowed host"},
		"host with a path":      {func(o *Options) { o.AllowedHosts = []string{"contoso.com/x"} }, "allowed host"},
	} {
		o := Options{Listen: "127.0.0.1:0", Source: &source{}}
		tc.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v does not name %q", name, err, tc.want)
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "127.9.9.9:1", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0"} {
		if _, err := New(Options{Listen: listen, Source: &source{}}); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
	if _, err := New(Options{Listen: ":0", AllowRemote: true, Source: &source{}}); err != nil {
		t.Errorf("remote access that was allowed: %v", err)
	}
}

func TestServerCanBeReachedUntilItIsStopped(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s, err := New(Options{Listen: "localhost:0", Source: &source{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr() != "" {
		t.Errorf("address %q before the start", s.Addr())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop before the start: %v", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err == nil {
		t.Error("started twice")
	}
	addr := s.Addr()
	if got := get(t, s, "GET", "/livez"); got.status != 200 || !strings.Contains(log.String(), addr) {
		t.Errorf("status %d, log %q", got.status, log.String())
	}
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the port is open after the stop")
	}
}

func TestStartTellsThatThePortIsTaken(t *testing.T) {
	t.Parallel()
	first := start(t, nil)
	second, err := New(Options{Listen: first.Addr(), Source: &source{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err == nil || !strings.Contains(err.Error(), first.Addr()) {
		t.Errorf("error %v does not name the address", err)
	}
	if second.Addr() != "" || second.Stop(t.Context()) != nil {
		t.Error("a server that did not start acts as if it had")
	}
}

func TestStopCutsRequestsWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	src := &source{block: make(chan struct{}), entered: make(chan struct{})}
	s, err := New(Options{Listen: "127.0.0.1:0", Source: src})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-src.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); err == nil || !strings.Contains(err.Error(), "cut") {
		t.Errorf("stop: %v", err)
	}
	close(src.block)
}

func TestStopTellsThatThePortHadClosed(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Listen: "127.0.0.1:0", Source: &source{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	listener, served := s.listener, s.served
	s.mu.Unlock()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	<-served
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "admin port") {
		t.Errorf("stop: %v", err)
	}
}

func TestSlowRequestsAreCut(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Listen: "127.0.0.1:0", Source: &source{}})
	if err != nil {
		t.Fatal(err)
	}
	if s.http.ReadHeaderTimeout <= 0 || s.http.ReadTimeout <= 0 || s.http.WriteTimeout <= 0 || s.http.IdleTimeout <= 0 {
		t.Fatal("a timeout is not set")
	}
	s.http.ReadHeaderTimeout = 20 * time.Millisecond
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /livez HTTP/1.1\r\nHost: local")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || strings.Contains(string(rest), "200 OK") {
		t.Errorf("the connection was not closed: %q, %v", rest, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestStartLooksWhereItReallyListens(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Listen: "127.0.0.1:0", Source: &source{}})
	if err != nil {
		t.Fatal(err)
	}
	s.opt.Listen = "0.0.0.0:0" // as if a name had been resolved to this
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), "not loopback") || s.Addr() != "" {
		t.Errorf("address %q, error %v", s.Addr(), err)
	}
}
