package outbound

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// inspectEvery is how old the last inspection of column security may be when changes
// are published in which nothing looks hidden.
const inspectEvery = time.Minute

// inspect halts the table before a page is published whose columns the user may no
// longer read: a secured column comes back as null without an error, and nulls would
// take the place of values. It asks the source after the page was read: before the
// first events of a process, for every page of a full read, whenever an update takes a
// value away or a record leaves the filter, and else when the last answer is older than inspectEvery.
func (w *Worker) inspect(ctx context.Context, s *session, p *plan) error {
	source, ok := w.source.(Inspector)
	switch {
	case !ok || len(p.events) == 0 && !w.inspected.IsZero():
		return nil
	case w.inspected.IsZero(), s.at.Phase != PhaseFollowing, p.nulled, time.Since(w.inspected) >= inspectEvery:
	default:
		return nil
	}
	began := time.Now()
	hidden, err := source.Unreadable(ctx, w.cfg.Query)
	if err != nil {
		return fmt.Errorf("ask for the secured columns of table %s: %w", w.table, err)
	}
	if len(hidden) > 0 {
		w.inspected = time.Time{}
		return halt(failSecured, "column security hides %s of table %s from the bridge's user, and would show as null: give the user read "+
			"permission in a field security profile, or take the column out of the configuration; then resume the table",
			strings.Join(hidden, ", "), w.table)
	}
	w.inspected = began
	return nil
}
