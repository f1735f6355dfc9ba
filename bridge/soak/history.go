package soak

import "encoding/json"

// History is what happened, from both ends.
type History struct {
	// Writes are the commits of the write log, in order.
	Writes []Write
	// Events are the record events and checkpoints of the stream, in order.
	Events []Event
	// Sent are the inbound messages, in stream order.
	Sent []Sent
	// Dead holds the stream sequences of messages that are dead letters.
	Dead map[uint64]bool
	// AckFloor: every inbound message up to this sequence is settled; so is each
	// above that is not among Unsettled.
	AckFloor  uint64
	Unsettled int
	// Tables are the followed tables with their published columns (read names).
	Tables map[string][]string
}

// Write is one commit of the simulator.
type Write struct {
	Table   string
	ID      string
	Version int64
	Deleted bool
	// Columns is the whole record after the commit; nil on deletes.
	Columns map[string]json.RawMessage
}

// Event is one message of the event stream.
type Event struct {
	Sequence uint64
	Table    string
	// Checkpoint marks the table's cursor; the fields below are then empty.
	Checkpoint bool
	ID         string
	Version    int64
	Change     string
	Record     map[string]json.RawMessage
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
