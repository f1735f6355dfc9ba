package bridge

import (
	"context"
	"slices"
	"time"

	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/echo"
)

// echoTTL is how long a write of the bridge is remembered: a change that a table shows
// later than that is published without its cause.
const echoTTL = time.Hour

// echoes remembers the routes' writes to tables that are followed, for every bridge of
// the organization: on the event stream, one message for each record that was written
// lately. Nothing waits for that: what is lost there makes an event without a cause.
type echoes struct {
	tables map[string]*echoTable
	user   string
	store  func(subject string, data []byte) error
	failed func(table string, err error)
	names  schema.Names
}

type echoTable struct {
	table   *schema.Table
	mode    outbound.Echo
	columns []string // those that are published as they are
}

// newEchoes finds out which tables want to know.
func (b *Bridge) newEchoes(ctx context.Context, cat schema.Catalog, orgID string) (*echoes, error) {
	e := &echoes{
		tables: map[string]*echoTable{}, names: b.names,
		store: func(subject string, data []byte) error {
			return b.conn.Remember(b.EventStream(), subject, data, echoTTL)
		},
		failed: func(table string, err error) {
			b.log.Debug("a write is not remembered: its event will name no cause", "table", table, "error", err)
		},
	}
	drops := false
	for _, c := range b.cfg.Outbound.Tables {
		if c.Echo == outbound.EchoOff {
			continue
		}
		cfg, _, err := b.tableConfig(c, cat, orgID)
		if err != nil {
			return nil, err
		}
		e.tables[c.Table] = &echoTable{table: cat[c.Table], mode: c.Echo, columns: slices.DeleteFunc(slices.Clone(cfg.Query.Columns),
			func(column string) bool { _, protected := cfg.Payload.Protect[column]; return protected })}
		drops = drops || c.Echo == outbound.EchoDrop
	}
	if !drops {
		return e, nil
	}
	return e, b.await(ctx, "Customer Engagement", func(ctx context.Context) error {
		id, err := b.client.WhoAmI(ctx)
		e.user = id.UserID
		return err
	})
}

// Wants implements inbound.Echoes.
func (e *echoes) Wants(table string) bool { return e.tables[table] != nil }

// Note implements inbound.Echoes.
func (e *echoes) Note(w inbound.Echo) {
	t := e.tables[w.Write.Table]
	if t == nil || w.Write.Operation == schema.OpDelete {
		return
	}
	n := echo.NewNote(w.Result.Version)
	n.Cause, n.Source, n.Correlation = w.Cause.ID, w.Cause.Source, w.Cause.Correlation
	var err error
	if t.mode == outbound.EchoDrop && w.Result.Effect == schema.EffectUpdated {
		err = n.Written(t.table, w.Write.Body, func(column string) bool { return slices.Contains(t.columns, column) }, e.user)
	}
	var data []byte
	if err == nil {
		data, err = n.Encode()
	}
	if err == nil {
		err = e.store(e.names.Echo(t.table.LogicalName, w.Result.ID), data)
	}
	if err != nil {
		e.failed(t.table.LogicalName, err)
	}
}
