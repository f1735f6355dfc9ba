package outbound

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"cebridge/schema"
	"cebridge/schema/event"
)

// Start says what becomes of the records that exist when a table is first read.
type Start string

// The starts of a table.
const (
	// StartLoad publishes every existing record as loaded.
	StartLoad Start = "load"
	// StartNow publishes only what changes from now on. The existing records are
	// still read once, since only a full read yields a delta link.
	StartNow Start = "now"
)

// Echo says what becomes of a change that one of the bridge's own writes made.
type Echo string

// The ways to treat an echo.
const (
	// EchoOff does not look: it is published like any other change.
	EchoOff Echo = ""
	// EchoMark publishes it with its cause, where that is known.
	EchoMark Echo = "mark"
	// EchoDrop leaves out an update that shows nothing but values that own writes
	// put there; everything else is treated as by EchoMark.
	EchoDrop Echo = "drop"
)

// TableConfig is everything the worker of one table is told.
type TableConfig struct {
	Query    Query
	Names    schema.Names
	Settings event.Settings
	// OrgID is the organization's GUID. It stands in every checkpoint: another
	// organization's cursor is refused.
	OrgID string
	// Start defaults to StartLoad. It matters only until the first checkpoint.
	Start Start
	// Previous adds the former values of changed columns to updates, as data.previous.
	Previous bool
	// References are the lookups that data.references tells about; Deps.Finder reads it.
	References []Reference
	// Payload says which records and which of their values are published.
	Payload Payload
	// Echo says what becomes of changes that the bridge's own writes made.
	Echo Echo
	// ClaimCheck puts the data of events that are too large for a message aside, with
	// Deps.Payloads; without it such an event halts the table.
	ClaimCheck bool
	// MaxDeletes bounds the deletes that one resync may publish without a person; by
	// default 1000 or a tenth of the rows read, whichever is more.
	MaxDeletes int
	// OverlapEvery is how often changes are read again from an older delta link, to
	// find those that were committed late; 5 min by default, negative for never.
	OverlapEvery time.Duration
	// OverlapAge is the least age of that link; 5 min by default.
	OverlapAge time.Duration
	// PollInterval is the time between the starts of two rounds after a change; 5 s by
	// default. While nothing changes it grows to PollMax; by default it does not.
	PollInterval time.Duration
	PollMax      time.Duration
	// Phase, from 0 to below 1, shifts the table's polls by that part of the interval:
	// tables with phases of their own do not poll in the same instant.
	Phase float64
	// IdleCommit is how old the stored delta link may grow while nothing changes;
	// 10 min by default.
	IdleCommit time.Duration
	// MaxBatch is the number of messages in one commit, the checkpoint included;
	// by default, and at most, the constant of that name.
	MaxBatch int
	// MaxBatchBytes bounds one commit's events; 16 MiB by default. A single event
	// above it is still tried, alone.
	MaxBatchBytes int
	// Backoff bounds the wait after a failure.
	Backoff Backoff
}

// Backoff bounds a delay that doubles with every failure in a row: 500 ms and
// 1 min by default.
type Backoff struct{ Min, Max time.Duration }

// Deps is what a worker uses of its surroundings. Every field may be nil.
type Deps struct {
	Logger *slog.Logger
	Meter  metric.Meter
	Tracer trace.Tracer
	// Rand feeds the jitter of delays; attempt ids never depend on it.
	Rand rand.Source
	// Retention tells the life of delta links. Without it only the source's refusal
	// or a repeated dump tells that one is too old.
	Retention Retention
	// Pacer may stretch the time between polls.
	Pacer Pacer
	// Payloads is needed where the table has ClaimCheck, and to read events published
	// while it had.
	Payloads Payloads
	// Finder is needed where the table has References.
	Finder Finder
	// Observe is called for every event once it is stored, in order, on the
	// worker's own goroutine; it must not block.
	Observe func(Published)
}

// Published tells an observer of one stored event.
type Published struct {
	Table    string
	RecordID string
	Change   event.Change
	Version  int64
	Epoch    int
}

const (
	defaultPollInterval  = 5 * time.Second
	defaultOverlap       = 5 * time.Minute
	defaultIdleCommit    = 10 * time.Minute
	defaultMaxBatchBytes = 16 << 20
	defaultBackoffMin    = 500 * time.Millisecond
	defaultBackoffMax    = time.Minute
)

// withDefaults returns a copy in which every absent field has its default.
func (c TableConfig) withDefaults() TableConfig {
	if c.Start == "" {
		c.Start = StartLoad
	}
	if c.PollInterval == 0 {
		c.PollInterval = defaultPollInterval
	}
	if c.PollMax == 0 {
		c.PollMax = c.PollInterval
	}
	if c.IdleCommit == 0 {
		c.IdleCommit = defaultIdleCommit
	}
	if c.OverlapEvery == 0 {
		c.OverlapEvery = defaultOverlap
	}
	if c.OverlapAge == 0 {
		c.OverlapAge = defaultOverlap
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = MaxBatch
	}
	if c.MaxBatchBytes == 0 {
		c.MaxBatchBytes = defaultMaxBatchBytes
	}
	if c.Backoff.Min == 0 {
		c.Backoff.Min = defaultBackoffMin
	}
	if c.Backoff.Max == 0 {
		c.Backoff.Max = max(defaultBackoffMax, c.Backoff.Min)
	}
	return c
}

// validate reports every fault of a configuration that has its defaults.
func (c TableConfig) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Query.Table == nil {
		return errors.New("query: a table is needed")
	}
	table := c.Query.Table.LogicalName
	if !schema.ValidToken(table) {
		bad("query: table name %q cannot stand in a subject", table)
	}
	if len(c.Query.Columns) == 0 {
		bad("query: columns of table %s must be listed", table)
	}
	if c.Settings.Table != table {
		bad("settings: table %q differs from the query's table %q", c.Settings.Table, table)
	}
	for _, r := range c.References {
		if err := r.validate(c.Query); err != nil {
			errs = append(errs, err)
		}
	}
	if err := c.Names.Validate(); err != nil {
		bad("names: %w", err)
	}
	if err := c.Payload.validate(c.Query, c.References); err != nil {
		errs = append(errs, err)
	}
	if !schema.IsGUID(c.OrgID) {
		bad("organization id %q: use the organization's GUID", c.OrgID)
	}
	if c.Start != StartLoad && c.Start != StartNow {
		bad("start %q: use %q or %q", c.Start, StartLoad, StartNow)
	}
	if c.PollInterval < 0 || c.IdleCommit < 0 {
		bad("poll interval and idle commit must not be negative")
	}
	if c.PollMax < c.PollInterval {
		bad("longest poll interval %s: use %s, the shortest, or more", c.PollMax, c.PollInterval)
	}
	if c.Phase < 0 || c.Phase >= 1 {
		bad("phase %v: use 0 to below 1", c.Phase)
	}
	if c.Echo != EchoOff && c.Echo != EchoMark && c.Echo != EchoDrop {
		bad("echo %q: use %q, %q, or nothing", c.Echo, EchoMark, EchoDrop)
	}
	if c.MaxDeletes < 0 {
		bad("max deletes of %d: use a positive number", c.MaxDeletes)
	}
	if c.OverlapAge < 0 {
		bad("overlap age %s: use a positive duration", c.OverlapAge)
	}
	if c.MaxBatch < 2 || c.MaxBatch > MaxBatch {
		bad("batch of %d messages: use 2 to %d", c.MaxBatch, MaxBatch)
	}
	if c.MaxBatchBytes < 0 {
		bad("batch of %d bytes: use a positive number", c.MaxBatchBytes)
	}
	if c.Backoff.Min < 0 || c.Backoff.Max < c.Backoff.Min {
		bad("backoff from %s to %s: use a positive, growing range", c.Backoff.Min, c.Backoff.Max)
	}
	return errors.Join(errs...)
}
