package outbound

import (
	"maps"
	"sync"
	"time"

	"cebridge/schema/event"
)

// State is what a table is doing, for people and metrics.
type State string

// The states of a table.
const (
	StateStarting  State = "starting" // the checkpoint is not read yet
	StateLoading   State = "loading"
	StateFollowing State = "following"
	StateResyncing State = "resyncing"
	StatePaused    State = "paused" // by a person
	StateHalted    State = "halted" // needs a person
)

// States lists every state, for metrics.
var States = [...]State{StateStarting, StateLoading, StateFollowing, StateResyncing, StatePaused, StateHalted}

// Status is a snapshot of one table.
type Status struct {
	Table string
	State State
	// Detail says what the table waits for, or what a person should do; "" when
	// all is well.
	Detail string
	// Phase, Epoch, Page and Rows are the position: see Checkpoint.
	Phase Phase
	Epoch int
	Page  int64
	Rows  int64
	// Resync is why the table is being read again; "" when it is not.
	Resync string
	// TokenAge is the age of the delta link, TokenLife how long the organization
	// lets one be used; 0 when unknown.
	TokenAge  time.Duration
	TokenLife time.Duration
	// Interval is the present time between two polls; 0 before the first wait.
	Interval time.Duration
	// Late counts events that only the overlap found.
	Late uint64
	// Missed counts events of rows that a round of several pages had skipped.
	Missed uint64
	// CheckpointSequence is 0 before the first checkpoint.
	CheckpointSequence uint64
	CheckpointAge      time.Duration
	// Lag is the age of what the stream shows: now minus the start of the last
	// poll that is published completely. 0 until there was one.
	Lag time.Duration
	// SinceSuccess is the time since a poll last succeeded; 0 until one did.
	SinceSuccess time.Duration
	// Published counts stored events by change, Skipped rows by reason, both since
	// the worker was made.
	Published map[event.Change]uint64
	Skipped   map[string]uint64
	Fenced    uint64
	Failures  uint64
	// LastError is the text of the last failure, kept after it is overcome;
	// LastErrorAt is its time.
	LastError   string
	LastErrorAt time.Time
}

// board is the worker's state as others may see it.
type board struct {
	mu        sync.Mutex
	s         Status
	running   State // the state without regard to pause and halt
	paused    bool
	elsewhere bool // paused by the checkpoint, not by a person here
	resuming  bool // a person resumed it here, and no commit has said so yet
	halted    bool
	written   time.Time // of the checkpoint
	published time.Time // start of the last fully published poll
	success   time.Time
	obtained  time.Time   // of the delta link
	request   *needResync // a person's, until it is begun
}

func newBoard(table string) *board {
	return &board{running: StateStarting, s: Status{
		Table: table, Published: map[event.Change]uint64{}, Skipped: map[string]uint64{},
	}}
}

// update changes the board under its lock.
func (b *board) update(change func(b *board)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *board) status(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.s
	s.State = b.state()
	if s.State == StateResyncing && s.Detail == "" {
		s.Detail = "reading the table again: " + s.Resync
	}
	s.Published = maps.Clone(b.s.Published)
	s.Skipped = maps.Clone(b.s.Skipped)
	s.CheckpointAge = since(now, b.written)
	s.Lag = since(now, b.published)
	s.TokenAge = since(now, b.obtained)
	s.SinceSuccess = since(now, b.success)
	return s
}

// state ranks what a person must see first.
func (b *board) state() State {
	switch {
	case b.paused, b.elsewhere:
		return StatePaused
	case b.halted:
		return StateHalted
	}
	return b.running
}

func since(now, t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t), 0)
}

// at shows a position and returns the state before and after, without regard to
// pause and halt.
func (b *board) at(c *Checkpoint) (was, now State) {
	b.update(func(b *board) {
		was = b.running
		b.running = StateLoading
		b.s.Resync = ""
		switch c.Phase {
		case PhaseFollowing:
			b.running = StateFollowing
		case PhaseResyncing:
			b.running = StateResyncing
			b.s.Resync = c.Resync.Reason
		}
		b.obtained = c.Obtained
		b.s.Phase, b.s.Epoch, b.s.Page, b.s.Rows = c.Phase, c.Epoch, c.Page, c.Rows
		now = b.running
	})
	return was, now
}

// show shows a position, and logs a new state.
func (w *Worker) show(c *Checkpoint) {
	if was, now := w.board.at(c); was != now {
		w.logger.Info("outbound: table is "+string(now), "state", now, "before", was, "epoch", c.Epoch, "page", c.Page)
	}
}

// detail shows what the table waits for.
func (b *board) detail(text string) { b.update(func(b *board) { b.s.Detail = text }) }

// failed notes a failure.
func (b *board) failed(err error, now time.Time) {
	b.update(func(b *board) {
		b.s.Failures++
		b.s.LastError, b.s.LastErrorAt = err.Error(), now
	})
}
