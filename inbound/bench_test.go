package inbound

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cebridge/schema"
)

// instantFeed hands out n messages as fast as they are taken, and its
// acknowledgements succeed at once.
type instantFeed struct {
	messages []*Message
	n        int
	left     chan struct{}
}

type instantDelivery struct {
	m *Message
	f *instantFeed
}

func (d *instantDelivery) Message() *Message { return d.m }
func (d *instantDelivery) Extend() error     { return nil }
func (d *instantDelivery) Release() error    { return nil }
func (d *instantDelivery) Ack(context.Context) error {
	d.f.left <- struct{}{}
	return nil
}

func (f *instantFeed) Run(ctx context.Context, handle func(Delivery)) error {
	for i := range f.n {
		m := *f.messages[i%len(f.messages)]
		m.Sequence, m.Number = uint64(i+1), uint64(i+1)
		handle(&instantDelivery{&m, f})
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *instantFeed) State(context.Context) (FeedState, error) { return FeedState{}, nil }

// BenchmarkEngine measures what the engine itself costs a message: everything but
// the calls to the ports, mapping included.
func BenchmarkEngine(b *testing.B) {
	for _, latency := range []time.Duration{0, 5 * time.Millisecond} {
		b.Run(fmt.Sprintf("write of %s", latency), func(b *testing.B) {
			f := &instantFeed{n: b.N, left: make(chan struct{}, 1024)}
			for i := range 500 {
				f.messages = append(f.messages, &Message{
					Stream: "ERP", Incarnation: "i", Subject: "erp.customer",
					Data: fmt.Appendf(nil, `{"key":"customer-%d","name":"Contoso","telephone":"0123"}`, i),
				})
			}
			cfg := testConfig()
			cfg.Concurrency, cfg.MaxHeld = 52, 1024
			r, err := NewRoute(cfg, f, keyMapper{}, slowWriter{latency}, &outbox{}, Deps{})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			b.ReportAllocs()
			b.ResetTimer()
			go func() { done <- r.Run(ctx) }()
			for range b.N {
				<-f.left
			}
			b.StopTimer()
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

type slowWriter struct{ latency time.Duration }

func (w slowWriter) Apply(ctx context.Context, _ *schema.Write) (schema.Result, error) {
	sleep(ctx, w.latency)
	return schema.Result{Effect: schema.EffectUpdated}, nil
}

// BenchmarkBareLoop is what the engine is compared with: as many writers, no order
// and no acknowledgement.
func BenchmarkBareLoop(b *testing.B) {
	w := slowWriter{5 * time.Millisecond}
	work := make(chan struct{})
	var writers sync.WaitGroup
	for range 52 {
		writers.Go(func() {
			for range work {
				if _, err := w.Apply(context.Background(), nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	writers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
