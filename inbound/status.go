package inbound

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"cebridge/schema/outcome"
)

// State is what a route is doing.
type State string

// The states.
const (
	// StateIdle: Run was not called, or has returned.
	StateIdle State = "idle"
	// StateReady: messages are asked for, and no instance is known to be the active one.
	StateReady State = "ready"
	// StateRunning: this instance is the active one: messages are applied as they come.
	StateRunning State = "running"
	// StateStandby: another instance is the active one.
	StateStandby State = "standby"
	// StateHolding: new messages wait until older ones, delivered before a
	// take-over, are settled or in hand.
	StateHolding State = "holding"
	// StateStopped: a person must act, then resume. Nothing is acknowledged.
	StateStopped State = "stopped"
	// StatePaused: a person paused the route.
	StatePaused State = "paused"
)

// States lists every state, for metrics.
var States = [...]State{StateIdle, StateReady, StateRunning, StateStandby, StateHolding, StateStopped, StatePaused}

// Status is a route at one moment. Its texts hold no personal data.
type Status struct {
	Route string
	State State
	// Detail says what the route waits for and what to do next, "" when all is well.
	Detail string
	// InFlight is the number of messages in hand, Lanes that of their keys.
	InFlight int
	Lanes    int
	// Parked is the number of messages that are parked, as far as this instance knows.
	Parked int
	// Pending is the number of messages not delivered yet, as last read.
	Pending uint64
	// Results counts the messages settled by this process, by outcome.
	Results map[string]uint64
	// LastError is the last failure of any kind, "" when there was none.
	LastError     string
	LastErrorTime time.Time
}

// report is what Status tells beyond the session itself.
type report struct {
	mu       sync.Mutex
	results  map[string]uint64
	last     string
	lastTime time.Time
	position FeedState
	alarm    bool
	// told is what the log was told of failures that the route recovers from.
	told map[string]*told
}

func newReport() report {
	return report{results: make(map[string]uint64), told: make(map[string]*told)}
}

// Status tells what the route is doing.
func (r *Route) Status() Status {
	st := Status{Route: r.cfg.Name, State: StateIdle}
	r.mu.Lock()
	running, paused, stopped, s := r.running, r.paused, r.stopped, r.current
	r.mu.Unlock()
	switch {
	case stopped != nil:
		st.State, st.Detail = StateStopped, brief(stopped)+"; "+nextAction(stopped)
	case paused:
		st.State, st.Detail = StatePaused, "resume the route to go on"
	case running:
		st.State, st.Detail = r.standing.state(time.Now(), max(r.cfg.AckWait, positionEvery))
	}
	holding, tends := false, false
	if s != nil {
		s.mu.Lock()
		st.InFlight, st.Lanes = len(s.held), len(s.lanes.byKey)
		st.Parked = s.yard.count
		holding = s.gate.started && !s.gate.open
		tends = s.yard.count > 0 && s.holds(time.Now())
		if s.ending && stopped == nil && !paused {
			if needsPerson(s.cause) {
				st.State, st.Detail = StateStopped, brief(s.cause)+"; "+nextAction(s.cause)
			}
		}
		s.mu.Unlock()
	}
	rep := &r.report
	rep.mu.Lock()
	defer rep.mu.Unlock()
	st.Pending, st.Results = rep.position.Pending, maps.Clone(rep.results)
	st.LastError, st.LastErrorTime = rep.last, rep.lastTime
	if st.State == StateReady && tends {
		// Nothing is delivered, and the parked messages are this instance's to try.
		st.State, st.Detail = StateRunning, ""
	}
	if st.State != StateRunning {
		return st
	}
	switch {
	case holding:
		st.State = StateHolding
		st.Detail = fmt.Sprintf("after a take-over, messages that another client left unacknowledged come first; "+
			"they return within the ack wait (%d unacknowledged in all)", rep.position.AckPending)
	case st.Parked > 0 && !rep.alarm:
		st.Detail = fmt.Sprintf("%d messages are parked: most often because a record they refer to is missing", st.Parked)
	case rep.alarm:
		st.Detail = "the credentials are refused; check the application user, its secret or certificate"
	}
	return st
}

// brief describes an error without the texts of a server, which may quote records.
func brief(err error) string {
	e := outcome.Of(err)
	if e == nil {
		return err.Error()
	}
	text := string(e.Verdict) + ": " + string(e.Reason)
	if e.Status != 0 {
		text += ", status " + strconv.Itoa(e.Status)
	}
	if e.Code != "" {
		text += ", code " + e.Code
	}
	if e.Privilege != "" {
		text += ", " + e.Privilege + " is missing"
	}
	if row := (*refusals)(nil); errors.As(err, &row) {
		text = row.prefix() + text
	}
	return text
}

// needsPerson tells whether a session that ended for this reason must not be
// followed by another before a person acted.
func needsPerson(err error) bool {
	return errors.Is(err, ErrFeedLost) || errors.Is(err, ErrOutboxFull) || errors.Is(err, ErrStateFull) || outcome.Of(err) != nil
}

// nextAction tells a person what to do about a stopped route.
func nextAction(err error) string {
	switch {
	case errors.Is(err, ErrOutboxFull):
		return "make room in the dead-letter stream, then resume the route"
	case errors.Is(err, ErrStateFull):
		return "make room in the event stream, then resume the route"
	case errors.Is(err, ErrFeedLost):
		return "restore or provision the stream and its consumer, then resume the route"
	}
	if e := outcome.Of(err); e != nil {
		switch e.Reason {
		case outcome.Unauthorized:
			return "check the application user, its secret or certificate, then resume the route"
		case outcome.Forbidden:
			return "grant " + cmp.Or(e.Privilege, "the missing privilege") + " to the bridge's user, and see that it is enabled and licensed, " +
				"then resume the route" + retryLetters(err)
		case outcome.TargetForbidden:
			return "grant " + cmp.Or(e.Privilege, "the missing privilege") + " to the owners that the messages name, see that they are enabled, " +
				"and that the bridge's user may assign to them, then resume the route" + retryLetters(err)
		case outcome.Config, outcome.Unsupported:
			return "compare the route's table, keys and columns with the organization, then resume the route"
		}
	}
	return "look at the last dead letters, correct the cause, then resume the route"
}

// retryLetters says what is left to do when messages were rejected before the route
// stopped: they stay dead letters until a person sends them again.
func retryLetters(err error) string {
	if row := (*refusals)(nil); !errors.As(err, &row) {
		return ""
	}
	return " and send its dead letters again"
}
