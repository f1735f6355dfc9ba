// Command changetracking re-enacts the Changetracking sample of the Dynamics
// developer guide through the bridge: 10 books are read, then 10 are added, one is
// updated and one is deleted, both by alternate key. The stream gains the 10
// loaded books, and then exactly those 12 changes.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

//go:embed bridge.yaml
var config []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, _, err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// change is one event, reduced to what the sample is about.
type change struct {
	Kind string // loaded, created, updated, deleted
	Code string // sample_bookcode
}

func run(ctx context.Context, out io.Writer) (first, then []change, err error) {
	crm, err := sim.New(sim.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer crm.Close()
	cfg, err := bridge.ParseConfig("bridge.yaml", config)
	if err != nil {
		return nil, nil, err
	}
	if cfg.WebAPI.URL, err = crm.Start("127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	books := library{url: cfg.WebAPI.URL + "/api/data/v9.2/"}
	for i := range 10 {
		if err := books.add(ctx, i); err != nil {
			return nil, nil, err
		}
	}
	if cfg.NATS.Embedded.Dir, err = os.MkdirTemp("", "cebridge-books-"); err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(cfg.NATS.Embedded.Dir)
	b, err := bridge.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	if err := b.Start(ctx); err != nil {
		return nil, nil, err
	}
	defer b.Stop(context.WithoutCancel(ctx))

	// From here on an ordinary NATS client: it knows nothing of the CRM.
	nc, err := nats.Connect(b.NATSURL())
	if err != nil {
		return nil, nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, err
	}
	consumer, err := js.OrderedConsumer(ctx, b.EventStream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"crm.contoso.sample_book.>"}})
	if err != nil {
		return nil, nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, nil, err
	}
	defer messages.Stop()
	context.AfterFunc(ctx, messages.Stop)

	fmt.Fprintln(out, "the first read:")
	if first, err = read(messages, 10, out); err != nil {
		return nil, nil, err
	}
	for i := 10; i < 20; i++ {
		if err := books.add(ctx, i); err != nil {
			return nil, nil, err
		}
	}
	if err := books.call(ctx, http.MethodPatch, "sample_books(sample_bookcode='BookCode0')", map[string]any{"sample_name": "Demo Book 0 updated"}); err != nil {
		return nil, nil, err
	}
	if err := books.call(ctx, http.MethodDelete, "sample_books(sample_bookcode='BookCode1')", nil); err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(out, "what changed since:")
	then, err = read(messages, 12, out)
	return first, then, err
}

// read returns the next n changes.
func read(messages jetstream.MessagesContext, n int, out io.Writer) ([]change, error) {
	var changes []change
	for range n {
		m, err := messages.Next()
		if err != nil {
			return changes, fmt.Errorf("wait for change %d of %d: %w", len(changes)+1, n, err)
		}
		var e struct {
			Type string
			Data struct{ Record, Previous map[string]any }
		}
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return changes, fmt.Errorf("read an event: %w", err)
		}
		c := change{Kind: e.Type[strings.LastIndexByte(e.Type, '.')+1:]}
		record := e.Data.Record
		if record == nil { // a delete carries the keys the record last had
			record = e.Data.Previous
		}
		c.Code, _ = record["sample_bookcode"].(string)
		fmt.Fprintf(out, "  %-8s %s\n", c.Kind, c.Code)
		changes = append(changes, c)
	}
	return changes, nil
}

// library changes books over the Web API, as any client would.
type library struct{ url string }

func (l library) add(ctx context.Context, i int) error {
	return l.call(ctx, http.MethodPost, "sample_books", map[string]any{
		"sample_bookcode": fmt.Sprintf("BookCode%d", i),
		"sample_name":     fmt.Sprintf("Demo Book %d", i),
		"sample_author":   fmt.Sprintf("Author%d", i),
	})
}

func (l library) call(ctx context.Context, method, path string, body map[string]any) error {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url+path, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("OData-Version", "4.0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return fmt.Errorf("%s %s: status %d: %s", method, path, res.StatusCode, text)
	}
	return nil
}
