package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/sim"
)

// inboundCase is one way of writing.
type inboundCase struct {
	latency  time.Duration
	inFlight int
	batch    int // 1: single requests
	tls      int // the HTTP version spoken over TLS; 0 is without TLS
}

func (c inboundCase) name() string {
	switch {
	case c.batch > 1:
		return fmt.Sprintf("inbound-batch%d-%s-%d", c.batch, c.latency, c.inFlight)
	case c.tls > 0:
		return fmt.Sprintf("inbound-patch-tls%d-%s-%d", c.tls, c.latency, c.inFlight)
	}
	return fmt.Sprintf("inbound-patch-%s-%d", c.latency, c.inFlight)
}

// inboundCases are those that the options ask for, or the table.
func inboundCases(o Options) (list []kase) {
	const ms = time.Millisecond
	table := []inboundCase{
		{5 * ms, 52, 1, 0}, {5 * ms, 256, 1, 0}, {20 * ms, 52, 1, 0}, {20 * ms, 256, 1, 0},
		{5 * ms, 52, 1, 1}, {5 * ms, 52, 1, 2}, {5 * ms, 8, o.Batch, 0},
	}
	if o.InFlight > 0 {
		table = []inboundCase{
			{o.Latency, o.InFlight, 1, 0}, {o.Latency, o.InFlight, 1, 1}, {o.Latency, o.InFlight, 1, 2}, {o.Latency, o.InFlight, o.Batch, 0},
		}
	}
	for _, c := range table {
		if c.batch > 0 {
			list = append(list, kase{c.name(), c.run})
		}
	}
	return list
}

const (
	// maxConcurrency is the most writes that a route may make at once.
	maxConcurrency = 1000
	sourceStream   = "BENCH"
	rawConsumer    = "raw"
	// batchShare is how many times more messages the batch case has: they pass faster.
	batchShare = 5
)

func (c inboundCase) run(ctx context.Context, o Options) ([]Result, error) {
	if c.batch > 1 {
		o.Messages *= batchShare
	}
	res := Result{Name: c.name(), Unit: "messages/s", Items: o.Messages}
	faults := sim.NewFaults(1)
	s, err := newStage(ctx, o, lazySync, sim.Options{Faults: faults})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.records(o.Messages); err != nil {
		return nil, err
	}
	if err := s.publish(ctx, o.Messages); err != nil {
		return nil, err
	}
	front, err := newFront(s.sim.Handler(), c.tls, o.Dir)
	if err != nil {
		return nil, err
	}
	defer front.close()
	if c.latency > 0 {
		method := http.MethodPatch
		if c.batch > 1 {
			method = http.MethodPost
		}
		faults.Add(sim.Rule{Kind: sim.FaultLatency, Method: method, Delay: c.latency})
	}
	ours, err := c.ours(ctx, s, front, o.Messages)
	if err != nil {
		return nil, err
	}
	res.Connections = front.connections.Load()
	limit, err := c.limit(ctx, s, front, o.Messages)
	if err != nil {
		return nil, fmt.Errorf("raw loop: %w", err)
	}
	res.LimitConnections = front.connections.Load() - res.Connections
	res.take(ours, limit)
	return []Result{res}, nil
}

func (c inboundCase) ours(ctx context.Context, s *stage, f *front, n int) (fig figures, err error) {
	p, err := s.bridge(c.name(), fmt.Sprintf(`
org: %s
webapi: {url: "%s", max_in_flight: %d, batch: {max: %d}%s}
nats: {urls: ["%s"]}
inbound:
  routes:
    bench:
      stream: %s
      start: all
      concurrency: %d
      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name}
`, benchOrg, f.url, c.inFlight, c.batch, f.settings(), s.nats.URL(), sourceStream, min(maxConcurrency, c.inFlight*c.batch)))
	if err != nil {
		return fig, err
	}
	defer p.stop(&err)
	if fig, err = p.follow(ctx, n, s.acknowledged(n, "")); err != nil {
		return fig, err
	}
	if dead, err := s.messages(ctx, names.DeadStream()); err != nil || dead > 0 {
		return fig, errors.Join(fmt.Errorf("%d messages were not written", dead), err)
	}
	return fig, s.inOrder(n)
}

func (c inboundCase) limit(ctx context.Context, s *stage, f *front, n int) (fig figures, err error) {
	p, err := s.raw(job{
		Kind: jobWrites, URL: f.url, CA: f.authority, HTTP2: f.http2, Items: n, InFlight: c.inFlight, Batch: c.batch,
	})
	if err != nil {
		return fig, err
	}
	defer p.stop(&err)
	return p.follow(ctx, n, s.acknowledged(n, rawConsumer))
}

// acknowledged counts the messages that the raw loop's consumer has done with, or that
// of the bridge, which is the first and whose name is not known.
func (s *stage) acknowledged(n int, name string) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		stream, err := s.js.Stream(ctx, sourceStream)
		if err != nil {
			return 0, err
		}
		for list := stream.ListConsumers(ctx); ; {
			info, ok := <-list.Info()
			if !ok {
				return 0, list.Err()
			}
			if name == "" || info.Name == name {
				for range list.Info() { // to its end: somebody sends
				}
				return n - int(info.NumPending) - info.NumAckPending, nil
			}
		}
	}
}

// hotKeys take a tenth of the messages together.
const hotKeys = 100

// key spreads the messages over many records, each of them used several times.
func key(i int) string {
	if i%10 == 0 {
		return fmt.Sprintf("H%06d", i/10%hotKeys)
	}
	return fmt.Sprintf("B%06d", i%5000)
}

func name(i int) string { return fmt.Sprintf("Contoso %d", i) }

// newest is the last message of every key.
func newest(n int) map[string]int {
	last := map[string]int{}
	for i := range n {
		last[key(i)] = i
	}
	return last
}

// records makes the record of every key, so that all writes are updates.
func (s *stage) records(n int) error {
	var keys []string
	for k := range newest(n) {
		keys = append(keys, k)
	}
	return s.sim.Seed("account", len(keys), func(i int) map[string]any {
		return map[string]any{"accountnumber": keys[i], "name": "Contoso"}
	})
}

// inOrder fails when a record does not have what its last message says.
func (s *stage) inOrder(n int) error {
	for k, i := range newest(n) {
		id, _ := s.sim.FindByKey("account", map[string]any{"accountnumber": k})
		row, ok := s.sim.Row("account", id)
		if !ok || row["name"] != name(i) {
			return fmt.Errorf("record %s has the name %v, the last message of its key says %s", k, row["name"], name(i))
		}
	}
	return nil
}

func (s *stage) publish(ctx context.Context, n int) error {
	if err := s.conn.EnsureSourceStream(ctx, "apply", sourceStream, []string{"bench.>"}, 1); err != nil {
		return err
	}
	// In order, which is what the records are held against in the end.
	stored := make([]jetstream.PubAckFuture, n)
	for i := range n {
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": fmt.Sprint(i), "source": "/bench", "type": "com.example.bench",
			"data": map[string]any{"id": key(i), "name": name(i)},
		})
		if err != nil {
			return err
		}
		if stored[i], err = s.js.PublishAsync("bench.customer", body); err != nil {
			return err
		}
	}
	for _, f := range stored {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
