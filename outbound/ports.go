package outbound

import (
	"context"
	"errors"
	"time"

	"cebridge/schema"
)

// Source reads one table of Customer Engagement. Every failure is an
// *outcome.Error (or the context's error).
type Source interface {
	// Page fetches one page of a tracked query. An empty link begins the initial
	// load; any other is a Next or Delta of an earlier page, relative to the API
	// root. The returned rows belong to the caller.
	Page(ctx context.Context, q Query, link string) (*Page, error)
	// Exists tells whether a record is live now.
	Exists(ctx context.Context, q Query, id string) (bool, error)
}

// Query says what to read of a table. Columns are logical names; the source
// selects them under their read names and adds the version column itself.
type Query struct {
	Table    *schema.Table
	Columns  []string
	PageSize int
	// Bulk marks a page of a long read, which may wait behind those of others: of a
	// load, of a resync, and of a round with more than bulkPages pages.
	Bulk bool
}

// Page is one page. Exactly one of Next and Delta is set: Delta on the last page
// of a round. Both are relative to the API root: accounts?$select=...
type Page struct {
	Rows  []Row
	Next  string
	Delta string
}

// Row is one entry of a page, in the server's order.
type Row struct {
	// ID is the record's GUID in lower case.
	ID string
	// Version is the row version; 0 on deletes, which carry none.
	Version int64
	// Modified is modifiedon as sent, or "".
	Modified string
	// Deleted marks a record that is gone; JSON is then nil.
	Deleted bool
	// JSON is the row as sent without its OData annotations: a valid object in which no
	// name stands twice.
	JSON []byte
	// Hash is a hash of the row's columns without the version column.
	Hash uint64
	// Out: the table's filter does not let the record be published. A Shaper sets it.
	Out bool
}

// Log is the event stream. Its errors wrap the sentinels below.
type Log interface {
	// Checkpoint reads the last value on subject from the stream's leader, never
	// from a replica. No value yet: sequence 0 and nil data. The subject may end in
	// a wildcard: then it is the last message on any subject that matches.
	Checkpoint(ctx context.Context, subject string) (data []byte, seq uint64, err error)
	// Last calls fn with the last message of every subject that has one. The
	// answer is complete, and proven not older than the checkpoint: it shows
	// fenceSubject at exactly sequence fence (fence 0: no message at all).
	// Otherwise it fails with ErrStale or ErrFenced and fn's calls are void.
	Last(ctx context.Context, fenceSubject string, fence uint64, subjects []string, fn func(Stored) error) error
	// Commit stores b as one atomic batch: all of it or nothing. It returns the
	// sequence of the checkpoint.
	Commit(ctx context.Context, b Batch) (seq uint64, err error)
}

// Scanner reads the stream without the bodies of its messages.
type Scanner interface {
	// Scan calls fn with subject, sequence and headers of the last message of every
	// subject that matches filter, in the order of sequences; an earlier one of the
	// same subject may come before it. The answer is complete up to sequence fence,
	// which fenceSubject must have reached (fence 0: up to the end); otherwise it fails
	// with ErrStale or ErrUnavailable and fn's calls are void. An error of fn ends it.
	Scan(ctx context.Context, filter, fenceSubject string, fence uint64, fn func(Stored) error) error
}

// Stream is all that a worker asks of a stream.
type Stream interface {
	Log
	Scanner
}

// Confirmer may be implemented by a Source that can look up many records at once.
type Confirmer interface {
	// Missing returns those of ids, at most 500, that are not live now.
	Missing(ctx context.Context, q Query, ids []string) ([]string, error)
}

// Finder reads records as they are now, without change tracking. It is needed for
// TableConfig.References.
type Finder interface {
	// Find reads the columns of the records ids, at most MaxFind, and returns those
	// that are there, by id in lower case. Its failures are those of a Source.
	Find(ctx context.Context, q Query, ids []string) (map[string]Found, error)
}

// MaxFind is how many records may be asked for at a time.
const MaxFind = 1000

// Found is one record as it is now.
type Found struct {
	// Columns holds the columns' values as JSON, by logical name; one that the source
	// left out is absent.
	Columns map[string][]byte
	// Tables names the table that each lookup with a value points at, by the logical
	// name of the lookup.
	Tables map[string]string
}

// Lister may be implemented by a Source that can list a table without change
// tracking. It lets a full read of several pages be held against the list.
type Lister interface {
	// List returns one page of the records' ids and versions, in an order in which a
	// change does not move a record. An empty link begins; Next is "" on the last page.
	List(ctx context.Context, q Query, link string) (*Page, error)
	// Record reads one record as Page would show it now; nil when it is not live.
	Record(ctx context.Context, q Query, id string) (*Row, error)
}

// Inspector may be implemented by a Source that can tell what column security hides.
type Inspector interface {
	// Unreadable returns those of the query's columns, by logical name, that are
	// secured and that the user may not read now: rows show them as null.
	Unreadable(ctx context.Context, q Query) ([]string, error)
}

// Retention tells how long a delta link may be used.
type Retention interface {
	// TokenRetention is what the organization has configured; 0 is unknown.
	TokenRetention(ctx context.Context) (time.Duration, error)
}

// Batch is one commit: at most MaxBatch messages, the checkpoint included.
type Batch struct {
	Messages []Message
	// Checkpoint is stored last, fenced with Expected: the sequence of the
	// checkpoint that the batch starts from, 0 for the first one ever.
	Checkpoint Message
	Expected   uint64
}

// MaxBatch is JetStream's limit of messages in one atomic batch.
const MaxBatch = 1000

// Message is one message to store. Subjects within a batch differ.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
	// Alone: it takes the place of everything on its subject, and never expires.
	Alone bool
}

// Stored is a message that the stream holds.
type Stored struct {
	Subject  string
	Sequence uint64
	Header   map[string][]string
	Data     []byte
}

var (
	// ErrFenced: the checkpoint is not the expected one. Nothing was stored.
	ErrFenced = errors.New("another writer moved the checkpoint")
	// ErrUnknown: the batch may or may not be stored. Read the checkpoint.
	ErrUnknown = errors.New("the outcome of the commit is unknown")
	// ErrStale: a replica that lags behind answered. Read again.
	ErrStale = errors.New("the stream's answer is older than the checkpoint")
	// ErrUnavailable: nothing was stored, and the same may succeed later.
	ErrUnavailable = errors.New("the stream does not accept messages now")
	// ErrFull: the stream is full. Nothing was stored.
	ErrFull = errors.New("the stream is full")
	// ErrTooLarge: one message is beyond the server's or the stream's limit, or
	// the batch has more messages than the server takes. Nothing was stored.
	ErrTooLarge = errors.New("the message is larger than the stream takes")
	// ErrBatchTooLong: the server takes fewer messages in one batch. Nothing was stored.
	ErrBatchTooLong = errors.New("the server takes fewer messages in one batch")
	// ErrMisconfigured: the stream is missing or lacks a setting. A person must act.
	ErrMisconfigured = errors.New("the stream is not set up for the bridge")
)
