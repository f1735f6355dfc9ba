package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"cebridge/bridge/admin"
	"cebridge/bridge/internal/jet"
	"cebridge/bridge/internal/webapi"
	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
)

// Version is the version of the program, set when it is linked.
var Version = "dev"

// Bridge is one running bridge.
type Bridge struct {
	cfg   Config
	opt   options
	names schema.Names
	log   *slog.Logger

	mu      sync.Mutex // guards the lifecycle
	begun   bool
	cleanup cleanup
	started time.Time
	ready   atomic.Bool
	waiting atomic.Pointer[string] // what Start is waiting for

	prov     *providers
	embedded *jet.Embedded
	conn     *jet.Conn
	client   *webapi.Client
	budget   *webapi.Budget // nil without webapi.daily_requests
	admin    *admin.Server
	// doorbellAddr is set while the doorbell's port is open.
	doorbellAddr atomic.Pointer[string]
	schemas      atomic.Pointer[map[string]tableSchema]
	tables       atomic.Pointer[[]*table]
	routes       atomic.Pointer[[]*route]
}

// table is one followed table; route one running route.
type table struct {
	name   string
	worker *outbound.Worker
}

type route struct {
	name  string
	route *inbound.Route
	feed  inbound.Feed
	held  *hold // nil: it never waited for its alternate keys
}

type options struct {
	log       *slog.Logger
	tracer    trace.TracerProvider
	transport http.RoundTripper
	settled   func(route string, s inbound.Settled)
}

// Option changes how a bridge is built.
type Option func(*options)

// WithLogger sets the logger; without it the bridge logs nothing.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.log = l
		}
	}
}

// WithTracerProvider records spans there instead of sending them by OTLP.
func WithTracerProvider(tp trace.TracerProvider) Option { return func(o *options) { o.tracer = tp } }

// WithTransport sends Web API requests through rt instead of the network.
func WithTransport(rt http.RoundTripper) Option { return func(o *options) { o.transport = rt } }

// WithSettled calls fn after each inbound message is settled. fn must not block.
func WithSettled(fn func(route string, s inbound.Settled)) Option {
	return func(o *options) { o.settled = fn }
}

// New builds a bridge. It does no I/O.
func New(cfg Config, opts ...Option) (*Bridge, error) {
	o := options{log: slog.New(slog.DiscardHandler)}
	for _, apply := range opts {
		apply(&o)
	}
	b := &Bridge{cfg: cfg, opt: o, log: o.log, names: schema.Names{Prefix: cfg.Prefix, Org: cfg.Org}}
	if err := b.names.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if cfg.NATS.Embedded == nil && len(cfg.NATS.URLs) == 0 {
		return nil, errors.New("configuration: name the NATS servers, or use the embedded one")
	}
	return b, nil
}

// ErrStarted is returned by Start when the bridge runs already.
var ErrStarted = errors.New("the bridge is already started")

// Start brings everything up. ctx bounds the start only; once Start returned, the
// bridge runs until Stop. A failed start undoes itself.
func (b *Bridge) Start(ctx context.Context) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun {
		return ErrStarted
	}
	b.begun = true
	b.started = time.Now()
	b.budget = b.newBudget()
	defer func() {
		if err != nil {
			err = errors.Join(err, b.cleanup.run(ctx))
			b.begun = false
		}
	}()
	for _, part := range []func(context.Context) error{
		b.startTelemetry, b.startAdmin, b.startNATS, b.startWebAPI,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if err := b.startFlows(ctx); err != nil {
		return err
	}
	b.ready.Store(true)
	b.cleanup.push("readiness", time.Second, func(context.Context) error {
		b.ready.Store(false)
		return nil
	})
	b.log.Info("bridge started", "org", b.cfg.Org, "version", Version,
		"tables", len(b.cfg.Outbound.Tables), "routes", len(b.cfg.Inbound.Routes))
	return nil
}

// Stop brings everything down in order. It may be called at any time, also twice.
func (b *Bridge) Stop(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.begun {
		return nil
	}
	err := b.cleanup.run(ctx)
	b.begun = false
	b.log.Info("bridge stopped", "org", b.cfg.Org)
	return err
}

// Run starts the bridge, waits until ctx ends, and stops it.
func (b *Bridge) Run(ctx context.Context) error {
	if err := b.Start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil
		}
		return err
	}
	<-ctx.Done()
	return b.Stop(context.WithoutCancel(ctx))
}

// RunFile runs a bridge with a configuration file until ctx ends.
func RunFile(ctx context.Context, path string, opts ...Option) error {
	cfg, err := LoadConfig(path)
	if err != nil {
		return err
	}
	b, err := New(cfg, opts...)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

// AdminAddr is the admin port's address, "" when there is none.
func (b *Bridge) AdminAddr() string {
	if b.admin == nil {
		return ""
	}
	return b.admin.Addr()
}

// NATSURL is the URL under which clients reach the embedded server, "" when it
// takes no connections or is not embedded.
func (b *Bridge) NATSURL() string {
	if b.embedded == nil {
		return ""
	}
	return b.embedded.URL()
}

// Names builds the bridge's subjects.
func (b *Bridge) Names() schema.Names { return b.names }

// EventStream is the name of the event stream.
func (b *Bridge) EventStream() string {
	if b.cfg.Stream.Name != "" {
		return b.cfg.Stream.Name
	}
	return b.names.EventStream()
}
