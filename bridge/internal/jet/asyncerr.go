package jet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// asyncErrors remembers what the server reported outside of any request: above all
// missing permissions, which a request itself only sees as silence.
type asyncErrors struct {
	mu   sync.Mutex
	last [8]asyncError
	next int
}

type asyncError struct {
	at  time.Time
	err error
}

func (a *asyncErrors) add(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[a.next] = asyncError{time.Now(), err}
	a.next = (a.next + 1) % len(a.last)
}

// since joins what was reported at or after t, each text once; nil when nothing was.
func (a *asyncErrors) since(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []error
	seen := map[string]bool{}
	for i := range a.last {
		e := a.last[(a.next+i)%len(a.last)]
		if e.err != nil && !e.at.Before(t) && !seen[e.err.Error()] {
			seen[e.err.Error()] = true
			found = append(found, e.err)
		}
	}
	return errors.Join(found...)
}

// silence tells whether err means that no answer came.
func silence(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders)
}

// explain adds to a silence what the server reported since start. The result still
// wraps err, and nats.ErrPermissionViolation when that was the cause.
func (c *Conn) explain(err error, start time.Time) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return fmt.Errorf("not connected to NATS now: %w", err)
	}
	if err == nil || !silence(err) {
		return err
	}
	if reported := c.async.since(start); reported != nil {
		return fmt.Errorf("%w (meanwhile the server reported: %w)", err, reported)
	}
	return err
}
