package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// Forwarder publishes copies of messages on other subjects.
type Forwarder struct {
	c      *Conn
	stored bool
}

// Forwarder looks whether a stream takes the subject. Then every copy is confirmed
// by it; otherwise copies are plain messages that whoever listens gets.
func (c *Conn) Forwarder(ctx context.Context, subject string) (*Forwarder, error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	taken, err := c.SubjectTaken(ctx, subject)
	if err != nil {
		return nil, err
	}
	return &Forwarder{c: c, stored: taken}, nil
}

// SubjectTaken tells whether a stream of this account takes the subject.
func (c *Conn) SubjectTaken(ctx context.Context, subject string) (bool, error) {
	started := time.Now()
	_, err := c.js.StreamNameBySubject(ctx, subject)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	}
	return false, fmt.Errorf("look for the stream of %s: %w", subject, c.explain(err, started))
}

// Covers tells whether a subject is among those that a filter with wildcards stands for.
func Covers(filter, subject string) bool { return server.SubjectMatchesFilter(subject, filter) }

// Stored tells whether a stream confirms the copies.
func (f *Forwarder) Stored() bool { return f.stored }

// Send publishes one copy.
func (f *Forwarder) Send(ctx context.Context, m outbound.Message) error {
	if err := errors.Join(checkSubject(m.Subject), checkHeader(m.Header)); err != nil {
		return err
	}
	msg := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
	started := time.Now()
	var err error
	if f.stored {
		_, err = f.c.js.PublishMsg(ctx, msg)
	} else {
		err = f.c.nc.PublishMsg(msg)
	}
	if err != nil {
		return fmt.Errorf("publish on %s: %w", m.Subject, f.c.explain(err, started))
	}
	return nil
}

// Flush waits until the server has everything that was sent.
func (f *Forwarder) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*apiTimeout)
	defer cancel()
	if err := f.c.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("wait for the server to take the copies: %w", err)
	}
	return nil
}

// Listen calls fn with the subject of every message on a plain NATS subject, until
// stop is called. fn must not block.
func (c *Conn) Listen(subject string, fn func(subject string)) (stop func() error, err error) {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) { fn(m.Subject) })
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", subject, err)
	}
	return c.heard(sub), nil
}

// Serve answers requests on a plain NATS subject until stop is called. Of several
// servers with the same group one answers, without a group every one. fn must not
// block.
func (c *Conn) Serve(subject, group string, fn func(subject string, data []byte) (answer []byte)) (stop func() error, err error) {
	sub, err := c.nc.QueueSubscribe(subject, group, func(m *nats.Msg) {
		if answer := fn(m.Subject, m.Data); m.Reply != "" {
			// An answer that cannot be sent is asked for again.
			_ = c.nc.Publish(m.Reply, answer)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", subject, err)
	}
	return c.heard(sub), nil
}

// ErrNobody: nobody serves the subject.
var ErrNobody = errors.New("nobody answers")

// Ask sends a request and returns the first answer.
func (c *Conn) Ask(ctx context.Context, subject string, data []byte) ([]byte, error) {
	answer, err := c.request(ctx, &nats.Msg{Subject: subject, Data: data})
	if errors.Is(err, nats.ErrNoResponders) {
		err = ErrNobody
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	return answer.Data, nil
}

// heard waits until the server knows of a subscription. While the connection is down
// that comes with the reconnect.
func (c *Conn) heard(sub *nats.Subscription) (stop func() error) {
	_ = c.nc.FlushTimeout(dialTimeout)
	return func() error {
		err := sub.Unsubscribe()
		if errors.Is(err, nats.ErrConnectionClosed) {
			return nil
		}
		return err
	}
}
