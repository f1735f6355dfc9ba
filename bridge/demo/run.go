package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

// ConfigYAML is the configuration the demo runs with, addresses aside.
//
//go:embed demo.yaml
var ConfigYAML []byte

// Options of a demo.
type Options struct {
	// Out receives what a person reads.
	Out io.Writer
	// Duration ends the demo by itself; 0 lets ctx end it.
	Duration time.Duration
	// Dir keeps the JetStream store and the simulator's records, so that the next
	// demo goes on from there; "" takes a temporary one and removes it.
	Dir string
	// NATSPort and SimAddr choose ports; -1 and "127.0.0.1:0" take free ones.
	NATSPort int
	SimAddr  string
	// AdminAddr is the admin port's address.
	AdminAddr string
	// Pace is the time between two sample changes, 0 for the default.
	Pace   time.Duration
	Seed   uint64
	Logger *slog.Logger
}

// Summary counts what the demo showed.
type Summary struct {
	Loaded, Created, Updated, Deleted int
	Written, Rejected                 int
}

// Run runs the demo until ctx ends or the duration has passed. It fails when a
// part of it fails; ending is not a failure.
func Run(ctx context.Context, o Options) (sum Summary, err error) {
	if o.Pace <= 0 {
		o.Pace = 700 * time.Millisecond
	}
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	cfg, err := bridge.ParseConfig("demo.yaml", ConfigYAML)
	if err != nil {
		return sum, err
	}
	simData := ""
	if o.Dir == "" {
		cfg.NATS.Embedded.Dir, err = os.MkdirTemp("", "cebridge-demo-")
		if err != nil {
			return sum, fmt.Errorf("make a directory for the store: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(cfg.NATS.Embedded.Dir)) }()
	} else {
		cfg.NATS.Embedded.Dir, simData = filepath.Join(o.Dir, "nats"), filepath.Join(o.Dir, "crm")
	}
	cfg.NATS.Embedded.Port = o.NATSPort
	cfg.Admin.Listen = o.AdminAddr

	s, err := sim.New(sim.Options{Logger: o.Logger, Data: simData})
	if err != nil {
		return sum, fmt.Errorf("make the simulator: %w", err)
	}
	defer s.Close()
	fresh, err := empty(s)
	if err == nil && fresh {
		err = seed(s)
	}
	if err != nil {
		return sum, err
	}
	cfg.WebAPI.URL, err = s.Start(o.SimAddr)
	if err != nil {
		return sum, fmt.Errorf("start the simulator: %w", err)
	}

	p := &printer{out: o.Out, counts: map[string]int{}}
	b, err := bridge.New(cfg, bridge.WithLogger(o.Logger), bridge.WithSettled(p.inbound))
	if err != nil {
		return sum, err
	}
	if err := b.Start(ctx); err != nil {
		return sum, notItsEnd(ctx, err)
	}
	p.line("simulator   %s/api/data/v9.2/", cfg.WebAPI.URL)
	p.line("NATS        %s   (try: nats -s %s sub 'crm.>')", b.NATSURL(), b.NATSURL())
	p.line("admin       http://%s/status.json  /metrics", b.AdminAddr())
	p.line("")

	err = notItsEnd(ctx, traffic(ctx, b, s, p, o, fresh))
	err = errors.Join(err, b.Stop(context.WithoutCancel(ctx)))
	sum = Summary{
		Loaded: p.counted("loaded"), Created: p.counted("created"), Updated: p.counted("updated"), Deleted: p.counted("deleted"),
		Written: p.counted("inbound written"), Rejected: p.counted("inbound rejected"),
	}
	p.line("\nout: %d loaded, %d created, %d updated, %d deleted    in: %d upserts, %d dead letters",
		sum.Loaded, sum.Created, sum.Updated, sum.Deleted, sum.Written, sum.Rejected)
	return sum, err
}

// notItsEnd is err, unless it only says that ctx ended.
func notItsEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// traffic shows the events and causes new ones until ctx ends. In a demo that goes
// on, those of the time before are not shown again.
func traffic(ctx context.Context, b *bridge.Bridge, s *sim.Server, p *printer, o Options, fresh bool) error {
	nc, err := nats.Connect(b.NATSURL(), nats.Name("demo traffic"))
	if err != nil {
		return fmt.Errorf("connect the sample traffic to %s: %w", b.NATSURL(), err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("sample traffic: %w", err)
	}
	from := jetstream.DeliverAllPolicy
	if !fresh {
		from = jetstream.DeliverNewPolicy
	}
	watch, err := js.OrderedConsumer(ctx, b.EventStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{b.Names().Prefix + ".>"}, DeliverPolicy: from,
	})
	if err != nil {
		return fmt.Errorf("watch the events: %w", err)
	}
	watching, err := watch.Consume(p.outbound)
	if err != nil {
		return fmt.Errorf("watch the events: %w", err)
	}
	defer watching.Stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return people(ctx, s, o.Seed, o.Pace) })
	g.Go(func() error { return erp(ctx, js, o.Seed, o.Pace) })
	return g.Wait()
}
