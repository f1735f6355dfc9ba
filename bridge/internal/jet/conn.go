package jet

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"cebridge/outbound"
	"cebridge/schema/telemetry"
)

// Config says how to reach NATS. URLs or Embedded is required; at most one kind of
// credentials is used by the server.
type Config struct {
	URLs     []string
	Embedded *Embedded
	// Name shows up in the server's list of connections, and labels the metric.
	Name string
	// CredentialsFile holds a user JWT with its key, NKeyFile a seed.
	CredentialsFile string
	NKeyFile        string
	User, Password  string
	Token           string
	TLS             *tls.Config
	// InboxPrefix replaces _INBOX, for accounts with private inboxes.
	InboxPrefix string
	// Timeout bounds the wait for the first connection; 0 waits as long as ctx.
	Timeout time.Duration
	// Logger and Meter may be nil.
	Logger *slog.Logger
	Meter  metric.Meter
}

// Conn is one connection, safe for concurrent use.
type Conn struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	log   *slog.Logger
	async asyncErrors
	acks  *acks
	// session ends when the connection breaks; the next one has another.
	session atomic.Pointer[session]
	// refused holds why the connected server must not be used, or nil.
	refused atomic.Pointer[error]
	once    sync.Once // closes closed
	closed  chan struct{}
	gauge   metric.Registration
}

const (
	dialTimeout  = 5 * time.Second
	apiTimeout   = 5 * time.Second
	drainTimeout = 5 * time.Second
	pingInterval = 20 * time.Second

	// attrConnection tells several connections of one process apart.
	attrConnection = "cebridge.connection"
)

// Connect returns once the first connection stands. Servers that do not answer are
// tried again until ctx or the timeout ends; refused credentials, an unknown
// certificate and an old server end the wait at once.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.Embedded == nil && len(cfg.URLs) == 0 {
		return nil, errors.New("connect to NATS: no server named")
	}
	c := &Conn{log: cfg.Logger, closed: make(chan struct{})}
	c.session.Store(newSession())
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	opts, err := c.options(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.Timeout)
		defer cancel()
	}
	if c.nc, err = c.dial(ctx, strings.Join(cfg.URLs, ","), opts); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if err := c.checkServer(c.nc); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if c.js, err = jetstream.New(c.nc, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if c.acks, err = newAcks(c.nc); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if err := c.observe(cfg.Meter, cfg.Name); err != nil {
		c.nc.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) options(cfg Config) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(cmp.Or(cfg.Name, "cebridge")),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		// Nothing is kept for later while disconnected: see the package's promise.
		nats.ReconnectBufSize(-1),
		// Credentials that are being rotated must not end a running bridge.
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.DrainTimeout(drainTimeout),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.async.add(err)
			c.log.Warn("NATS reported an error", "error", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.session.Load().end()
			if err != nil {
				c.log.Warn("disconnected from NATS, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			c.session.Store(newSession())
			if err := c.checkServer(nc); err != nil {
				c.log.Error("reconnected to a NATS server that cannot be used", "error", err)
				return
			}
			c.log.Info("reconnected to NATS", "server", nc.ConnectedServerName())
		}),
		nats.ClosedHandler(func(*nats.Conn) { c.once.Do(func() { close(c.closed) }) }),
	}
	if cfg.Embedded != nil {
		opts = append(opts, cfg.Embedded.Option())
	}
	if cfg.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.NKeyFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(cfg.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the nkey seed from %s: %w", cfg.NKeyFile, err)
		}
		opts = append(opts, nkey)
	}
	if cfg.User != "" {
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	if cfg.Token != "" {
		opts = append(opts, nats.Token(cfg.Token))
	}
	if cfg.TLS != nil {
		opts = append(opts, nats.Secure(cfg.TLS))
	}
	if cfg.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(cfg.InboxPrefix))
	}
	return opts, nil
}

// dial tries until a server answers. nats.go could retry by itself, but would then
// also retry what only a person can change.
func (c *Conn) dial(ctx context.Context, urls string, opts []nats.Option) (*nats.Conn, error) {
	wait := 100 * time.Millisecond
	var last error
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), last)
		}
		nc, err := nats.Connect(urls, opts...)
		if err == nil {
			return nc, nil
		}
		if !unreachable(err) {
			return nil, err
		}
		last = fmt.Errorf("last attempt: %w", err)
		if attempt == 1 || attempt%20 == 0 {
			c.log.Warn("no NATS server answers, trying again", "attempt", attempt, "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// unreachable tells whether a failed dial may succeed without anybody's doing.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, io.EOF) || errors.As(err, &op) && op.Op != "remote error"
}

// checkServer looks at the version of the connected server and remembers the
// verdict.
func (c *Conn) checkServer(nc *nats.Conn) error {
	var bad error
	if err := checkVersion(nc.ConnectedServerVersion()); err != nil {
		bad = fmt.Errorf("%w: NATS server %s: %w", outbound.ErrMisconfigured, nc.ConnectedServerName(), err)
	} else if !nc.HeadersSupported() {
		bad = fmt.Errorf("%w: NATS server %s does not support headers: switch them on", outbound.ErrMisconfigured, nc.ConnectedServerName())
	}
	if bad == nil {
		c.refused.Store(nil)
		return nil
	}
	c.refused.Store(&bad)
	return bad
}

// usable reports why nothing may be stored on the connected server, or nil.
func (c *Conn) usable() error {
	if err := c.refused.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *Conn) observe(meter metric.Meter, name string) error {
	if meter == nil {
		return nil
	}
	gauge, err := meter.Int64ObservableGauge(telemetry.NATSConnected,
		metric.WithDescription("1 while connected to NATS"))
	if err != nil {
		return fmt.Errorf("make the metric %s: %w", telemetry.NATSConnected, err)
	}
	attrs := metric.WithAttributes(attribute.String(attrConnection, cmp.Or(name, "cebridge")))
	c.gauge, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		var v int64
		if c.Connected() {
			v = 1
		}
		o.ObserveInt64(gauge, v, attrs)
		return nil
	}, gauge)
	if err != nil {
		return fmt.Errorf("register the metric %s: %w", telemetry.NATSConnected, err)
	}
	return nil
}

// Close drains the connection, for at most five seconds, and closes it. It may be
// called more than once.
func (c *Conn) Close() {
	if c.gauge != nil {
		// Unregister of a registered callback does not fail.
		_ = c.gauge.Unregister()
	}
	// A connection that cannot drain, because it is down, is closed as it is.
	if err := c.nc.Drain(); err == nil {
		timer := time.NewTimer(drainTimeout)
		defer timer.Stop()
		select {
		case <-c.closed:
			return
		case <-timer.C:
		}
	}
	c.nc.Close()
	<-c.closed
}

// Connected tells whether the connection stands now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// NATS is the connection underneath, for what this package does not cover.
func (c *Conn) NATS() *nats.Conn { return c.nc }
