package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// The limits of one server.
const (
	maxConnections = 128
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
)

// Server is one admin port. It is made by New and used once.
type Server struct {
	opt  Options
	http *http.Server

	mu       sync.Mutex
	listener net.Listener
	served   chan struct{} // closed when serve has returned
	failure  error         // why it returned; read after served
}

// New checks the options; nothing is opened yet.
func New(o Options) (*Server, error) {
	host, err := o.check()
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{opt: o, http: &http.Server{
		Handler:           newGuard(host, &o, newPages(o)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		// The server adds 4 KiB of its own to this.
		MaxHeaderBytes: maxHeader - 4<<10,
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		// Its own answer to OPTIONS * would pass by the guard.
		DisableGeneralOptionsHandler: true,
	}}, nil
}

// Start opens the port and serves in the background.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.New("the admin port was started already")
	}
	listener, err := net.Listen("tcp", s.opt.Listen)
	if err != nil {
		return err
	}
	// What localhost means is up to the resolver; this is what it became.
	if host, _, _ := net.SplitHostPort(listener.Addr().String()); !s.opt.AllowRemote && !isLoopback(host) {
		return errors.Join(fmt.Errorf("admin listen address %q is %s here, which is not loopback", s.opt.Listen, host),
			listener.Close())
	}
	s.listener = listener
	s.served = make(chan struct{})
	go s.serve(listener)
	s.opt.Logger.Info("admin port open", "address", listener.Addr().String())
	return nil
}

func (s *Server) serve(listener net.Listener) {
	defer close(s.served)
	if err := s.http.Serve(netutil.LimitListener(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		s.opt.Logger.Error("admin port closed by itself", "error", err)
		s.failure = fmt.Errorf("admin port: %w", err)
	}
}

// Addr is the address that was opened, host:port; "" before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Stop lets running requests end and closes the port; when ctx ends first, their
// connections are cut. It returns why the port had closed before, if it had. A Stop
// before Start does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	served := s.served
	s.mu.Unlock()
	if served == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("admin port: requests were cut: %w", err), s.http.Close())
	}
	<-served
	return errors.Join(err, s.failure)
}
