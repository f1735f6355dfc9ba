package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cebridge/outbound"
	"cebridge/schema/event"
)

const (
	// recheckers is how many records are looked at at the same time.
	recheckers = 8
	// firstLook is the pause after the first look; each one after is three times
	// as long.
	firstLook = 250 * time.Millisecond
	// manyDoubts: with more than that, only the first and the last look are taken.
	manyDoubts = 500
)

// recheck looks at every doubt again, now and then until it is gone or the time to
// settle is over. What is left is real.
func (c *comparing) recheck(ctx context.Context) error {
	c.result.Rechecked = int64(len(c.doubts))
	left := c.doubts
	end := time.Now().Add(c.settle)
	for pause := firstLook; ; pause *= 3 {
		var err error
		if left, err = c.look(ctx, left); err != nil {
			return err
		}
		now := time.Now()
		if len(left) == 0 || !now.Before(end) {
			break
		}
		// A bridge that listens publishes at once what it would only find later.
		c.o.ring(c.table)
		wait := end.Sub(now)
		if len(left) <= manyDoubts {
			wait = min(wait, pause)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	slices.SortFunc(left, func(a, b doubt) int { return bytes.Compare([]byte(a.id), []byte(b.id)) })
	for _, d := range left {
		c.count(d.kind)
		c.result.Differences = append(c.result.Differences, RecordDifference{
			Kind: d.kind, ID: d.id, Version: d.version, PublishedVersion: d.published, Columns: d.columns, Reason: d.why,
		})
	}
	return nil
}

// look returns the doubts that remain, each as it is now.
func (c *comparing) look(ctx context.Context, doubts []doubt) (left []doubt, err error) {
	remain := make([]bool, len(doubts))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(recheckers)
	for i := range doubts {
		group.Go(func() (err error) {
			remain[i], err = c.lookAt(gctx, &doubts[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	for i, d := range doubts {
		if remain[i] {
			left = append(left, d)
		}
	}
	return left, nil
}

// lookAt reads a record on the stream and then in Customer Engagement: in that
// order a version that is ahead on the stream is no matter of timing.
func (c *comparing) lookAt(ctx context.Context, d *doubt) (remains bool, err error) {
	b := c.o.b
	last, _, err := b.conn.Newest(ctx, b.EventStream(), b.names.Record(c.table, d.id))
	if err != nil {
		return false, err
	}
	var pub event.Published
	if last.Sequence > 0 {
		if pub, err = event.ReadHeader(last.Header); err != nil {
			return false, fmt.Errorf("message %d: %w", last.Sequence, err)
		}
	}
	var row *outbound.Row
	err = b.await(ctx, "a record of table "+c.table, func(ctx context.Context) (err error) {
		row, err = b.client.Record(ctx, c.cfg.Query, d.id)
		return err
	})
	if err != nil {
		return false, err
	}
	out, same, err := c.shape(ctx, row, last, pub)
	if err != nil {
		return false, err
	}
	live := last.Sequence > 0 && !pub.Deleted()
	first := d.version
	d.published, d.columns = pub.Version, nil
	if row != nil {
		d.version = row.Version
	}
	switch {
	case (row == nil || out) && !live, row != nil && !live && c.before(row), same:
		return false, nil
	case out:
		d.kind, d.why = kindExtra, "it does not pass the table's filter, and the stream shows no delete"
	case row == nil:
		d.kind, d.why, d.version = kindExtra, "it is not in Customer Engagement, and the stream shows no delete", 0
	case last.Sequence == 0:
		d.kind, d.why = kindMissing, "the stream has no event of it"
	case !live:
		d.kind, d.why = kindMissing, "the stream shows it as deleted"
	case pub.Version == row.Version:
		if pub.Hash == row.Hash {
			return false, nil
		}
		if d.columns, err = b.differing(ctx, last, row.JSON); err != nil || len(d.columns) == 0 {
			return false, err
		}
		d.kind, d.why = kindDifferent, "the content differs at the same version"
	case pub.Version > row.Version:
		d.kind, d.why = kindDifferent, "the stream is ahead: the database was restored, or this is another organization"
	case row.Version > first && pub.Version >= first:
		// It changed again; the version that was in doubt is published.
		return false, nil
	default:
		if m, err := c.mark(ctx, d.id); err != nil || m.Version == row.Version && m.Hash == row.Hash {
			return false, err
		}
		d.kind, d.why = kindDifferent, "the stream has an older version"
	}
	d.version = max(d.version, 0)
	return true, nil
}

// shape makes the row what is published of it, and tells whether it is kept out by the
// filter, or the last event is as good as one of its version.
func (c *comparing) shape(ctx context.Context, row *outbound.Row, last outbound.Stored, pub event.Published) (out, same bool, err error) {
	if row == nil {
		return false, false, nil
	}
	rows := []outbound.Row{*row}
	if err := c.shaper.Shape(rows); err != nil {
		return false, false, err
	}
	*row = rows[0]
	if row.Out || !c.shaper.OnlyChanges() || last.Sequence == 0 || pub.Deleted() {
		return row.Out, false, nil
	}
	data, err := c.o.b.dataOf(ctx, last)
	if err != nil {
		return false, false, err
	}
	if same, err = c.shaper.Same(data.Record, row.JSON); err != nil {
		return false, false, fmt.Errorf("message %d: %w", last.Sequence, err)
	}
	return false, same, nil
}

// differing names the columns whose values in a stored event are not those of a row.
func (b *Bridge) differing(ctx context.Context, last outbound.Stored, row []byte) ([]string, error) {
	d, err := b.dataOf(ctx, last)
	if err != nil {
		return nil, err
	}
	var data struct{ Record map[string]json.RawMessage }
	if err := json.Unmarshal(d.Record, &data.Record); err != nil {
		return nil, fmt.Errorf("message %d: its data is not that of a record: %w", last.Sequence, err)
	}
	var now map[string]json.RawMessage
	if err := json.Unmarshal(row, &now); err != nil {
		return nil, fmt.Errorf("the record's row: %w", err)
	}
	names := map[string]bool{}
	for name, v := range data.Record {
		if !bytes.Equal(v, now[name]) {
			names[name] = true
		}
	}
	for name := range now {
		if _, ok := data.Record[name]; !ok {
			names[name] = true
		}
	}
	delete(names, "versionnumber")
	return slices.Sorted(maps.Keys(names)), nil
}

// ring asks a running bridge to poll a table now. Nobody need listen.
func (o *Operator) ring(table string) {
	// A ring that is lost only means that the bridge polls later.
	_ = o.b.conn.NATS().Publish(o.b.names.Ring(table), nil)
}
