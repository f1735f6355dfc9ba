package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
)

func inboundPatch(ctx context.Context, o Options) (Result, error) {
	res := Result{Name: fmt.Sprintf("inbound-patch-%s-%d", o.Latency, o.InFlight), Items: o.Messages}
	faults := sim.NewFaults(1)
	s, err := newStage(ctx, o, "inbound", faults)
	if err != nil {
		return res, err
	}
	defer s.close()
	if o.Latency > 0 {
		faults.Add(sim.Rule{Kind: sim.FaultLatency, Method: http.MethodPatch, Delay: o.Latency})
	}
	if err := s.publish(ctx, o.Messages); err != nil {
		return res, fmt.Errorf("bench inbound: %w", err)
	}
	cfg, err := bridge.ParseConfig("bench.yaml", fmt.Appendf(nil, `
org: %s
webapi: {url: "%s", max_in_flight: %d}
nats: {urls: ["%s"]}
inbound:
  routes:
    bench:
      stream: BENCH
      start: all
      concurrency: %d
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
`, benchOrg, s.url, o.InFlight, s.nats.URL(), o.InFlight))
	if err != nil {
		return res, err
	}
	var written, failed atomic.Int64
	all := make(chan struct{})
	b, err := bridge.New(cfg, bridge.WithLogger(o.Logger), bridge.WithSettled(func(_ string, m inbound.Settled) {
		if m.Err != nil {
			failed.Add(1)
		}
		if written.Add(1) == int64(o.Messages) {
			close(all)
		}
	}))
	if err != nil {
		return res, err
	}
	res.Ours, res.CPU, err = measure(o.Messages, func() error {
		if err := b.Start(ctx); err != nil {
			return err
		}
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if stopErr := b.Stop(context.WithoutCancel(ctx)); err == nil {
		err = stopErr
	}
	if err == nil && failed.Load() > 0 {
		err = fmt.Errorf("%d messages were not written", failed.Load())
	}
	if err != nil {
		return res, fmt.Errorf("bench inbound: %w", err)
	}
	res.Limit, err = s.rawPatches(ctx, o)
	if err != nil {
		return res, fmt.Errorf("bench inbound limit: %w", err)
	}
	return res, nil
}

// key spreads the messages over many records, each of them used several times.
func key(i int) string { return fmt.Sprintf("B%06d", i%5000) }

func (s *stage) publish(ctx context.Context, n int) error {
	if err := s.conn.EnsureSourceStream(ctx, "apply", "BENCH", []string{"bench.>"}, 1); err != nil {
		return err
	}
	// With an fsync per message one at a time would take longer than the case.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range n {
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": fmt.Sprint(i), "source": "/bench", "type": "com.example.bench",
			"data": map[string]any{"id": key(i), "name": fmt.Sprintf("Contoso %d", i)},
		})
		if err != nil {
			return err
		}
		g.Go(func() error {
			_, err := s.js.Publish(ctx, "bench.customer", body)
			return err
		})
	}
	return g.Wait()
}

// rawPatches sends the same PATCHes from as many plain loops over kept connections.
func (s *stage) rawPatches(ctx context.Context, o Options) (float64, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: o.InFlight, MaxConnsPerHost: o.InFlight, IdleConnTimeout: time.Minute}
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()
	var next atomic.Int64
	rate, _, err := measure(o.Messages, func() error {
		g, ctx := errgroup.WithContext(ctx)
		for range o.InFlight {
			g.Go(func() error {
				var buf bytes.Buffer
				for {
					i := int(next.Add(1)) - 1
					if i >= o.Messages {
						return nil
					}
					body := fmt.Appendf(nil, `{"name":"Contoso %d"}`, i)
					req, err := http.NewRequestWithContext(ctx, http.MethodPatch,
						s.url+"/api/data/v9.2/accounts(accountnumber='"+key(i)+"')", bytes.NewReader(body))
					if err != nil {
						return err
					}
					req.Header.Set("Content-Type", "application/json")
					if err := drain(client, req, &buf); err != nil {
						return err
					}
				}
			})
		}
		return g.Wait()
	})
	return rate, err
}
