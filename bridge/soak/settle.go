package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cebridge/bridge/sim"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// followed lists the tables with the columns that their events carry.
var followed = map[string][]string{
	"account": {"name", "accountnumber", "numberofemployees", "telephone1"},
	"contact": {"firstname", "lastname", "emailaddress1"},
}

// settle lets the bridge catch up without faults, stops it in order, and returns
// the whole history.
func (r *run) settle(ctx context.Context) (*History, error) {
	c, err := r.start()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Settle)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for caughtUp := false; !caughtUp; {
		select {
		case <-c.done:
			return nil, fmt.Errorf("the bridge ended by itself: %w; see %s", c.err, r.log.Name())
		case <-ctx.Done():
			// Not an error: the checker names what is missing.
			caughtUp = true
		case <-tick.C:
			if caughtUp, err = r.caughtUp(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := c.stop(30 * time.Second); err != nil {
		return nil, fmt.Errorf("stop the bridge: %w; see %s", err, r.log.Name())
	}
	return r.history(context.WithoutCancel(ctx))
}

// caughtUp tells whether nothing is pending inbound and the stream shows every
// record as it is.
func (r *run) caughtUp(ctx context.Context) (bool, error) {
	consumer, err := r.js.Consumer(ctx, sourceStream, "crm-"+org+"-"+route)
	if err != nil {
		return false, nil //nolint:nilerr // the bridge makes it a moment after its start
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // asked again in a moment
	}
	if info.NumPending > 0 || info.NumAckPending > 0 {
		return false, nil
	}
	h, err := r.history(ctx)
	if err != nil {
		return false, err
	}
	for _, v := range Check(h) {
		if v.Rule == "O1" || v.Rule == "O4" {
			return false, nil
		}
	}
	return true, nil
}

// history reads both truths as they stand now.
func (r *run) history(ctx context.Context) (*History, error) {
	h := &History{Tables: followed, Dead: map[uint64]bool{}, Sent: r.sent.list}
	for _, e := range r.sim.Log(1) {
		if e.Kind != sim.KindCommit {
			continue
		}
		w, err := writeOf(e)
		if err != nil {
			return nil, err
		}
		h.Writes = append(h.Writes, w)
	}
	names := schema.Names{Prefix: "crm", Org: org}
	_, err := r.conn.ReadStream(ctx, names.EventStream(), nil, func(m outbound.Stored) error {
		e, ok, err := eventOf(names, m)
		if ok {
			h.Events = append(h.Events, e)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = r.conn.ReadStream(ctx, names.DeadStream(), []string{names.DeadLetters("*")}, func(m outbound.Stored) error {
		seq, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 10, 64)
		h.Dead[seq] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	consumer, err := r.js.Consumer(ctx, sourceStream, "crm-"+org+"-"+route)
	if err != nil {
		return nil, fmt.Errorf("read the route's consumer: %w", err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the route's consumer: %w", err)
	}
	h.AckFloor, h.Unsettled = info.AckFloor.Stream, info.NumAckPending+int(info.NumPending)
	return h, nil
}

func writeOf(e sim.LogEntry) (Write, error) {
	w := Write{Table: e.Table, ID: e.ID, Version: e.Version, Deleted: e.Operation == "delete"}
	if w.Deleted {
		return w, nil
	}
	w.Columns = make(map[string]json.RawMessage, len(e.Columns))
	for name, v := range e.Columns {
		raw, err := json.Marshal(v)
		if err != nil {
			return w, fmt.Errorf("write log entry %d: %w", e.Seq, err)
		}
		w.Columns[name] = raw
	}
	return w, nil
}

func eventOf(names schema.Names, m outbound.Stored) (Event, bool, error) {
	for table := range followed {
		if m.Subject == names.Checkpoint(table) {
			return Event{Sequence: m.Sequence, Table: table, Checkpoint: true}, true, nil
		}
		id, ok := names.RecordID(table, m.Subject)
		if !ok {
			continue
		}
		p, err := event.ReadHeader(m.Header)
		if err != nil {
			return Event{}, false, fmt.Errorf("event at sequence %d: %w", m.Sequence, err)
		}
		e := Event{Sequence: m.Sequence, Table: table, ID: id, Version: p.Version, Change: string(p.Change)}
		d, err := event.ReadData(m.Header, m.Data)
		if err == nil && d.Record != nil {
			err = json.Unmarshal(d.Record, &e.Record)
		}
		if err != nil {
			return Event{}, false, fmt.Errorf("event at sequence %d: %w", m.Sequence, err)
		}
		return e, true, nil
	}
	return Event{}, false, nil
}
