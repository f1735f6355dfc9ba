package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// writes reads the messages, makes the writes from as many plain loops over kept
// connections, and acknowledges. It decodes nothing, keeps no order and does not wait
// for the confirmation of an acknowledgement.
func (j job) writes(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateConsumer(ctx, sourceStream, jetstream.ConsumerConfig{
		Name: rawConsumer, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 8192, InactiveThreshold: time.Hour,
	})
	if err != nil {
		return err
	}
	transport, err := j.transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	feed := make(chan jetstream.Msg, 1000)
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
	w := rawWriter{job: j, client: &http.Client{Transport: transport}, feed: feed}
	g, running := errgroup.WithContext(ctx)
	for range j.InFlight {
		g.Go(func() error { return w.loop(running) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return nc.FlushTimeout(10 * time.Second)
}

func (j job) transport() (*http.Transport, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(j.HTTP2)
	t := &http.Transport{
		MaxIdleConnsPerHost: j.InFlight, MaxConnsPerHost: j.InFlight, IdleConnTimeout: time.Minute, Protocols: protocols,
	}
	if j.CA == "" {
		return t, nil
	}
	text, err := os.ReadFile(j.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate to trust")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return t, nil
}

// rawWriter is what the loops share.
type rawWriter struct {
	job
	client *http.Client
	feed   chan jetstream.Msg
	taken  atomic.Int64
}

func (w *rawWriter) loop(ctx context.Context) error {
	var out, in bytes.Buffer
	next := w.patch
	if w.Batch > 1 {
		next = w.batch
	}
	list := make([]jetstream.Msg, 0, w.Batch)
	for {
		from := int(w.taken.Add(int64(w.Batch))) - w.Batch
		n := min(w.Batch, w.Items-from)
		if n <= 0 {
			return nil
		}
		for list = list[:0]; len(list) < n; {
			select {
			case m := <-w.feed:
				list = append(list, m)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		req, err := next(ctx, from, from+n, &out)
		if err != nil {
			return err
		}
		if err := drain(w.client, req, &in); err != nil {
			return err
		}
		if written := bytes.Count(in.Bytes(), []byte("HTTP/1.1 204")); w.Batch > 1 && written != n {
			return fmt.Errorf("%d of %d writes of a batch were accepted", written, n)
		}
		for _, m := range list {
			if err := m.Ack(); err != nil {
				return err
			}
		}
	}
}

func (w *rawWriter) patch(ctx context.Context, i, _ int, _ *bytes.Buffer) (*http.Request, error) {
	body := fmt.Appendf(nil, `{"name":"%s"}`, name(i))
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, w.URL+"/api/data/v9.2/accounts(accountnumber='"+key(i)+"')", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

func (w *rawWriter) batch(ctx context.Context, from, to int, out *bytes.Buffer) (*http.Request, error) {
	out.Reset()
	for i := from; i < to; i++ {
		fmt.Fprintf(out, "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"+
			"PATCH /api/data/v9.2/accounts(accountnumber='%s') HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"+
			`{"name":"%s"}`+"\r\n", key(i), name(i))
	}
	out.WriteString("--b--\r\n")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/api/data/v9.2/$batch", bytes.NewReader(out.Bytes()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "multipart/mixed; boundary=b")
	req.Header.Set("Prefer", "odata.continue-on-error")
	return req, nil
}
