package admin

import "time"

// Status is the bridge at one moment. The JSON names are a contract.
type Status struct {
	Version string        `json:"version"`
	Org     string        `json:"org"`
	Started time.Time     `json:"started"`
	NATS    NATSStatus    `json:"nats"`
	WebAPI  *WebAPIStatus `json:"webapi,omitempty"`
	Tables  []TableStatus `json:"tables"`
	Routes  []RouteStatus `json:"routes"`
}

// NATSStatus is the state of the connection.
type NATSStatus struct {
	Connected bool `json:"connected"`
	// Embedded tells that the server runs inside this process.
	Embedded bool `json:"embedded"`
}

// TableStatus is one table's worker.
type TableStatus struct {
	Table string `json:"table"`
	// State is starting, loading, following, resyncing, paused or halted; Detail says
	// why, and what to do. Read from the stream alone it is none before the first
	// checkpoint, and never starting or halted.
	State      string           `json:"state"`
	Detail     string           `json:"detail,omitempty"`
	Checkpoint CheckpointStatus `json:"checkpoint"`
	// LagSeconds is now minus the start of the last fully published poll, and
	// SinceSuccessSeconds the age of the last good poll; null before the first.
	LagSeconds          *float64 `json:"lag_seconds"`
	SinceSuccessSeconds *float64 `json:"since_success_seconds"`
	// TokenAgeSeconds is the age of the delta link, TokenLifeSeconds how long Customer
	// Engagement lets one be used: at half of it there is a warning, at 80 % the table
	// is read again. 0 where there is no link yet, or its life is not known.
	TokenAgeSeconds  float64 `json:"token_age_seconds,omitempty"`
	TokenLifeSeconds float64 `json:"token_life_seconds,omitempty"`
	// PollSeconds is the present time between two polls, as changes and the budget of
	// requests made it; 0 before the first.
	PollSeconds float64 `json:"poll_seconds,omitempty"`
	// Missed counts events of rows that the source's paging had skipped.
	Missed int64 `json:"missed,omitempty"`
	// Events counts what was published, by change; Skipped what was not, by reason.
	Events    map[string]int64 `json:"events"`
	Skipped   map[string]int64 `json:"skipped,omitempty"`
	LastError string           `json:"last_error,omitempty"`
}

// CheckpointStatus is a table's stored cursor.
type CheckpointStatus struct {
	// Sequence is the checkpoint's place in the event stream, 0 before the first.
	Sequence   uint64  `json:"sequence"`
	AgeSeconds float64 `json:"age_seconds"`
	Phase      string  `json:"phase"`
	Epoch      int     `json:"epoch"`
	// Rows is how many rows the running load has read.
	Rows int64 `json:"rows"`
}

// RouteStatus is one inbound route.
type RouteStatus struct {
	Route string `json:"route"`
	// State is idle, ready, running, standby, holding, paused or stopped, or held while the
	// route waits for an alternate key; Detail says why. Of the instances that share a route
	// one is running, or holding, and the others stand by; before its first message all are
	// ready.
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
	// Pending messages are not delivered yet, AckPending ones not settled, and
	// InFlight ones are in this process.
	Pending    uint64 `json:"pending"`
	AckPending int    `json:"ack_pending"`
	InFlight   int    `json:"in_flight"`
	// Results counts settled messages by what became of them.
	Results   map[string]int64 `json:"results"`
	LastError string           `json:"last_error,omitempty"`
}
