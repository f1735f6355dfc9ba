package inbound

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cebridge/schema"
)

// Format says how the messages of a route are read.
type Format string

// The formats.
const (
	// FormatCloudEvents reads CloudEvents 1.0, structured or binary.
	FormatCloudEvents Format = "cloudevents"
	// FormatJSON reads any JSON value and gives it an envelope of its own: source
	// /nats/<stream>, id <incarnation>/<sequence>, the subject of the message, and
	// the type RouteConfig.EventType.
	FormatJSON Format = "json"
)

// Unmatched says what becomes of a message whose route condition is false.
type Unmatched string

// The ways to treat unmatched messages.
const (
	UnmatchedAck        Unmatched = "ack"
	UnmatchedDeadLetter Unmatched = "deadletter"
)

// The defaults of a RouteConfig's zero values.
const (
	DefaultConcurrency  = 52
	DefaultMaxHeld      = 1024
	DefaultAckWait      = 30 * time.Second
	DefaultRetryMin     = 500 * time.Millisecond
	DefaultRetryMax     = time.Minute
	DefaultGiveUpParked = 10 * time.Minute
	DefaultStopWindow   = 20
	DefaultParkAfter    = 10 * time.Second
	// DefaultAmbiguityBound is the time after which Dataverse ends any operation.
	DefaultAmbiguityBound = 2 * time.Minute
	DefaultGrace          = 20 * time.Second
	DefaultSettleTimeout  = 5 * time.Second
)

// RouteConfig is the configuration of one route. Zero values mean the defaults.
type RouteConfig struct {
	// Name is a token: it becomes part of subjects and a metric label.
	Name string
	// Format is FormatCloudEvents by default.
	Format Format
	// EventType is the type that FormatJSON gives its events; required there.
	EventType string
	// Unmatched is UnmatchedAck by default.
	Unmatched Unmatched
	// Concurrency is how many writes may run at once. At most half of them may be
	// retries, so that failing records leave room for the others.
	Concurrency int
	// MaxHeld is how many deliveries may be in memory. Only during a take-over,
	// which needs all unacknowledged messages in hand, it may be more: as many as
	// the consumer's own limit of those. A consumer's limit of MaxHeld or less is
	// best: then the intake never has to wait.
	MaxHeld int
	// AckWait is the consumer's.
	AckWait time.Duration
	// Receipts is the subject of receipts, "" for none. With receipts each write
	// asks for the written record, at the price of a read inside the server.
	Receipts string
	// Redact lists columns whose values no stored request shows. The original message of a
	// dead letter stays as it is: it is what a retry needs.
	Redact []string
	// Shadow maps and reports, writes nothing anywhere, and acknowledges.
	Shadow bool
	// RetryMin and RetryMax bound the delay between attempts.
	RetryMin time.Duration
	RetryMax time.Duration
	// GiveUpParked is how long a reference may be missing before the message is
	// rejected, counted from the first attempt that this process made.
	GiveUpParked time.Duration
	// StopWindow is how many writes in a row, over distinct keys, may be refused
	// before the route stops. 0: DefaultStopWindow, counting only refusals that
	// speak of rights or configuration; below 0: never.
	StopWindow int
	// ParkAfter is how long a message waits in hand for a record it refers to before
	// it is parked, where the route can park.
	ParkAfter time.Duration
	// AmbiguityBound is how long a server may go on with a write whose answer was
	// lost. The next message of that key waits so long, counted from the failure;
	// the same one is sent again at once. Below 0: it does not wait.
	AmbiguityBound time.Duration
	// Grace is how long writes that already run may go on at the end.
	Grace time.Duration
	// SettleTimeout bounds one acknowledgement, dead letter or receipt, and the
	// time they have left after Grace.
	SettleTimeout time.Duration
}

// withDefaults returns the configuration with every zero value filled in.
func (c RouteConfig) withDefaults() RouteConfig {
	set(&c.Format, FormatCloudEvents)
	set(&c.Unmatched, UnmatchedAck)
	set(&c.Concurrency, DefaultConcurrency)
	set(&c.MaxHeld, DefaultMaxHeld)
	set(&c.AckWait, DefaultAckWait)
	set(&c.RetryMin, DefaultRetryMin)
	set(&c.RetryMax, max(c.RetryMin, DefaultRetryMax))
	set(&c.GiveUpParked, DefaultGiveUpParked)
	set(&c.ParkAfter, DefaultParkAfter)
	set(&c.AmbiguityBound, DefaultAmbiguityBound)
	set(&c.Grace, DefaultGrace)
	set(&c.SettleTimeout, DefaultSettleTimeout)
	return c
}

func set[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// validate names every field that cannot be used; c has its defaults.
func (c RouteConfig) validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !schema.ValidToken(c.Name) {
		bad("name %q: use 1 to 64 letters, digits, '_' or '-'", c.Name)
	}
	switch c.Format {
	case FormatCloudEvents:
	case FormatJSON:
		if c.EventType == "" {
			bad("event type: plain JSON messages need one")
		}
	default:
		bad("format %q: use %s or %s", c.Format, FormatCloudEvents, FormatJSON)
	}
	if c.Unmatched != UnmatchedAck && c.Unmatched != UnmatchedDeadLetter {
		bad("unmatched %q: use %s or %s", c.Unmatched, UnmatchedAck, UnmatchedDeadLetter)
	}
	if c.Concurrency < 1 {
		bad("concurrency %d: use 1 or more", c.Concurrency)
	}
	if c.MaxHeld < c.Concurrency {
		bad("max held %d: use at least the concurrency, %d", c.MaxHeld, c.Concurrency)
	}
	if c.AckWait < 100*time.Millisecond {
		bad("ack wait %s: use 100ms or more", c.AckWait)
	}
	if c.RetryMin < time.Millisecond || c.RetryMax < c.RetryMin {
		bad("retry delays %s to %s: use 1ms or more, the smaller one first", c.RetryMin, c.RetryMax)
	}
	if c.GiveUpParked < 0 || c.ParkAfter < 0 || c.Grace < 0 || c.SettleTimeout < 0 {
		bad("a duration is negative")
	}
	if strings.ContainsAny(c.Receipts, " \t\r\n*>") || strings.HasPrefix(c.Receipts, ".") ||
		strings.HasSuffix(c.Receipts, ".") || strings.Contains(c.Receipts, "..") {
		bad("receipts subject %q: it is not a subject to publish on", c.Receipts)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("inbound route %s: %w", c.Name, err)
	}
	return nil
}
