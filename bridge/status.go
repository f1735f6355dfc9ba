package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cebridge/bridge/admin"
)

// Status is the bridge as people and probes see it. It asks the NATS server for
// each route's position, within a second.
func (b *Bridge) Status() admin.Status {
	s := admin.Status{Version: Version, Org: b.cfg.Org, Started: b.started, Tables: []admin.TableStatus{}, Routes: []admin.RouteStatus{}}
	if b.conn != nil {
		s.NATS.Connected = b.conn.Connected()
		s.NATS.Embedded = b.embedded != nil
	}
	if tables := b.tables.Load(); tables != nil {
		s.WebAPI = b.webapiStatus()
		for _, t := range *tables {
			s.Tables = append(s.Tables, tableStatus(t))
		}
	}
	if routes := b.routes.Load(); routes != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for _, r := range *routes {
			s.Routes = append(s.Routes, routeStatus(ctx, r))
		}
	}
	return s
}

func tableStatus(t *table) admin.TableStatus {
	w := t.worker.Status()
	s := admin.TableStatus{
		Table: t.name, State: string(w.State), Detail: w.Detail, LastError: w.LastError, PollSeconds: w.Interval.Seconds(),
		TokenAgeSeconds: w.TokenAge.Seconds(), TokenLifeSeconds: w.TokenLife.Seconds(),
		Missed: int64(w.Missed),
		Events: map[string]int64{}, Skipped: map[string]int64{},
		Checkpoint: admin.CheckpointStatus{
			Sequence: w.CheckpointSequence, AgeSeconds: w.CheckpointAge.Seconds(), Phase: string(w.Phase), Epoch: w.Epoch, Rows: w.Rows,
		},
	}
	for change, n := range w.Published {
		s.Events[string(change)] = int64(n)
	}
	for reason, n := range w.Skipped {
		s.Skipped[reason] = int64(n)
	}
	if w.Lag > 0 {
		lag := w.Lag.Seconds()
		s.LagSeconds = &lag
	}
	if w.SinceSuccess > 0 {
		since := w.SinceSuccess.Seconds()
		s.SinceSuccessSeconds = &since
	}
	return s
}

func routeStatus(ctx context.Context, r *route) admin.RouteStatus {
	pos, err := r.route.Position(ctx)
	w := r.route.Status()
	s := admin.RouteStatus{
		Route: r.name, State: string(w.State), Detail: w.Detail, InFlight: w.InFlight, LastError: w.LastError,
		Results: map[string]int64{},
	}
	if r.held != nil {
		if detail := r.held.detail.Load(); detail != nil {
			s.State, s.Detail = stateHeld, *detail
		}
	}
	for result, n := range w.Results {
		s.Results[result] = int64(n)
	}
	if err == nil {
		s.Pending, s.AckPending = pos.Pending, pos.AckPending
	} else if s.LastError == "" {
		s.LastError = err.Error()
	}
	return s
}

// Ready is nil once everything runs and NATS is connected. Customer Engagement
// being away or throttling does not unready the bridge: it keeps its place and
// goes on, and a restart would help nobody. Nor does a route that is stopped or stands
// by, or a table that is halted: the others go on.
func (b *Bridge) Ready() error {
	if !b.ready.Load() {
		if what := b.waiting.Load(); what != nil {
			return fmt.Errorf("starting: waiting for %s", *what)
		}
		return errors.New("starting or stopping")
	}
	if !b.conn.Connected() {
		return errors.New("not connected to NATS")
	}
	return nil
}
