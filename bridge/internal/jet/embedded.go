package jet

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// EmbeddedOptions configure a JetStream server inside the process.
type EmbeddedOptions struct {
	// StoreDir is where streams are kept; it is made when missing.
	StoreDir string
	// Host is the address to listen on, 127.0.0.1 when empty.
	Host string
	// Port is the TCP port: 0 does not listen at all, -1 takes any free one.
	Port int
	// MaxStore bounds the bytes on disk of all streams; 0 means 10 GiB.
	MaxStore int64
	// MaxPayload bounds one message with its headers; 0 means 8 MiB, so that a
	// record with long texts fits.
	MaxPayload int32
	// SyncInterval is how long an acknowledged message may wait to be written through
	// to the disk; 0 means not at all.
	SyncInterval time.Duration
	// Logger gets the server's log; nil discards it.
	Logger *slog.Logger
	// ServerName is shown to clients; "cebridge" when empty.
	ServerName string
}

// Embedded is a running server. Every acknowledged message is on the disk
// (sync_interval: always) unless the options say otherwise, and there is one replica: it ends with the process.
type Embedded struct {
	srv    *server.Server
	stop   sync.Once
	unlock func() // gives the store free
}

const (
	defaultMaxStore   = 10 << 30
	defaultMaxPayload = 8 << 20
	embeddedMemory    = 64 << 20
	startWait         = 20 * time.Second
)

// StartEmbedded starts a server and returns once it takes connections. A busy port
// or an unusable directory is an error, never an exit of the process.
func StartEmbedded(o EmbeddedOptions) (*Embedded, error) {
	if o.StoreDir == "" {
		return nil, errors.New("embedded NATS server: name a directory to keep the streams in")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	unlock, err := lockStore(o.StoreDir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	opts := &server.Options{
		ServerName:         cmp.Or(o.ServerName, "cebridge"),
		Host:               cmp.Or(o.Host, "127.0.0.1"),
		Port:               o.Port,
		DontListen:         o.Port == 0,
		JetStream:          true,
		StoreDir:           o.StoreDir,
		SyncAlways:         o.SyncInterval == 0,
		SyncInterval:       o.SyncInterval,
		NoSigs:             true,
		JetStreamMaxMemory: embeddedMemory,
		JetStreamMaxStore:  cmp.Or(o.MaxStore, defaultMaxStore),
		MaxPayload:         cmp.Or(o.MaxPayload, defaultMaxPayload),
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		unlock()
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	log := &serverLog{log: o.Logger, fatal: make(chan string, 1)}
	srv.SetLoggerV2(log, false, false, false)
	// Start returns early after a fatal error, and otherwise when all is up or, with
	// a port, while the accept loop runs in the background.
	srv.Start()
	e := &Embedded{srv: srv, unlock: unlock}
	if err := log.waitReady(srv); err != nil {
		e.Stop()
		return nil, fmt.Errorf("embedded NATS server with store %s: %w", o.StoreDir, err)
	}
	return e, nil
}

// URL is the address for other clients, empty when the server does not listen.
func (e *Embedded) URL() string {
	if e.srv.Addr() == nil {
		return ""
	}
	return e.srv.ClientURL()
}

// Option connects a client without a socket.
func (e *Embedded) Option() nats.Option { return nats.InProcessServer(e.srv) }

// Stop shuts the server down and waits for it. It may be called more than once.
func (e *Embedded) Stop() {
	e.stop.Do(func() {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
		e.unlock()
	})
}

// serverLog passes the server's log to slog and keeps the first fatal line, which
// is the only way a start error shows.
type serverLog struct {
	log   *slog.Logger
	fatal chan string
}

func (l *serverLog) waitReady(srv *server.Server) error {
	for end := time.Now().Add(startWait); ; {
		select {
		case text := <-l.fatal:
			return errors.New(text)
		default:
		}
		if srv.ReadyForConnections(50 * time.Millisecond) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("not ready after %s: see its log", startWait)
		}
	}
	// The server may call itself ready although JetStream could not start.
	select {
	case text := <-l.fatal:
		return errors.New(text)
	default:
	}
	if !srv.JetStreamEnabled() {
		return errors.New("JetStream did not start: see its log")
	}
	return nil
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(l.text(format, v)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.log.Warn(l.text(format, v)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.log.Error(l.text(format, v)) }
func (l *serverLog) Debugf(format string, v ...any)  { l.log.Debug(l.text(format, v)) }
func (l *serverLog) Tracef(string, ...any)           {}

// Fatalf records instead of exiting.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := l.text(format, v)
	l.log.Error(text)
	select {
	case l.fatal <- text:
	default:
	}
}

func (l *serverLog) text(format string, v []any) string {
	return "nats server: " + strings.TrimSpace(fmt.Sprintf(format, v...))
}
