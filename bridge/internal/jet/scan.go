package jet

import (
	"context"
	"errors"
	"fmt"

	"cebridge/outbound"
)

// Scan implements outbound.Scanner: a Walk over the last headers of every subject and
// over the fence. The walk ends where the stream's leader says, so it has come to the
// fence, or the stream has lost it.
func (l *Log) Scan(ctx context.Context, filter, fenceSubject string, fence uint64, fn func(outbound.Stored) error) error {
	if err := errors.Join(checkFilter(filter), checkSubject(fenceSubject)); err != nil {
		return fmt.Errorf("scan stream %s: %w", l.stream, err)
	}
	if err := l.scan(ctx, filter, fenceSubject, fence, fn); err != nil {
		return l.readError(ctx, "scan stream "+l.stream, err)
	}
	return nil
}

func (l *Log) scan(ctx context.Context, filter, fenceSubject string, fence uint64, fn func(outbound.Stored) error) error {
	filters := []string{filter}
	if fence > 0 {
		filters = append(filters, fenceSubject)
	}
	var shown, n uint64
	err := l.c.walk(ctx, Walk{Stream: l.stream, Filter: filters, Latest: true, HeadersOnly: true}, func(s Step) error {
		// A consumer that was made anew goes on with every message, not only the last.
		if n++; s.place != n {
			return fmt.Errorf("%w: the scan was interrupted", outbound.ErrUnavailable)
		}
		if s.Subject == fenceSubject {
			shown = s.Sequence
			return nil
		}
		return fn(s.Stored)
	})
	switch {
	case err != nil:
		return err
	case fence > 0 && shown == 0:
		return fmt.Errorf("%w: %s holds nothing, sequence %d was expected", outbound.ErrFenced, fenceSubject, fence)
	case shown < fence:
		return fmt.Errorf("%w: %s is at sequence %d, %d was expected", outbound.ErrStale, fenceSubject, shown, fence)
	}
	return nil
}
