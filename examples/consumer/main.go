// Command consumer reads the bridge's events of one table as any consumer would:
// first the present state of every record, then each change as it comes. With
// -send it publishes an event for the other direction instead.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	url := flag.String("s", "nats://127.0.0.1:4333", "NATS server")
	stream := flag.String("stream", "CRM_DEMO", "the bridge's event stream")
	subjects := flag.String("subjects", "crm.demo.account.*", "the records to read")
	send := flag.String("send", "", "publish a customer event for this account number, and end")
	flag.Parse()
	if err := run(ctx, os.Stdout, *url, *stream, *subjects, *send); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, url, stream, subjects, send string) error {
	nc, err := nats.Connect(url, nats.Name("consumer example"))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	if send != "" {
		return announce(ctx, out, js, send)
	}
	return follow(ctx, out, js, stream, subjects)
}

// follow rebuilds the state from the last event of every record and then goes on
// with what comes, until ctx ends. An ordered consumer needs no acknowledgements
// and starts itself anew after a lost connection, behind the last event it gave.
func follow(ctx context.Context, out io.Writer, js jetstream.JetStream, stream, subjects string) error {
	c, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return fmt.Errorf("read %s of stream %s: %w", subjects, stream, err)
	}
	events, err := c.Messages()
	if err != nil {
		return fmt.Errorf("read %s of stream %s: %w", subjects, stream, err)
	}
	defer events.Stop()

	s := newState()
	rebuilt := false
	told := func() {
		rebuilt = true
		fmt.Fprintf(out, "present state, live records: %d\n", s.live)
	}
	if c.CachedInfo().NumPending == 0 {
		told()
	}
	for {
		m, err := events.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for the next event: %w", err)
		}
		e, err := parse(m.Data())
		there := true
		if err == nil {
			there, err = fetch(ctx, js, e)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Subject(), err)
		}
		if there && s.apply(e) && rebuilt {
			fmt.Fprintf(out, "%-8s %s [%s] %s\n", e.change(), e.Subject, e.ChangedColumns, e.Data.Record)
		}
		// Nothing more was waiting when the server sent this one: that was the state.
		if at, err := m.Metadata(); err == nil && !rebuilt && at.NumPending == 0 {
			told()
		}
	}
}
