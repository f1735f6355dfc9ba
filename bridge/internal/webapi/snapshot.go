package webapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"

	"golang.org/x/sync/errgroup"
)

const (
	// maxSnapshotTables bounds the tables of one snapshot. One costs up to
	// fifteen requests, and an online organization takes 6,000 in five minutes.
	maxSnapshotTables = 500
	// snapshotAttempts is how often one table is asked for.
	snapshotAttempts = 6
)

// Tables lists the logical names of the tables that the Web API offers, in order.
func (c *Client) Tables(ctx context.Context) ([]string, error) {
	var found struct {
		Value []struct{ LogicalName, EntitySetName string }
	}
	if err := c.metadataQuery(ctx, "EntityDefinitions?$select=LogicalName,EntitySetName", &found); err != nil {
		return nil, err
	}
	var names []string
	for _, t := range found.Value {
		if t.EntitySetName != "" && validName(t.LogicalName) {
			names = append(names, t.LogicalName)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Snapshot reads tables for a schema file, which stands on its own: the tables
// that their lookups point at come too, reduced to ids, names, keys, states and
// the columns of change tracking, and what refers to anything else is left out.
// notes say in words what was left out. No names means every table; a name that
// the server does not know is an error. Failures that may pass are retried.
func (c *Client) Snapshot(ctx context.Context, names []string) (tables []*schema.Table, notes []string, err error) {
	if len(names) == 0 {
		if err := c.patiently(ctx, func() (err error) { names, err = c.Tables(ctx); return err }); err != nil {
			return nil, nil, err
		}
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) > maxSnapshotTables {
		return nil, nil, fmt.Errorf("%d tables, more than the %d a snapshot may have: name those you need", len(names), maxSnapshotTables)
	}
	full, err := c.definitions(ctx, names, nil)
	if err != nil {
		return nil, nil, err
	}
	for i, t := range full {
		if t == nil {
			return nil, nil, fmt.Errorf("the server has no table %s, or its Web API does not offer it", names[i])
		}
	}
	targets := targetsOf(full)
	if len(names)+len(targets) > maxSnapshotTables {
		return nil, nil, fmt.Errorf("%d tables with those that lookups point at, more than the %d a snapshot may have: name fewer", len(names)+len(targets), maxSnapshotTables)
	}
	lean, err := c.definitions(ctx, targets, reduce)
	if err != nil {
		return nil, nil, err
	}
	tables = slices.DeleteFunc(append(full, lean...), func(t *schema.Table) bool { return t == nil })
	slices.SortFunc(tables, func(a, b *schema.Table) int {
		if a.LogicalName < b.LogicalName {
			return -1
		}
		return 1
	})
	return tables, selfContained(tables), nil
}

// definitions reads tables with all facts; nil in the place of one that the
// server does not know or does not offer. prepare is applied before the facts are
// read, which costs a request for each kind of column.
func (c *Client) definitions(ctx context.Context, names []string, prepare func(*schema.Table)) ([]*schema.Table, error) {
	tables := make([]*schema.Table, len(names))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(metadataInFlight)
	for i, name := range names {
		group.Go(func() error {
			return c.patiently(gctx, func() error {
				t, err := c.definition(gctx, name)
				if unknownTable(err) || err == nil && t.EntitySet == "" {
					return nil
				}
				if err == nil {
					if prepare != nil {
						prepare(t)
					}
					err = c.columnFacts(gctx, t)
				}
				if err == nil {
					tables[i] = t
				}
				return err
			})
		})
	}
	return tables, waitFor(ctx, group)
}

// patiently repeats what may succeed later, as long as the server asks to wait, or
// for one second and then ever longer.
func (c *Client) patiently(ctx context.Context, fn func() error) error {
	pause := time.Second
	for attempt := 1; ; attempt++ {
		err := fn()
		e := outcome.Of(err)
		if err == nil || ctx.Err() != nil || e == nil || attempt == snapshotAttempts ||
			e.Verdict != outcome.Retry && e.Verdict != outcome.RetryAfter {
			return err
		}
		timer := time.NewTimer(max(pause, e.RetryAfter))
		select {
		case <-timer.C:
			pause *= 2
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

// reduce keeps what a table needs so that lookups can point at its records.
func reduce(t *schema.Table) {
	keep := append(t.KeyColumns(), t.PrimaryID, t.PrimaryName, "versionnumber", "createdon", "modifiedon")
	t.Columns = slices.DeleteFunc(t.Columns, func(col schema.Column) bool {
		return !slices.Contains(keep, col.LogicalName) && col.Type != schema.TypeState && col.Type != schema.TypeStatus
	})
}
