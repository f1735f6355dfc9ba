package soak

import "encoding/json"

// History is what happened, from both ends.
type History struct {
	// Writes are the commits of the write log, and what befell the source, in order.
	Writes []Write
	// Events is the stream as it was recorded while it grew: every message, in the
	// order of sequences, from 1.
	Events []Event
	// Sent are the inbound messages, in stream order.
	Sent []Sent
	// Dead holds the stream sequences of messages that are dead letters.
	Dead map[uint64]bool
	// AckFloor: every inbound message up to this sequence is settled; so is each
	// above that is not among Unsettled.
	AckFloor  uint64
	Unsettled int
	// Tables are the followed tables by name.
	Tables map[string]Followed
	// Halted are tables that were made to halt and stayed so.
	Halted map[string]bool
	// Source begins the source attribute of every event: <Source>/<table>.
	Source string
}

// Followed says what of a table is published.
type Followed struct {
	// Columns are compared, by read name.
	Columns []string
	// Keep tells whether a row passes the filter; nil keeps all.
	Keep func(columns map[string]json.RawMessage) bool
	// OnlyChanges: a version that differs from the last event in none of the
	// published columns but Ignore has no event.
	OnlyChanges bool
	Ignore      []string
	// References are the lookups, by logical name, of which events state a key.
	References map[string]Reference
	// Above is the size above which the data of an event is put aside; 0 for never.
	Above int
}

// Reference is one lookup that points at the records of one followed table.
type Reference struct {
	// Read is the lookup's column, Table where it points, Key a column there.
	Read, Table, Key string
}

// Mark is what befell the source between two commits.
type Mark string

const (
	// Expired: the table's tokens are void, and its deletes forgotten.
	Expired Mark = "expired"
	// Restored: the database went back to the state at Version.
	Restored Mark = "restored"
)

// Write is one commit of the simulator, or a Mark.
type Write struct {
	Mark    Mark
	Table   string
	ID      string
	Version int64
	Deleted bool
	// Columns is the record after the commit; nil on deletes.
	Columns map[string]json.RawMessage
}

// Kind tells the messages of the event stream apart.
type Kind uint8

const (
	// Record is an event of a record.
	Record Kind = iota
	// Checkpoint is a table's cursor.
	Checkpoint
	// Other is any other message: notices, leases.
	Other
)

// Event is one message of the event stream.
type Event struct {
	Kind     Kind
	Sequence uint64
	Table    string
	// Batch is the atomic batch that stored the message, Place its place in it.
	Batch string
	Place uint64

	// Of a checkpoint: the sequence that it replaced, the name of its commit, and the
	// table's epoch. Epoch is an event's too.
	Expected uint64
	Attempt  string
	Epoch    int

	// Of an event.
	ID       string
	EventID  string
	Source   string
	Version  int64
	Previous string // previousversion as it stands
	Change   string
	Reason   string
	Record   map[string]json.RawMessage
	// Size is what the event takes in the stream. DataRef says where its data is instead,
	// and Lost what is wrong with the data there.
	Size          int
	DataRef, Lost string
	References    map[string]Referenced
}

// Referenced is what an event states of the target of a lookup.
type Referenced struct {
	Table string                     `json:"table"`
	ID    string                     `json:"id"`
	Key   map[string]json.RawMessage `json:"key"`
}

// Sent is one inbound message: its key, and its place in the order of that key.
type Sent struct {
	Sequence uint64
	Table    string
	Key      string
	Order    int64
}

// Workload names the columns through which a write tells which message caused it.
const (
	KeyColumn   = "accountnumber"
	OrderColumn = "numberofemployees"
)
