package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// What became of a message: the values of Settled.Outcome.
const (
	Written    = "written"
	Superseded = "superseded"
	Rejected   = "rejected"
	Unmatching = "unmatched"
	Shadowed   = "shadow"
	// Waiting is counted for a message that was parked: it is settled later.
	Waiting = "parked"
)

// Settled is a message that was acknowledged, with its fate.
type Settled struct {
	Message *Message
	// Write is the first of Writes; nil when the message could not be mapped or did
	// not match.
	Write  *schema.Write
	Writes []*schema.Write
	// Result is the answer to Write, set when Outcome is Written; Results are all
	// answers to a message of several writes.
	Result  schema.Result
	Results []schema.Result
	// Err says why the message was rejected or, in shadow mode, would have been.
	Err     *outcome.Error
	Outcome string
}

// Echo is an accepted write, for whoever will see its effect.
type Echo struct {
	Write  *schema.Write
	Result schema.Result
	Cause  Cause
}

// Echoes remembers the route's writes for whoever sees their effect. Both methods are
// called from several goroutines and must not block.
type Echoes interface {
	// Wants tells whether writes to a table are to ask for the written record, at the
	// price of a read inside the server, so that Note can be told of them.
	Wants(table string) bool
	// Note is called after each accepted write whose answer named the record and its
	// version, before the message is settled. A write that is repeated is told of again.
	Note(e Echo)
}

// Deps are a route's links to the process around it. Nil members do nothing.
type Deps struct {
	Logger *slog.Logger
	Meter  metric.Meter
	Tracer trace.Tracer
	// Revisions is the memory of the order guard; without it nothing is guarded.
	Revisions Revisions
	// Parking takes messages that wait long; without it they wait in memory.
	Parking Parking
	// Arrivals is shared by the routes of an organization.
	Arrivals *Arrivals
	// Echoes is told of the writes that were accepted.
	Echoes Echoes
	// Observe is called once for each message settled by this process, after the
	// acknowledgement is confirmed, from several goroutines.
	Observe func(Settled)
}

// Route applies the messages of one feed. See the package comment.
type Route struct {
	cfg    RouteConfig
	feed   Feed
	mapper Mapper
	writer Writer
	outbox Outbox
	deps   Deps

	retry  retryPolicy
	window *window
	memory *memory
	guard  *guard // nil when nothing is guarded
	late   stragglers
	tel    *instruments
	// lastAccepted is when a write was accepted last, in nanoseconds of Unix time.
	lastAccepted atomic.Int64

	mu      sync.Mutex
	running bool
	paused  bool
	stopped error // why a person must act, nil when none must
	current *session
	resumed bool          // Resume was called while current was ending
	wake    chan struct{} // closed when paused or stopped changes
	report  report
	// standing has a lock of its own.
	standing standing
}

// NewRoute checks the configuration and makes a route, which does nothing until
// Run.
func NewRoute(cfg RouteConfig, feed Feed, mapper Mapper, writer Writer, outbox Outbox, deps Deps) (*Route, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	deps.Logger = deps.Logger.With("route", cfg.Name)
	r := &Route{
		cfg: cfg, feed: feed, mapper: mapper, writer: writer, outbox: outbox, deps: deps,
		retry:  retryPolicy{min: cfg.RetryMin, max: cfg.RetryMax, giveUpParked: cfg.GiveUpParked},
		window: newWindow(cfg.StopWindow),
		memory: newMemory(memorySize),
		guard:  newGuard(deps.Revisions),
		late:   stragglers{bound: cfg.AmbiguityBound},
		wake:   make(chan struct{}),
		report: newReport(),
	}
	var err error
	if r.tel, err = newInstruments(deps.Meter, deps.Tracer, cfg.Name); err != nil {
		return nil, fmt.Errorf("inbound route %s: %w", cfg.Name, err)
	}
	if err := r.observe(deps.Meter); err != nil {
		return nil, fmt.Errorf("inbound route %s: %w", cfg.Name, err)
	}
	return r, nil
}

// Run applies messages until ctx ends, and then returns nil when everything
// confirmed is settled or the time for that is over. A route that stopped, or is
// paused, waits for Resume. It fails only when it runs already.
func (r *Route) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return fmt.Errorf("inbound route %s: it is running already", r.cfg.Name)
	}
	r.running = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.running = false
		r.mu.Unlock()
	}()
	wait := backoff.NewExponentialBackOff()
	wait.MaxInterval = 30 * time.Second
	for r.clear(ctx) {
		began := time.Now()
		cause := r.runSession(ctx)
		if !r.judge(cause) || ctx.Err() != nil {
			continue
		}
		if time.Since(began) > wait.MaxInterval {
			wait.Reset()
		}
		sleep(ctx, wait.NextBackOff())
	}
	return nil
}

// clear waits until the route may work; false when ctx ends.
func (r *Route) clear(ctx context.Context) bool {
	for {
		r.mu.Lock()
		free, wake := !r.paused && r.stopped == nil, r.wake
		r.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if free {
			return true
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return false
		}
	}
}

func (r *Route) runSession(ctx context.Context) error {
	s := newSession(ctx, r)
	r.standing.begin()
	r.mu.Lock()
	r.current, r.resumed = s, false
	halted := r.paused || r.stopped != nil
	r.mu.Unlock()
	if halted {
		s.end(errPaused)
	}
	defer func() {
		r.mu.Lock()
		r.current = nil
		r.mu.Unlock()
	}()
	return s.run(ctx)
}

// judge acts on why a session ended. It tells whether to wait before the next one.
func (r *Route) judge(cause error) (wait bool) {
	switch {
	case errors.Is(cause, errEnd), errors.Is(cause, errPaused):
		return false
	case errors.Is(cause, errLapsed), errors.Is(cause, errHandOver):
		r.deps.Logger.Warn("the messages in hand are left to redelivery", "cause", cause)
		return false
	case needsPerson(cause):
		r.mu.Lock()
		resumed := r.resumed
		if !resumed {
			r.stopped = cause
		}
		r.mu.Unlock()
		r.deps.Logger.Error("the route stopped", "cause", brief(cause), "next", nextAction(cause))
		return resumed
	}
	r.failed("read the stream", cause)
	return true
}

// Pause ends the work in hand softly: running writes finish and are settled, the
// rest is left to redelivery. It returns at once; Status tells when it is done.
func (r *Route) Pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = true
	if r.current != nil {
		s := r.current
		s.end(errPaused)
	}
	r.rouse()
}

// Resume undoes Pause and starts a stopped route again.
func (r *Route) Resume() {
	r.window.clear()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused, r.stopped = false, nil
	if s := r.current; s != nil {
		s.mu.Lock()
		r.resumed = s.ending
		s.mu.Unlock()
	}
	r.rouse()
}

func (r *Route) rouse() {
	close(r.wake)
	r.wake = make(chan struct{})
}

// stopOn ends the session because of err, which a person must act on.
func (s *session) stopOn(err error) {
	if s.work.Err() != nil && outcome.Of(err) == nil {
		s.end(errEnd)
		return
	}
	s.end(err)
}
