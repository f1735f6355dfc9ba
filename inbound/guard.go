package inbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"

	"cebridge/schema/outcome"
)

// guardSize is how many keys a route knows the last revision of without asking.
const guardSize = 8192

// KeyHash is the name of a record (schema.Write.Identity) or lane (schema.Write.Lane) where it must not be readable
// and must be one token: 32 hexadecimal digits.
func KeyHash(lane string) string {
	sum := sha256.Sum256([]byte(lane))
	return hex.EncodeToString(sum[:16])
}

// guard keeps an older revision of a record from being written over a newer one.
// What was applied last is stored before the message is acknowledged, so that it
// holds for every instance and after every restart. What it remembers itself is
// forgotten at each take-over, since others may have written meanwhile.
type guard struct {
	store Revisions

	mu sync.Mutex
	// era counts take-overs: what was asked for in an earlier one is not kept.
	era   uint64
	known map[string]Applied
	order []string // a ring; order[at] is the oldest when full
	at    int
	size  int
}

func newGuard(store Revisions) *guard {
	if store == nil {
		return nil
	}
	return &guard{store: store, known: make(map[string]Applied), size: guardSize}
}

// forget drops everything remembered.
func (g *guard) forget() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.era++
	clear(g.known)
	g.order, g.at = g.order[:0], 0
}

// applied returns what was applied last to a key.
func (g *guard) applied(ctx context.Context, key string) (Applied, error) {
	g.mu.Lock()
	a, ok := g.known[key]
	era := g.era
	g.mu.Unlock()
	if ok {
		return a, nil
	}
	a, err := g.store.Applied(ctx, key)
	if err != nil {
		return Applied{}, err
	}
	g.keep(era, key, a)
	return a, nil
}

func (g *guard) keep(era uint64, key string, a Applied) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if era != g.era {
		return
	}
	if _, ok := g.known[key]; !ok {
		if len(g.order) < g.size {
			g.order = append(g.order, key)
		} else {
			delete(g.known, g.order[g.at])
			g.order[g.at] = key
			g.at = (g.at + 1) % g.size
		}
	}
	g.known[key] = a
}

// judge tells what to do with a message: nil to write it, else its fate. A message
// that is itself the one applied last is written again, in its place: its
// acknowledgement was lost. So is the dead letter of that one, sent again with the
// same revision: only some of its writes had been accepted.
func (g *guard) judge(ctx context.Context, e *entry) (*settlement, error) {
	a, err := g.applied(ctx, KeyHash(e.writes[0].Identity()))
	if err != nil || a.Revision == "" || a.id() == e.message.id() || a.Revision == e.revision && e.message.retries(a.id()) {
		return nil, err
	}
	switch {
	case a.Revision[0] != e.revision[0]:
		return &settlement{outcome: Rejected, err: &outcome.Error{Verdict: outcome.Reject, Reason: outcome.Invalid,
			Message: "the revision is of another kind (number, time, text) than the one applied last to this record"}}, nil
	case e.revision <= a.Revision:
		return &settlement{outcome: Superseded}, nil
	}
	return nil, nil
}

// maxAdvances bounds how often a revision is compared again after others stored one.
const maxAdvances = 4

// advance stores that a message was applied, or some of its writes. It may be
// repeated. A newer revision that somebody else stored meanwhile stays.
func (g *guard) advance(ctx context.Context, e *entry) error {
	key := KeyHash(e.writes[0].Identity())
	g.mu.Lock()
	era := g.era
	g.mu.Unlock()
	before, err := g.applied(ctx, key)
	for range maxAdvances {
		if err != nil {
			return err
		}
		if before.Revision > e.revision || before.Revision == e.revision && !e.message.retries(before.id()) {
			g.keep(era, key, before)
			return nil
		}
		mine := Applied{
			Revision: e.revision, Incarnation: e.message.Incarnation, Sequence: e.message.Sequence, Place: before.Place,
		}
		mine.Place, err = g.store.Advance(ctx, key, mine)
		if err == nil {
			g.keep(era, key, mine)
			return nil
		}
		if !errors.Is(err, ErrOutdated) {
			return err
		}
		before, err = g.store.Applied(ctx, key)
	}
	return ErrOutdated
}
