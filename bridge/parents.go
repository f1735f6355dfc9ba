package bridge

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"cebridge/inbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// listenAgain is the pause after a subscription failed.
const listenAgain = 5 * time.Second

// parents announces the records that any bridge publishes on the event stream to
// the parked messages of this one. It listens to a table's subjects only while
// messages wait for a record of that table, and takes every message there as a hint:
// a batch may still be refused, and then a parked message is tried in vain once.
type parents struct {
	arrivals *inbound.Arrivals
	tables   map[string]*schema.Table // by entity set in lower case
	listen   func(table string, fn func(header map[string][]string, data []byte)) (stop func() error, err error)
	failed   func(table string, err error)
	open     map[string]func() error // by entity set
}

// startParents listens until the cleanup ends it.
func (b *Bridge) startParents(cat schema.Catalog, arrivals *inbound.Arrivals) {
	p := &parents{
		arrivals: arrivals, tables: map[string]*schema.Table{}, open: map[string]func() error{},
		listen: func(table string, fn func(map[string][]string, []byte)) (func() error, error) {
			return b.conn.Hear(b.names.Table(table), fn)
		},
		failed: func(table string, err error) {
			b.log.Warn("cannot listen for the records that parked messages wait for; they are tried on a timer",
				"table", table, "error", err)
		},
	}
	for _, t := range cat {
		if len(t.Keys) > 0 {
			p.tables[strings.ToLower(t.EntitySet)] = t
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	b.cleanup.push("parents", time.Second, func(stop context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stop.Done():
			return stop.Err()
		}
	})
}

// run keeps the subscriptions to what is expected.
func (p *parents) run(ctx context.Context) {
	defer p.keep(nil)
	for {
		var again <-chan time.Time
		if !p.keep(p.arrivals.Expected()) {
			again = time.After(listenAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.arrivals.Changed():
		case <-again:
		}
	}
}

// keep listens to the tables of those entity sets and to no others. It tells whether
// that succeeded.
func (p *parents) keep(sets []string) bool {
	complete := true
	for _, set := range slices.Sorted(maps.Keys(p.open)) {
		if !slices.Contains(sets, set) {
			// It fails only where there is nothing to end any more.
			_ = p.open[set]()
			delete(p.open, set)
		}
	}
	for _, set := range sets {
		t := p.tables[set]
		if t == nil || p.open[set] != nil {
			continue
		}
		stop, err := p.listen(t.LogicalName, func(header map[string][]string, data []byte) {
			for _, path := range addresses(t, header, data) {
				p.arrivals.Announce(path)
			}
		})
		if err != nil {
			p.failed(t.LogicalName, err)
			complete = false
			continue
		}
		p.open[set] = stop
	}
	return complete
}

// addresses lists the paths below the API root under which other records may refer
// to the one in a published event: one for each alternate key of which the event has
// every column. There are none for a delete, for a message that is no event, and for an
// event whose data is in the object store: what waits for that record is tried again on
// the timer.
func addresses(t *schema.Table, header map[string][]string, data []byte) []string {
	p, err := event.ReadHeader(header)
	if err != nil || p.Deleted() {
		return nil
	}
	d, err := event.ReadData(header, data)
	if err != nil || d.Record == nil {
		return nil
	}
	var row map[string]json.RawMessage
	if err := json.Unmarshal(d.Record, &row); err != nil {
		return nil
	}
	var paths []string
	for _, k := range t.Keys {
		parts := make([]schema.KeyPart, 0, len(k.Columns))
		for _, name := range k.Columns {
			if c := t.Column(name); c != nil && len(row[c.ReadName()]) > 0 {
				parts = append(parts, schema.KeyPart{Column: name, Value: row[c.ReadName()]})
			}
		}
		if len(parts) < len(k.Columns) {
			continue
		}
		// A value that cannot stand in an address is nothing that anybody waits for.
		if predicate, err := schema.KeyPredicate(t, parts); err == nil {
			paths = append(paths, t.EntitySet+"("+predicate+")")
		}
	}
	return paths
}
