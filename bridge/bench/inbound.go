package bench

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/inbound"
)

// inboundCase is one way of writing.
type inboundCase struct {
	latency  time.Duration
	inFlight int
	batch    int // 1: single requests
	tls      bool
}

func (c inboundCase) name() string {
	switch {
	case c.batch > 1:
		return fmt.Sprintf("inbound-batch%d-%s-%d", c.batch, c.latency, c.inFlight)
	case c.tls:
		return fmt.Sprintf("inbound-patch-tls-%s-%d", c.latency, c.inFlight)
	}
	return fmt.Sprintf("inbound-patch-%s-%d", c.latency, c.inFlight)
}

// inboundCases are those that the options ask for, or the table.
func inboundCases(o Options) []kase {
	const ms = time.Millisecond
	table := []inboundCase{
		{5 * ms, 52, 1, false}, {5 * ms, 256, 1, false}, {20 * ms, 52, 1, false}, {20 * ms, 256, 1, false},
		{5 * ms, 52, 1, true}, {5 * ms, 8, o.Batch, false},
	}
	if o.InFlight > 0 {
		table = []inboundCase{{o.Latency, o.InFlight, 1, false}, {o.Latency, o.InFlight, o.Batch, false}}
	}
	var list []kase
	for _, c := range table {
		if c.batch > 0 {
			list = append(list, c.run)
		}
	}
	return list
}

// maxConcurrency is the most writes that a route may make at once.
const maxConcurrency = 1000

func (c inboundCase) run(ctx context.Context, o Options) (Result, error) {
	res := Result{Name: c.name(), Items: o.Messages}
	faults := sim.NewFaults(1)
	s, err := newStage(ctx, o, "inbound", faults)
	if err != nil {
		return res, err
	}
	defer s.close()
	front, err := s.front(c, o.Dir)
	if err != nil {
		return res, fmt.Errorf("bench inbound: %w", err)
	}
	defer front.close()
	if c.latency > 0 {
		method := http.MethodPatch
		if c.batch > 1 {
			method = http.MethodPost
		}
		faults.Add(sim.Rule{Kind: sim.FaultLatency, Method: method, Delay: c.latency})
	}
	if err := s.publish(ctx, o.Messages); err != nil {
		return res, fmt.Errorf("bench inbound: %w", err)
	}
	cfg, err := bridge.ParseConfig("bench.yaml", fmt.Appendf(nil, `
org: %s
webapi: {url: "%s", max_in_flight: %d, batch: {max: %d}%s}
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
`, benchOrg, front.url, c.inFlight, c.batch, front.trust, s.nats.URL(), min(maxConcurrency, c.inFlight*c.batch)))
	if err != nil {
		return res, err
	}
	var written, failed, first atomic.Int64
	var last time.Time
	all := make(chan struct{})
	b, err := bridge.New(cfg, bridge.WithLogger(o.Logger), bridge.WithSettled(func(_ string, m inbound.Settled) {
		if m.Err != nil {
			failed.Add(1)
		}
		n := written.Add(1)
		if n == 1 {
			first.Store(time.Now().UnixNano())
		}
		if n == int64(o.Messages) {
			last = time.Now()
			close(all)
		}
	}))
	if err != nil {
		return res, err
	}
	_, res.CPU, err = measure(o.Messages, func() error {
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
	res.Connections, res.RSS = front.connections.Load(), residentMiB()
	if stopErr := b.Stop(context.WithoutCancel(ctx)); err == nil {
		err = stopErr
	}
	if err == nil && failed.Load() > 0 {
		err = fmt.Errorf("%d messages were not written", failed.Load())
	}
	if err != nil {
		return res, fmt.Errorf("bench inbound: %w", err)
	}
	// Starting a bridge takes longer than many writes and is no part of their rate.
	res.Ours = float64(max(o.Messages-1, 1)) / max(last.Sub(time.Unix(0, first.Load())).Seconds(), 1e-9)
	res.Limit, res.LimitCPU, err = c.rawWrites(ctx, s, front, o.Messages)
	if err != nil {
		return res, fmt.Errorf("bench inbound limit: %w", err)
	}
	return res, nil
}

// front is the simulator behind a listener that counts connections.
type front struct {
	server      *httptest.Server
	url         string
	trust       string // what the configuration says to trust the certificate
	connections atomic.Int64
}

func (s *stage) front(c inboundCase, dir string) (*front, error) {
	f := &front{server: httptest.NewUnstartedServer(s.sim.Handler())}
	f.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			f.connections.Add(1)
		}
	}
	if !c.tls {
		f.server.Start()
		f.url = f.server.URL
		return f, nil
	}
	f.server.StartTLS()
	f.url = f.server.URL
	file := filepath.Join(dir, "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		f.close()
		return nil, err
	}
	f.trust = fmt.Sprintf(", tls: {ca_file: %q}", file)
	return f, nil
}

func (f *front) close() { f.server.Close() }

// hotKeys take a tenth of the messages together.
const hotKeys = 100

// key spreads the messages over many records, each of them used several times.
func key(i int) string {
	if i%10 == 0 {
		return fmt.Sprintf("H%06d", i/10%hotKeys)
	}
	return fmt.Sprintf("B%06d", i%5000)
}

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
