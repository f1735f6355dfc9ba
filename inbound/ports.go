package inbound

import (
	"context"
	"errors"
	"time"

	"cebridge/schema"
)

// Message is one message of a source stream.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
	// Stream, Incarnation and Sequence name the message for ever: a stream that
	// is deleted and made again has another incarnation.
	Stream      string
	Incarnation string
	Sequence    uint64
	// Deliveries counts this delivery too: 1 is the first.
	Deliveries uint64
	// Stored is when the stream took the message.
	Stored time.Time
	// Claim changes whenever this client becomes the consumer's active one; a
	// message with a new Claim is the first after a take-over.
	Claim string
	// Number is the consumer's own count of deliveries (the consumer sequence).
	// Within one Claim each is one more than that of the delivery handed over
	// before; anything else makes the route check the consumer's position, since
	// deliveries may be lost on the way, to come again later. 0: unknown.
	Number uint64
}

// Delivery is a message together with the duty to settle it.
type Delivery interface {
	Message() *Message
	// Ack settles the message and waits until the server confirmed it.
	Ack(ctx context.Context) error
	// Extend tells the server that the message is still being worked on. It must
	// fail while there is no connection: a nil error is taken as a claim on the
	// message for another AckWait.
	Extend() error
}

// Feed hands out a route's messages.
type Feed interface {
	// Run calls handle for each delivery, one at a time, until ctx ends or the
	// feed fails for good (ErrFeedLost). It returns only after the last call
	// returned, and leaves what was not acknowledged to a later delivery. handle
	// may block: nothing more is pulled meanwhile. Otherwise a delivery is handed
	// over soon after it came, within a small part of the consumer's AckWait. Run
	// may be called again after it returned.
	Run(ctx context.Context, handle func(Delivery)) error
	// State reads the consumer's position from the server.
	State(ctx context.Context) (FeedState, error)
}

// FeedState is a consumer's position, in sequences of the source stream.
type FeedState struct {
	// Delivered is the highest sequence that was ever delivered.
	Delivered uint64
	// AckFloor: everything up to here is settled.
	AckFloor uint64
	// AckPending is the number of delivered, unsettled messages.
	AckPending int
	// Pending is the number of messages not delivered yet.
	Pending uint64
	// Claim is the claim of the client that is the consumer's active one at this
	// moment, in the form of Message.Claim; "" when unknown or not used.
	Claim string
}

// Writer makes one keyed write. Failures are *outcome.Error (or the context's).
type Writer interface {
	Apply(ctx context.Context, w *schema.Write) (schema.Result, error)
}

// Outbox stores what a route publishes. Both calls return only once the stream
// confirmed; both are idempotent for the same letter or receipt.
type Outbox interface {
	DeadLetter(ctx context.Context, l *Letter) error
	Receipt(ctx context.Context, r *Receipt) error
}

// Letter is a dead letter: a message that cannot be applied, with everything a
// person needs to see why and to send it again.
type Letter struct {
	Route   string
	Message *Message
	// Verdict, Reason, Code, Status and Text say why.
	Verdict string
	Reason  string
	Code    string
	Status  int
	Text    string
	// Method, Path and Body are the exact request, empty when none was made.
	Method string
	Path   string
	Body   []byte
	// Attempts counts the requests sent; First and Last bound them in time.
	Attempts int
	First    time.Time
	Last     time.Time
}

// Receipt tells what became of a message.
type Receipt struct {
	Route string
	// Subject is where the receipt goes.
	Subject string
	Message *Message
	// EventID and EventSource are those of the inbound event, "" when unreadable.
	EventID     string
	EventSource string
	// Outcome is "written" or "rejected".
	Outcome string
	Table   string
	Effect  schema.Effect
	// RecordID and Version are "" and 0 when the answer did not tell them.
	RecordID string
	Version  int64
	Reason   string
	Text     string
}

var (
	// ErrFeedLost: the stream or consumer is gone. A person must act.
	ErrFeedLost = errors.New("the source stream or its consumer is gone")
	// ErrOutboxFull: the dead-letter stream takes no more. Nothing is acknowledged.
	ErrOutboxFull = errors.New("the dead-letter stream is full")
)
