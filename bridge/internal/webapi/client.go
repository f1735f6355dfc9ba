package webapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema/outcome"

	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

var (
	_ outbound.Source    = (*Client)(nil)
	_ outbound.Confirmer = (*Client)(nil)
	_ outbound.Inspector = (*Client)(nil)
	_ outbound.Lister    = (*Client)(nil)
	_ inbound.Writer     = (*Client)(nil)
)

// Client speaks to the Web API of one organization as one user. It is safe for
// use by many goroutines; both directions of the bridge share one.
type Client struct {
	root root
	auth Authenticator
	// transport is used without an http.Client around it: redirects and cookies are
	// not wanted, and a deadline stands in the context.
	transport http.RoundTripper
	timeout   time.Duration
	deadlines deadlines
	maxPage   int64
	maxBody   int64
	governor  *governor
	batches   *batcher // nil: every write is a request of its own
	lookUps   lookUps
	logger    *slog.Logger
	tracer    trace.Tracer
	traced    bool // false: nobody sees the spans
	measures  *measures

	// references are the earlier answers to searches.
	references *references
	// owners are the records that keys meant, of writes that ask for it.
	owners *owners
}

// New makes a client. It sends nothing: errors are about the configuration.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r, err := newRoot(cfg.URL, cfg.Version)
	if err != nil {
		return nil, err
	}
	m, err := newMeasures(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("web api metrics: %w", err)
	}
	transport, err := transportFor(cfg, r)
	if err != nil {
		return nil, err
	}
	c := &Client{
		root:      r,
		auth:      cfg.Auth,
		transport: transport,
		timeout:   cfg.Timeout,
		maxPage:   cfg.MaxPageBytes,
		maxBody:   cfg.MaxBodyBytes,
		governor:  newGovernor(cfg.MaxInFlight),
		logger:    cfg.Logger,
		tracer:    cfg.Tracer,
		measures:  m,
	}
	c.deadlines.limit = c.timeout
	_, untraced := cfg.Tracer.(tracenoop.Tracer)
	c.traced = !untraced
	c.owners = newOwners()
	c.references = newReferences(cfg.ResolveTTL)
	c.governor.budget = cfg.Budget
	c.governor.changed, c.governor.waited = m.limited, m.waited
	m.limited(cfg.MaxInFlight)
	if cfg.Batch.Max > 1 {
		c.batches = newBatcher(c, cfg.Batch)
	}
	return c, nil
}

// Close drops idle connections. Requests that run are not touched.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// do makes one call: it waits for a slot and for the gate, adds credentials,
// sends, and judges the answer. Credentials that the server refuses are renewed
// once. It returns nil after accept did, an *outcome.Error, or the context's
// error when the caller gave up.
func (c *Client) do(ctx context.Context, call *call) error {
	p, err := c.governor.admitRead(ctx, call.side(), call.bulk)
	if over := outcome.Of(err); over != nil {
		over.Op = call.title()
		return over
	}
	if err != nil {
		return fmt.Errorf("%s: waiting for its turn, %w: %w", call.title(), inbound.ErrNotSent, err)
	}
	defer c.governor.done(p)
	return c.exchange(ctx, call, p)
}

// exchange makes an admitted call.
func (c *Client) exchange(ctx context.Context, call *call, p *permit) error {
	req, err := c.attempt(ctx, call, p)
	verdict := outcome.Of(err)
	if verdict == nil || verdict.Verdict != outcome.Reauthenticate {
		return err
	}
	if _, none := c.auth.(None); none {
		verdict.Verdict = outcome.Stop // there is nothing to renew
		return verdict
	}
	if !c.auth.Invalidate(req) {
		return verdict
	}
	_, err = c.attempt(ctx, call, p)
	return err
}

// attempt makes one HTTP request. The request is returned to name the
// credentials it carried; it is nil when none was sent.
func (c *Client) attempt(ctx context.Context, call *call, p *permit) (*http.Request, error) {
	req, err := c.newRequest(call)
	if err != nil {
		return nil, err
	}
	if b := c.governor.budget; b != nil {
		err := b.spend(ctx, p, call.side(), call.bulk, int64(max(1, call.operations)))
		if over := outcome.Of(err); over != nil {
			over.Op = call.title()
			return nil, over
		}
		if err != nil {
			return nil, fmt.Errorf("%s: waiting for the day's budget: %w", call.title(), err)
		}
	}
	// A token may end while the gate is closed, and the gate may close while a
	// token is fetched: go on only when both hold.
	for {
		if err := c.governor.gate.wait(ctx); err != nil {
			return nil, fmt.Errorf("%s: waiting as the server asked, %w: %w", call.title(), inbound.ErrNotSent, err)
		}
		if err := c.auth.Authorize(ctx, req); err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w", call.title(), ctx.Err())
			}
			return nil, fmt.Errorf("%s: credentials: %w", call.title(), err)
		}
		if c.governor.gate.open() {
			break
		}
	}
	call.request = req
	if call.sending != nil {
		call.sending()
	}
	start := time.Now()
	c.measures.begin(call.op)
	a, err := c.send(ctx, call, req)
	if err != nil {
		c.measures.end(ctx, call.op, 0, "canceled", time.Since(start))
		return req, err
	}
	if a.accepted {
		p.note(call, a.status, a.header, nil, time.Since(start))
		c.measures.end(ctx, call.op, a.status, "ok", time.Since(start))
		return req, nil
	}
	verdict := c.judge(call, *a, req)
	p.note(call, a.status, a.header, verdict, time.Since(start))
	c.measures.end(ctx, call.op, a.status, string(verdict.Verdict), time.Since(start))
	if verdict.Verdict == outcome.RetryAfter {
		c.throttled(ctx, call, verdict)
	}
	if call.failed != nil {
		call.failed(*a)
	}
	return req, verdict
}

// throttled closes the gate for everybody.
func (c *Client) throttled(ctx context.Context, call *call, verdict *outcome.Error) {
	delay := verdict.RetryAfter
	if delay == 0 {
		delay = unnamedDelay
	}
	c.measures.throttled.Add(ctx, 1)
	if c.governor.gate.closeFor(max(delay, minDelay)) {
		c.logger.LogAttrs(ctx, slog.LevelInfo, "web api asks to wait; no request is sent meanwhile",
			slog.String("operation", call.op), slog.Int("status", verdict.Status),
			slog.String("code", verdict.Code), slog.Duration("delay", delay))
	}
}
