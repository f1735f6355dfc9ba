package bridge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/bridge/internal/webapi"
	"cebridge/inbound"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/mapping"
)

// startFlows checks the configuration against the organization and starts every
// table and route. None starts unless all of them can; but a route that relies on an
// alternate key whose index is not built yet is held alone.
func (b *Bridge) startFlows(ctx context.Context) error {
	cat, orgID, err := b.metadata(ctx)
	if err != nil {
		return err
	}
	var problems schema.Problems
	for _, c := range b.cfg.Outbound.Tables {
		problems = append(problems, checkTable(c, cat)...)
	}
	programs, waiting, ps := b.checkRoutes(cat)
	if problems = append(problems, ps...); len(problems) > 0 {
		return problems
	}
	if err := b.provideStreams(ctx); err != nil {
		return err
	}
	if err := b.checkReceipts(ctx); err != nil {
		return err
	}
	if err := b.startBudget(ctx); err != nil {
		return err
	}
	tables, err := b.newTables(cat, orgID)
	if err != nil {
		return err
	}
	arrivals := inbound.NewArrivals()
	echoes, err := b.newEchoes(ctx, cat, orgID)
	if err != nil {
		return err
	}
	routes, err := b.newRoutes(ctx, programs, waiting, arrivals, echoes)
	if err != nil {
		return err
	}
	b.tables.Store(&tables)
	b.routes.Store(&routes)
	b.launch(tables, routes)
	if len(routes) > 0 {
		b.startParents(cat, arrivals)
	}
	if err := b.startControl(tables); err != nil {
		return err
	}
	if err := b.startRouteControl(routes); err != nil {
		return err
	}
	return b.startDoorbell(tables)
}

func (b *Bridge) newTables(cat schema.Catalog, orgID string) ([]*table, error) {
	var tables []*table
	schemas := map[string]tableSchema{}
	log := b.conn.Log(b.EventStream())
	phase := phases(b.cfg.Org, b.cfg.Outbound.Tables)
	for _, c := range b.cfg.Outbound.Tables {
		cfg, doc, err := b.tableConfig(c, cat, orgID)
		if err != nil {
			return nil, err
		}
		schemas[c.Table] = doc
		cfg.Phase = phase[c.Table]
		deps := outbound.Deps{Logger: b.log, Meter: b.prov.meter, Tracer: b.prov.tracer, Retention: b.client, Finder: b.client, Payloads: b.payloads()}
		if b.budget != nil {
			deps.Pacer = b.budget
		}
		w, err := outbound.NewWorker(cfg, b.client, log, deps)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", c.Table, err)
		}
		tables = append(tables, &table{name: c.Table, worker: w})
	}
	b.schemas.Store(&schemas)
	return tables, nil
}

func (b *Bridge) newRoutes(ctx context.Context, programs map[string]*mapping.Program, waiting map[string][]keyNeed, arrivals *inbound.Arrivals, echoes *echoes) ([]*route, error) {
	var routes []*route
	outbox := b.conn.Outbox(b.names.DeadStream(), b.names, jet.OutboxSettings{TypePrefix: b.cfg.Outbound.TypePrefix})
	for _, c := range b.cfg.Inbound.Routes {
		cfg := inbound.RouteConfig{
			Name: c.Name, Format: c.Format, EventType: c.PlainType, Unmatched: c.Unmatched, Concurrency: c.Concurrency,
			AckWait: c.AckWait, Receipts: c.Receipts, Shadow: c.Shadow, GiveUpParked: c.GiveUp,
			MaxHeld: maxHeld(c), Grace: b.cfg.ShutdownGrace,
			ParkAfter: c.ParkAfter, AmbiguityBound: c.AmbiguityBound, StopWindow: c.StopAfter, Redact: c.Redact,
		}
		if cfg.AmbiguityBound == 0 {
			cfg.AmbiguityBound = -1
		}
		feed, err := b.conn.Feed(ctx, b.feedConfig(c))
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", c.Name, err)
		}
		name := c.Name
		overrides, err := webapi.NewOverrides(c.Verdicts)
		if err != nil {
			return nil, fmt.Errorf("route %s: verdicts: %w", name, err)
		}
		deps := inbound.Deps{Logger: b.log, Meter: b.prov.meter, Tracer: b.prov.tracer}
		deps.Revisions = b.conn.Revisions(b.EventStream(), b.names, c.Name)
		deps.Parking, deps.Arrivals = b.conn.Parking(b.names.DeadStream(), b.names, c.Name), arrivals
		if len(echoes.tables) > 0 {
			deps.Echoes = echoes
		}
		if b.opt.settled != nil {
			deps.Observe = func(s inbound.Settled) { b.opt.settled(name, s) }
		}
		var mapper inbound.Mapper = programs[name]
		var held *hold
		if keys := waiting[name]; len(keys) > 0 {
			if held, err = b.newHold(c, programs[name], keys); err != nil {
				return nil, err
			}
			mapper = held
		}
		r, err := inbound.NewRoute(cfg, feed, mapper, webapi.Override(b.client, overrides), outbox, deps)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", name, err)
		}
		routes = append(routes, &route{name: name, route: r, feed: feed, held: held})
	}
	return routes, nil
}

// maxHeld is how many messages of a route may be unsettled: as many again as are written
// at once, so that the next ones are at hand, mapped, when those are answered.
func maxHeld(c RouteConfig) int { return max(inbound.DefaultMaxHeld, 2*c.Concurrency) }

// feedConfig is the consumer that a route needs.
func (b *Bridge) feedConfig(c RouteConfig) jet.FeedConfig {
	return jet.FeedConfig{
		Stream: c.Stream, Durable: b.durable(c.Name), Subjects: c.Subjects,
		Start:   jet.Start(c.Start),
		AckWait: c.AckWait, MaxAckPending: maxHeld(c), PinnedTTL: c.AckWait,
		Mode: jet.Mode(b.cfg.Provision), Logger: b.log.With("route", c.Name),
	}
}

// durable is the consumer's name: the same for every copy of the bridge, so that
// they share the route.
func (b *Bridge) durable(route string) string {
	return b.cfg.Prefix + "-" + b.cfg.Org + "-" + route
}

// launch runs everything until the cleanup step ends it. The workers end what they
// are doing in their own bounded time after their context is cancelled.
func (b *Bridge) launch(tables []*table, routes []*route) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, t := range tables {
		wg.Go(func() {
			if err := t.worker.Run(ctx); err != nil {
				b.log.Error("table ended", "table", t.name, "error", err)
			}
		})
	}
	if b.cfg.Outbound.ClaimCheck != nil {
		wg.Go(func() { b.trim(ctx) })
	}
	for _, r := range routes {
		wg.Go(func() {
			if r.held != nil && r.held.wait(ctx) != nil {
				return
			}
			if err := r.route.Run(ctx); err != nil {
				b.log.Error("route ended", "route", r.name, "error", err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	b.cleanup.push("tables and routes", b.cfg.ShutdownGrace+15*time.Second, func(stop context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stop.Done():
			return fmt.Errorf("work was still running after %s; what was not confirmed will be done again", b.cfg.ShutdownGrace+15*time.Second)
		}
	})
}
