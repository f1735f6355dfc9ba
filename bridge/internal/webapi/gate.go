package webapi

import (
	"context"
	"sync"
	"time"
)

const (
	// unnamedDelay closes the gate when a server throttles without saying for how long.
	unnamedDelay = 5 * time.Second
	// minDelay is waited even when a server that throttles asks for no delay.
	minDelay = time.Second
	// maxSpread bounds how long after the opening the last waiter is let through.
	maxSpread = time.Second
)

// gate keeps every request of one user back while the server asked for silence.
// It only ever moves later: a short wish cannot shorten a long one.
type gate struct {
	random func() float64 // in [0, 1)

	mu    sync.Mutex
	until time.Time
	delay time.Duration // the delay that led to until
}

// closeFor keeps the gate closed for at least that long from now, and tells
// whether that moved the opening.
func (g *gate) closeFor(delay time.Duration) bool {
	until := time.Now().Add(delay)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !until.After(g.until) {
		return false
	}
	g.until, g.delay = until, delay
	return true
}

// open tells whether requests may be sent now.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !time.Now().Before(g.until)
}

// wait returns once the gate is open, at once if it is; after a closure each
// waiter gets through a little later than the opening, so that not all hit the
// server in the same instant. It returns early with the context's error.
func (g *gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		remaining, delay := time.Until(g.until), g.delay
		g.mu.Unlock()
		if remaining <= 0 {
			return ctx.Err()
		}
		spread := min(delay/10, maxSpread)
		if err := sleep(ctx, remaining+time.Duration(g.random()*float64(spread))); err != nil {
			return err
		}
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
