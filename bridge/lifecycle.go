package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// cleanup is a stack of named steps that undo what was started.
type cleanup struct {
	steps []step
}

type step struct {
	name  string
	limit time.Duration
	undo  func(context.Context) error
}

// push adds a step. limit bounds it, whatever happened to the steps before.
func (c *cleanup) push(name string, limit time.Duration, undo func(context.Context) error) {
	c.steps = append(c.steps, step{name, limit, undo})
}

// run undoes everything, last started first, and joins the errors. It is not cut
// short by ctx: a step that was never run would leave work unsettled.
func (c *cleanup) run(ctx context.Context) error {
	var errs []error
	for i := len(c.steps) - 1; i >= 0; i-- {
		s := c.steps[i]
		stepCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limit)
		if err := s.undo(stepCtx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
		cancel()
	}
	c.steps = nil
	return errors.Join(errs...)
}
