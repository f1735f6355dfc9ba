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
	// Release gives the message back, so that it is delivered again at once, to whoever
	// is the active client then; until that one settles it, it counts as
	// unacknowledged. It may get lost: then the message comes again after AckWait.
	Release() error
}

// Later is a Delivery whose confirmation nobody has to wait for in a goroutine of its
// own, which is a good part of what an acknowledgement costs. A Delivery that is none is
// acknowledged with Ack.
type Later interface {
	// AckLater is Ack, whose outcome it tells to then: once, soon after ctx ended at the
	// latest, from any goroutine, perhaps before it returns itself. With soon, somebody waits
	// for that outcome; else it may be a few milliseconds until the server is asked.
	AckLater(ctx context.Context, then Acked, soon bool)
}

// Acked is told how an acknowledgement ended. It does not block.
type Acked interface{ Acked(err error) }

// Feed hands out a route's messages.
type Feed interface {
	// Run calls handle for each delivery, one at a time, until ctx ends or the
	// feed fails for good (ErrFeedLost). When ctx has ended it pulls nothing more, hands
	// over what it had pulled already, so that it can be released, and lets another
	// client become the active one. It returns only after the last call
	// returned, and leaves what was not acknowledged to a later delivery. handle
	// may block until ctx ends: nothing more is pulled meanwhile. Otherwise a delivery is handed
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
	// Active tells who that client is, and ActiveSince since when it is the active one.
	// A message that was delivered here and is not handed over yet may be missing from it.
	Active      Active
	ActiveSince time.Time
}

// Writer makes one keyed write. Failures are *outcome.Error (or the context's, together
// with ErrNotSent when no request whose answer is unknown was sent).
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
	// Method, Path and Body are the exact request, empty when none was made. Values of
	// the columns in RouteConfig.Redact are hidden in the body.
	Method string
	Path   string
	Body   []byte
	// Key is the hash of the addressed record's key (KeyHash), of the first write's
	// when there are several, of a parked message that of the lane; Revision is the
	// event's revision. "" when unknown.
	Key      string
	Revision string
	// Keys are the hashes of the other keys of a parked message.
	Keys []string
	// Writes is the number of writes when the message has several, 0 else. Done of
	// them were accepted; Accepted lists their paths, separated by blanks, as far as
	// they fit. The request above is the next one.
	Writes   int
	Done     int
	Accepted string
	// Waits lists the records that the write refers to, as paths separated by
	// blanks, when one of them is missing.
	Waits string
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
	// Cause is the same event as it may be handed on: within bounds, and with what
	// it belongs to.
	Cause Cause
	// Outcome is "written", "superseded" or "rejected".
	Outcome string
	// Table, Effect, RecordID and Version are those of the first write.
	Table  string
	Effect schema.Effect
	// RecordID and Version are "" and 0 when the answer did not tell them and the
	// message did not address the record by its GUID.
	RecordID string
	Version  int64
	Reason   string
	Text     string
	// Writes are the accepted writes of a message that has several, in their order.
	Writes []ReceiptWrite
}

// ReceiptWrite is one accepted write among several.
type ReceiptWrite struct {
	Table    string
	Effect   schema.Effect
	RecordID string
	Version  int64
}

// Applied is what was applied last to a key.
type Applied struct {
	// Revision is in the form of a Reviser, "" when nothing is known of the key.
	Revision string
	// Incarnation and Sequence name the message that brought it.
	Incarnation string
	Sequence    uint64
	// Place is where the store keeps this; 0 when it keeps nothing.
	Place uint64
}

// Revisions keeps, for every key of a route, what was applied last. All instances
// of a route share it, and it outlives them.
type Revisions interface {
	// Applied reads what is stored of a key (KeyHash), not an older state of it.
	Applied(ctx context.Context, key string) (Applied, error)
	// Advance stores a in the place of what stood at a.Place, and returns the new
	// place. It fails with ErrOutdated when something else stands there by now, and
	// with ErrStateFull when there is no room.
	Advance(ctx context.Context, key string, a Applied) (place uint64, err error)
}

// Parked is a message that waits longer than it may be kept in hand. Its letter
// says why; First is when it began to wait.
type Parked struct {
	Letter *Letter
	// Place is where the store keeps it; the messages of a key ascend in it.
	Place uint64

	// done counts the writes that were accepted before this session parked it again.
	done int
}

// Parking keeps parked messages for all instances of a route. It survives them.
type Parking interface {
	Tenure
	// Park returns once the message is stored, and sets its place. It may be
	// repeated. Errors: ErrFenced when another term has begun, ErrOutboxFull.
	Park(ctx context.Context, p *Parked) error
	// Fetch reads a whole parked message; ErrNotParked when it is gone.
	Fetch(ctx context.Context, p *Parked) (*Parked, error)
	// Remove ends the parking of a message. It may be repeated.
	Remove(ctx context.Context, p *Parked) error
}

// Tenure makes one instance at a time the one that parks messages and tries them
// again.
type Tenure interface {
	// Open begins a term: whatever another instance still tries to park in an
	// earlier one is refused from then on.
	Open(ctx context.Context) (Opened, error)
	// Hold renews the term; ErrFenced when another one has begun.
	Hold(ctx context.Context) error
	// End ends the term, for the next Open of any instance to see; ErrFenced when it is
	// not the present one, or not surely this instance's own.
	End(ctx context.Context) error
	// Term is a number that changes with every Open, Hold and End of any instance; 0
	// when nothing is parked. Ended tells whether the term was ended.
	Term(ctx context.Context) (term uint64, ended bool, err error)
}

// Opened is how a term begins.
type Opened struct {
	// Parked is all that is parked; header and data of the messages may be left out.
	Parked []*Parked
	// Ended: this term follows directly on one that was ended (Tenure.End). Own: on one
	// that this Tenure itself began or renewed, and surely got. Of those who find the same
	// end one alone is told.
	Ended, Own bool
	// Unsure: there is no room to begin a term, so the one before is not over. Then neither
	// Ended nor Own is set.
	Unsure bool
}

var (
	// ErrNotSent: the caller gave up before the request was sent.
	ErrNotSent = errors.New("the request was not sent")
	// ErrFenced: another instance has begun a term of its own.
	ErrFenced = errors.New("another instance parks the messages of this route now")
	// ErrNotParked: the message is not parked any more.
	ErrNotParked = errors.New("the message is not parked any more")
	// ErrOutdated: somebody else stored another revision meanwhile.
	ErrOutdated = errors.New("another instance stored a revision of this key meanwhile")
	// ErrStateFull: the stream of revisions takes no more. Nothing is acknowledged.
	ErrStateFull = errors.New("the stream that keeps revisions is full")
	// ErrFeedLost: the stream or consumer is gone. A person must act.
	ErrFeedLost = errors.New("the source stream or its consumer is gone")
	// ErrOutboxFull: the dead-letter stream takes no more. Nothing is acknowledged.
	ErrOutboxFull = errors.New("the dead-letter stream is full")
)
