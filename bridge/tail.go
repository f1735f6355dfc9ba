package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/schema"
	"cebridge/schema/event"
)

// TailOptions say which events to show.
type TailOptions struct {
	// Tables are logical names; none means every table on the stream.
	Tables []string
	// Since begins with what was stored then; zero begins with the next event.
	Since time.Time
}

// Seen is one event as it stands on the stream.
type Seen struct {
	Table, RecordID string
	Sequence        uint64
	Stored          time.Time
	event.Published
	Header map[string][]string
	Data   []byte
}

// Tail calls fn with every event as it is published, until ctx ends; that is no
// failure.
func (o *Operator) Tail(ctx context.Context, opt TailOptions, fn func(Seen) error) error {
	names := o.b.names
	filter := []string{names.Table("*")}
	if len(opt.Tables) > 0 {
		tables, err := o.tables(opt.Tables)
		if err != nil {
			return err
		}
		filter = nil
		for _, t := range tables {
			filter = append(filter, names.Table(t.Table))
		}
	}
	err := o.b.conn.Walk(ctx, jet.Walk{Stream: o.b.EventStream(), Filter: filter, Since: opt.Since, Follow: true}, func(s jet.Step) error {
		rest, _ := strings.CutPrefix(s.Subject, names.Prefix+"."+names.Org+".")
		table, id, ok := strings.Cut(rest, ".")
		if !ok || !schema.IsGUID(id) {
			return fmt.Errorf("message %d stands on %s, which is no record's subject", s.Sequence, s.Subject)
		}
		p, err := event.ReadHeader(s.Header)
		if err != nil {
			return fmt.Errorf("message %d on %s: %w", s.Sequence, s.Subject, err)
		}
		return fn(Seen{Table: table, RecordID: id, Sequence: s.Sequence, Stored: s.Time, Published: p, Header: s.Header, Data: s.Data})
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// JSONLine is the event as one line of structured JSON, whatever its mode.
func (s *Seen) JSONLine() ([]byte, error) { return jsonLine(s.Header, s.Data) }
