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
)

// followed lists the tables as configText publishes them.
var followed = map[string]Followed{
	"account": {
		Columns:    []string{"name", "accountnumber", "numberofemployees", "telephone1", "description", "_primarycontactid_value"},
		References: map[string]Reference{"primarycontactid": {Read: "_primarycontactid_value", Table: "contact", Key: "emailaddress1"}},
		Above:      above,
	},
	"contact":    {Columns: []string{"firstname", "lastname", "emailaddress1"}, Keep: kept, OnlyChanges: true},
	"new_region": {Columns: []string{"new_name", "new_code"}},
}

// kept is the filter of contacts: nobody whose number ends in 7.
func kept(columns map[string]json.RawMessage) bool {
	return !strings.HasSuffix(string(columns["lastname"]), `7"`)
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
	// The check of a long history takes seconds: it does not get all of the processor.
	tick := time.NewTimer(0)
	defer tick.Stop()
	for caughtUp := false; !caughtUp; {
		select {
		case <-c.done:
			return nil, fmt.Errorf("the bridge ended by itself: %w; see %s", c.err, r.log.Name())
		case <-ctx.Done():
			// Not an error: the checker names what is missing.
			caughtUp = true
		case <-tick.C:
			began := time.Now()
			if caughtUp, err = r.caughtUp(ctx); err != nil && ctx.Err() == nil {
				return nil, err
			}
			tick.Reset(max(200*time.Millisecond, 2*time.Since(began)))
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
		if v.Rule == "O1" || v.Rule == "O4" || v.Rule == "O8" {
			return false, nil
		}
	}
	return true, nil
}

// readWrites takes over what the write log has beyond what was read before.
func (r *run) readWrites() error {
	for _, e := range r.sim.Log(r.logged + 1) {
		r.logged = e.Seq
		switch {
		case e.Kind == sim.KindFault && e.Operation == string(sim.FaultExpiredTokens):
			r.writes = append(r.writes, Write{Mark: Expired, Table: e.Table})
			continue
		case e.Kind == sim.KindRestore:
			r.writes = append(r.writes, Write{Mark: Restored, Version: e.Version})
			continue
		case e.Kind != sim.KindCommit:
			continue
		}
		w, err := writeOf(e)
		if err != nil {
			return err
		}
		r.writes = append(r.writes, w)
	}
	return nil
}

// history reads both truths as they stand now.
func (r *run) history(ctx context.Context) (*History, error) {
	if err := r.readWrites(); err != nil {
		return nil, err
	}
	h := &History{Tables: followed, Dead: map[uint64]bool{}, Sent: r.sent.list, Writes: r.writes, Source: "/crm/" + org}
	stream, err := r.js.Stream(ctx, r.names.EventStream())
	if err != nil {
		return nil, fmt.Errorf("read the event stream: %w", err)
	}
	if h.Events, _, err = r.recorder.until(ctx, stream.CachedInfo().State.LastSeq); err != nil {
		return nil, err
	}
	_, err = r.conn.ReadStream(ctx, r.names.DeadStream(), []string{r.names.DeadLetters("*")}, func(m outbound.Stored) error {
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
	w.Columns = map[string]json.RawMessage{}
	for name, v := range pickColumns(e.Columns, followed[e.Table].Columns) {
		raw, err := json.Marshal(v)
		if err != nil {
			return w, fmt.Errorf("write log entry %d: %w", e.Seq, err)
		}
		w.Columns[name] = short(raw)
	}
	return w, nil
}

// poll asks until a condition holds.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
