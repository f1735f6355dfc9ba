package inbound

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Active tells who the active client of a consumer is, the one that receives.
type Active int

// Who is active.
const (
	// ActiveUnknown: the feed does not tell.
	ActiveUnknown Active = iota
	// ActiveNobody: nothing was delivered yet, or the one that was active has left. The
	// next message makes one of the clients that ask for it the active one.
	ActiveNobody
	ActiveSelf
	ActiveOther
)

// standing is a route's place among the instances that share its consumer, as far as it
// is known here. It decides nothing: the gate does.
type standing struct {
	mu sync.Mutex
	// turns counts what makes a position void that was asked for before it: the beginnings
	// of sessions and of claims.
	turns uint64
	known
}

// known is what was learned of the active client since the last turn.
type known struct {
	// read: the consumer's position was read in this session, or a message came.
	read   bool
	active Active
	since  time.Time
	// at is when active was last known to be true. failing: it could not be read since.
	at      time.Time
	failing bool
}

// begin forgets all, at the beginning of a session.
func (st *standing) begin() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.turns++
	st.known = known{}
}

// took notes that a message came under a new claim. It tells whether that is news.
func (st *standing) took(now time.Time) (news bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	news = st.active != ActiveSelf
	st.turns++
	st.known = known{read: true, active: ActiveSelf, since: now, at: now}
	return news
}

// turn is to be read before a position is asked for.
func (st *standing) turn() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.turns
}

// learn takes in a position that was asked for in that turn. It tells whether it is news.
func (st *standing) learn(turn uint64, p FeedState, now time.Time) (news bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if turn != st.turns {
		return false
	}
	news = !st.read || st.active != p.Active
	st.known = known{read: true, active: p.Active, since: p.ActiveSince, at: now}
	return news
}

// failed notes that the position could not be read.
func (st *standing) failed(turn uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if turn == st.turns {
		st.failing = true
	}
}

// state is what the standing makes of a route that runs, with a text. What could not be
// confirmed for longer than bound may be true no more.
func (st *standing) state(now time.Time, bound time.Duration) (State, string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case !st.read:
		return StateReady, "which instance is the active one is not known yet"
	case st.failing && now.Sub(st.at) >= bound:
		return StateReady, "which instance is the active one is not known: the consumer's position could not be read since " +
			st.at.UTC().Format(time.RFC3339)
	case st.active == ActiveOther:
		return StateStandby, fmt.Sprintf("another instance has been the active one since %s; "+
			"this one can take over when that one ends, or is not heard of for the ack wait", st.since.UTC().Format(time.RFC3339))
	case st.active == ActiveNobody:
		return StateReady, "no instance is the active one: the next message goes to one of those that wait for it"
	}
	return StateRunning, ""
}

// Position reads the consumer's position from the server. What it says of the active
// client stands in Status from then on.
func (r *Route) Position(ctx context.Context) (FeedState, error) {
	turn := r.standing.turn()
	p, err := r.feed.State(ctx)
	if err != nil {
		r.standing.failed(turn)
		return p, err
	}
	if r.standing.learn(turn, p, time.Now()) {
		switch p.Active {
		case ActiveOther:
			r.deps.Logger.Info("another instance is the active one of the route", "since", p.ActiveSince)
		case ActiveNobody:
			r.deps.Logger.Info("no instance is the active one of the route")
		case ActiveSelf:
			r.activated()
		}
	}
	return p, nil
}

func (r *Route) activated() {
	r.deps.Logger.Info("this instance is the active one of the route")
}
