package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// rawWrites reads the same messages, makes the same writes from as many plain loops
// over kept connections, and acknowledges. It decodes nothing, keeps no order and
// does not wait for the confirmation of an acknowledgement.
func (c inboundCase) rawWrites(ctx context.Context, s *stage, f *front, messages int) (rate, cpu float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	consumer, err := s.js.CreateConsumer(ctx, "BENCH", jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 8192})
	if err != nil {
		return 0, 0, err
	}
	feed := make(chan jetstream.Msg, 1000)
	transport := f.server.Client().Transport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost, transport.IdleConnTimeout = c.inFlight, c.inFlight, time.Minute
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()
	next := rawPatch
	if c.batch > 1 {
		next = rawBatch
	}
	var done atomic.Int64
	return measure(messages, func() error {
		pull, err := consumer.Consume(func(m jetstream.Msg) {
			select {
			case feed <- m:
			case <-ctx.Done():
			}
		}, jetstream.PullMaxMessages(1000))
		if err != nil {
			return err
		}
		defer pull.Stop()
		g, ctx := errgroup.WithContext(ctx)
		for range c.inFlight {
			g.Go(func() error {
				var out, in bytes.Buffer
				taken := make([]jetstream.Msg, 0, c.batch)
				for {
					from := int(done.Add(int64(c.batch))) - c.batch
					if from >= messages {
						return nil
					}
					for taken = taken[:0]; len(taken) < min(c.batch, messages-from); {
						select {
						case m := <-feed:
							taken = append(taken, m)
						case <-ctx.Done():
							return ctx.Err()
						}
					}
					req, err := next(ctx, f.url, from, min(from+c.batch, messages), &out)
					if err != nil {
						return err
					}
					if err := drain(client, req, &in); err != nil {
						return err
					}
					if n := bytes.Count(in.Bytes(), []byte("HTTP/1.1 204")); c.batch > 1 && n != min(c.batch, messages-from) {
						return fmt.Errorf("%d writes of a batch were accepted", n)
					}
					for _, m := range taken {
						if err := m.Ack(); err != nil {
							return err
						}
					}
				}
			})
		}
		return g.Wait()
	})
}

func rawPatch(ctx context.Context, url string, i, _ int, _ *bytes.Buffer) (*http.Request, error) {
	body := fmt.Appendf(nil, `{"name":"Contoso %d"}`, i)
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, url+"/api/data/v9.2/accounts(accountnumber='"+key(i)+"')", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

func rawBatch(ctx context.Context, url string, from, to int, out *bytes.Buffer) (*http.Request, error) {
	out.Reset()
	for i := from; i < to; i++ {
		fmt.Fprintf(out, "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"+
			"PATCH /api/data/v9.2/accounts(accountnumber='%s') HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"+
			`{"name":"Contoso %d"}`+"\r\n", key(i), i)
	}
	out.WriteString("--b--\r\n")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/data/v9.2/$batch", bytes.NewReader(out.Bytes()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "multipart/mixed; boundary=b")
	req.Header.Set("Prefer", "odata.continue-on-error")
	return req, nil
}
