package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/sim"
	"cebridge/schema"
)

func doorbellCase() kase { return kase{"doorbell", doorbell} }

const (
	// doorbellRows is the size of the table: a page that is read per ring holds one row.
	doorbellRows = 1000
	// ringGap is the time between two rings: a worker polls at most every 50 ms, which
	// what follows a ring at once would wait for.
	ringGap = 100 * time.Millisecond
)

// doorbell measures from a ring to the event at a subscriber of the stream.
func doorbell(ctx context.Context, o Options) ([]Result, error) {
	s, err := newStage(ctx, o, lazySync, sim.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.accounts(doorbellRows, 400); err != nil {
		return nil, err
	}
	ours, peak, err := s.ringOurs(ctx)
	if err != nil {
		return nil, err
	}
	limit, limitPeak, err := s.ringRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("raw loop: %w", err)
	}
	var rs []Result
	for _, percent := range []int{50, 99} {
		r := Result{Name: fmt.Sprintf("doorbell-p%d", percent), Unit: "ms", Items: o.Rings, RSS: peak, LimitRSS: limitPeak}
		r.Ours, r.Limit = percentile(ours, percent), percentile(limit, percent)
		r.Ratio = r.Limit / r.Ours
		rs = append(rs, r)
	}
	return rs, nil
}

// percentile is the smallest time that so many of a hundred do not exceed, in
// milliseconds. list is sorted.
func percentile(list []time.Duration, percent int) float64 {
	i := (len(list)*percent + 99) / 100
	return list[max(i, 1)-1].Seconds() * 1000
}

func (s *stage) ringOurs(ctx context.Context) (list []time.Duration, peak float64, err error) {
	p, err := s.bridge("doorbell", s.config("doorbell: {gap: 0s}\n"))
	if err != nil {
		return nil, 0, err
	}
	defer p.stop(&err)
	if _, err := p.follow(ctx, doorbellRows, s.stored(names.EventStream(), 1)); err != nil {
		return nil, 0, err
	}
	list, err = s.ring(ctx, p, names)
	return list, p.peakMiB(), err
}

func (s *stage) ringRaw(ctx context.Context) (list []time.Duration, peak float64, err error) {
	j := job{Kind: jobRings, Links: make([]string, 1)}
	if j.Header, j.Data, err = s.sample(ctx); err != nil {
		return nil, 0, err
	}
	r := reader{client: &http.Client{}}
	defer r.client.CloseIdleConnections()
	if j.Links[0], err = r.deltaLink(ctx, s.query()); err != nil {
		return nil, 0, err
	}
	if err := s.rawStream(ctx); err != nil {
		return nil, 0, err
	}
	p, err := s.raw(j)
	if err != nil {
		return nil, 0, err
	}
	defer p.stop(&err)
	list, err = s.ring(ctx, p, rawNames)
	return list, p.peakMiB(), err
}

// ring changes one record after the other, rings, and waits for the event. The first
// events are not counted: until one came, nobody may have listened to the ring.
func (s *stage) ring(ctx context.Context, p *process, n schema.Names) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	consumer, err := s.js.OrderedConsumer(ctx, n.EventStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{n.Table("account")}, DeliverPolicy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return nil, err
	}
	events := make(chan struct{}, 1)
	reading, err := consumer.Consume(func(jetstream.Msg) {
		select {
		case events <- struct{}{}:
		case <-ctx.Done():
		}
	})
	if err != nil {
		return nil, err
	}
	defer reading.Stop()
	var ids []string
	if err := s.sim.Rows("account", func(id string, _ map[string]any) bool {
		ids = append(ids, id)
		return true
	}); err != nil {
		return nil, err
	}
	var list []time.Duration
	const first = 10
	gap := time.NewTicker(ringGap)
	defer gap.Stop()
	for i := range first + s.o.Rings {
		select {
		case <-gap.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := s.sim.Update("account", ids[i%len(ids)], map[string]any{"name": fmt.Sprintf("Contoso %s %d", n.Prefix, i)}); err != nil {
			return nil, err
		}
		took, err := s.ringOnce(ctx, p, n.Ring("account"), events, i == 0)
		if err != nil {
			return nil, fmt.Errorf("ring %d: %w", i, err)
		}
		if i >= first {
			list = append(list, took)
		}
	}
	slices.Sort(list)
	return list, nil
}

// ringOnce rings and waits for one event; with again it repeats the ring.
func (s *stage) ringOnce(ctx context.Context, p *process, subject string, events <-chan struct{}, again bool) (time.Duration, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for {
		if err := s.conn.NATS().Publish(subject, nil); err != nil {
			return 0, err
		}
		for waiting := true; waiting; {
			select {
			case <-events:
				return time.Since(start), nil
			case <-tick.C:
				waiting = !again
			case <-p.ended:
				return 0, fmt.Errorf("the process ended: %w", p.err)
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
}

// rings reads the delta link at every ring and stores one message when it shows a row.
func (j job) rings(ctx context.Context, nc *nats.Conn) error {
	heard := make(chan *nats.Msg, 64)
	sub, err := nc.ChanSubscribe(rawNames.Ring("account"), heard)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	r := reader{client: &http.Client{}}
	defer r.client.CloseIdleConnections()
	c := newCommitter(nc, j.Header, j.Data)
	for link := j.Links[0]; ; {
		select {
		case <-heard:
		case <-ctx.Done():
			return nil
		}
		if link, err = r.deltaLink(ctx, link); err != nil {
			return err
		}
		if !bytes.Contains(r.buf.Bytes(), []byte(`"@odata.etag"`)) {
			continue
		}
		if err := c.commit(ctx, 1); err != nil {
			return err
		}
	}
}
