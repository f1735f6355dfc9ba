package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"cebridge/bridge/admin"
	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
)

// Operator does what a person asks for beside a bridge that may be running at the
// same time, here or elsewhere: it compares, replays, erases and looks. It starts
// no table and no route. Its methods may be called one after another.
type Operator struct {
	b *Bridge
	// connected tells that the Web API client is there.
	connected bool
}

// Progress tells how far a long job is. Total is 0 when nobody knows it.
type Progress struct {
	What        string
	Done, Total int64
}

// NewOperator connects to the NATS servers of a configuration; Customer Engagement
// is not asked before something needs it. An embedded server is reached under its
// port when a bridge runs it, and otherwise started for as long as the operator is
// open.
func NewOperator(ctx context.Context, cfg Config, opts ...Option) (*Operator, error) {
	if e := cfg.NATS.Embedded; e != nil {
		own := *e
		cfg.NATS.Embedded = &own
		if addr := net.JoinHostPort(e.Host, strconv.Itoa(e.Port)); e.Port > 0 && answers(ctx, addr) {
			cfg.NATS.Embedded, cfg.NATS.URLs = nil, []string{"nats://" + addr}
		} else {
			own.Port = 0
		}
	}
	b, err := New(cfg, opts...)
	if err != nil {
		return nil, err
	}
	b.prov = &providers{meter: metricnoop.Meter{}, tracer: tracenoop.Tracer{}}
	if err := b.startNATS(ctx); err != nil {
		return nil, errors.Join(err, b.cleanup.run(ctx))
	}
	return &Operator{b: b}, nil
}

// answers tells whether somebody listens.
func answers(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// Close gives everything back.
func (o *Operator) Close(ctx context.Context) error { return o.b.cleanup.run(ctx) }

// tables are the configured tables of those names, all of them without names.
func (o *Operator) tables(names []string) ([]TableConfig, error) {
	all := o.b.cfg.Outbound.Tables
	if len(names) == 0 {
		if len(all) == 0 {
			return nil, errors.New("the configuration follows no table: see outbound.tables")
		}
		return all, nil
	}
	var found []TableConfig
	for _, name := range names {
		i := slices.IndexFunc(all, func(c TableConfig) bool { return c.Table == name })
		if i < 0 {
			var known []string
			for _, c := range all {
				known = append(known, c.Table)
			}
			return nil, fmt.Errorf("table %s is not under outbound.tables%s", name, schema.Suggest(name, known))
		}
		found = append(found, all[i])
	}
	return found, nil
}

// crm makes sure that there is a Web API client.
func (o *Operator) crm(ctx context.Context) error {
	if o.connected {
		return nil
	}
	o.countRequests()
	if err := o.b.startWebAPI(ctx); err != nil {
		return err
	}
	o.connected = true
	return nil
}

// checkpoint reads a table's cursor, nil when there is none yet.
func (o *Operator) checkpoint(ctx context.Context, table string) (*outbound.Checkpoint, uint64, error) {
	data, seq, err := o.b.conn.Log(o.b.EventStream()).Checkpoint(ctx, o.b.names.Checkpoint(table))
	if err != nil || seq == 0 {
		return nil, 0, err
	}
	c, err := outbound.DecodeCheckpoint(data)
	if err != nil {
		return nil, 0, fmt.Errorf("the checkpoint of table %s at sequence %d: %w", table, seq, err)
	}
	return c, seq, nil
}

// Status reads the positions of all tables and routes from JetStream alone. What a
// running bridge knows beyond that (counters, errors, halts) is only on its admin
// port. State is paused or the phase of a table's checkpoint, or none; exists or missing
// for a route's consumer, with whether an instance is its active one.
func (o *Operator) Status(ctx context.Context) (admin.Status, error) {
	b := o.b
	s := admin.Status{Version: Version, Org: b.cfg.Org, Tables: []admin.TableStatus{}, Routes: []admin.RouteStatus{}}
	s.NATS.Connected, s.NATS.Embedded = b.conn.Connected(), b.embedded != nil
	var err error
	if s.WebAPI, err = o.budgetStatus(ctx); err != nil {
		return s, err
	}
	for _, t := range b.cfg.Outbound.Tables {
		ts := admin.TableStatus{Table: t.Table, State: "none", Events: map[string]int64{}}
		c, seq, err := o.checkpoint(ctx, t.Table)
		switch {
		case ctx.Err() != nil:
			return s, ctx.Err()
		case err != nil:
			ts.LastError = err.Error()
		case c != nil:
			if ts.State = string(c.Phase); c.Paused {
				ts.State, ts.Detail = string(outbound.StatePaused), "paused; resume the table to go on"
			}
			if !c.Obtained.IsZero() {
				ts.TokenAgeSeconds = time.Since(c.Obtained).Seconds()
			}
			ts.Checkpoint = admin.CheckpointStatus{
				Sequence: seq, AgeSeconds: time.Since(c.Written).Seconds(), Phase: string(c.Phase), Epoch: c.Epoch, Rows: c.Rows,
			}
		}
		s.Tables = append(s.Tables, ts)
	}
	for _, r := range b.cfg.Inbound.Routes {
		rs := admin.RouteStatus{Route: r.Name, State: "missing", Results: map[string]int64{}}
		pos, exists, err := b.conn.ConsumerPosition(ctx, r.Stream, b.durable(r.Name))
		switch {
		case ctx.Err() != nil:
			return s, ctx.Err()
		case err != nil:
			rs.LastError = err.Error()
		case exists:
			rs.State, rs.Pending, rs.AckPending = "exists", pos.Pending, pos.AckPending
			switch pos.Active {
			case inbound.ActiveOther:
				rs.Detail = "an instance has been its active one since " + pos.ActiveSince.UTC().Format(time.RFC3339)
			case inbound.ActiveNobody:
				rs.Detail = "no instance is its active one: nothing was delivered yet, or the one that was has ended"
			}
		}
		s.Routes = append(s.Routes, rs)
	}
	return s, nil
}
