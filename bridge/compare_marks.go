package bridge

import (
	"context"
	"fmt"

	"cebridge/bridge/internal/jet"
	"cebridge/schema/echo"
	"cebridge/schema/event"
)

// readMarks indexes the rows that were dropped as echoes of own writes. They count as
// published: see package echo.
func (c *comparing) readMarks(ctx context.Context) error {
	names := c.o.b.names
	c.marks = &lastIndex{}
	err := c.o.b.conn.Walk(ctx, jet.Walk{
		Stream: c.o.b.EventStream(), Filter: []string{names.Dropped(c.table, "*")}, Latest: true,
	}, func(s jet.Step) error {
		m, err := echo.DecodeMark(s.Data)
		if err != nil {
			return fmt.Errorf("message %d on %s: %w; remove it", s.Sequence, s.Subject, err)
		}
		id := s.Subject[len(names.Dropped(c.table, "")):]
		c.marks.add(id, event.Published{Version: m.Version, Hash: m.Hash, Change: event.Updated})
		return nil
	})
	c.marks.seal()
	return err
}

// mark reads what was dropped last of a record; the zero mark for nothing.
func (c *comparing) mark(ctx context.Context, id string) (echo.Mark, error) {
	b := c.o.b
	last, _, err := b.conn.Newest(ctx, b.EventStream(), b.names.Dropped(c.table, id))
	if err != nil || last.Sequence == 0 {
		return echo.Mark{}, err
	}
	m, err := echo.DecodeMark(last.Data)
	if err != nil {
		return echo.Mark{}, fmt.Errorf("message %d: %w; remove it", last.Sequence, err)
	}
	return *m, nil
}

// eraseEchoes removes what is remembered of own writes to a record: the ids of the
// events that led to them, and fingerprints of values.
func (o *Operator) eraseEchoes(ctx context.Context, opt EraseOptions) error {
	b := o.b
	for _, subject := range []string{b.names.Echo(opt.Table, opt.Record), b.names.Dropped(opt.Table, opt.Record)} {
		last, _, err := b.conn.Newest(ctx, b.EventStream(), subject)
		if err != nil {
			return err
		}
		if last.Sequence == 0 {
			continue
		}
		if _, err := b.conn.PurgeBefore(ctx, b.EventStream(), subject, last.Sequence+1); err != nil {
			return err
		}
	}
	return nil
}
