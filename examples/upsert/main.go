// Command upsert re-enacts the InsertRecordUsingUpsert sample of the Dynamics
// developer guide through the bridge: 13 product events become 13 created
// records, then 6 more events update 6 of them. Nobody tells the bridge which
// event is new and which is not; the receipts tell.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
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

// product is one row of the sample's XML files.
type product struct {
	Code     string `json:"code"`
	Name     string `json:"name"`
	Category string `json:"category"`
	Make     string `json:"make"`
}

// newProducts are the 13 products of the first file.
var newProducts = []product{
	{"Cam01", "Nam01", "Cat01", "Widget1"}, {"Ody01", "Nam02", "Cat02", "Widget2"}, {"Civ01", "Nam03", "Cat03", "Widget2"},
	{"Rav01", "Nam04", "Cat04", "Widget1"}, {"Maz01", "Nam05", "Cat05", "Widget3"}, {"Leaf06", "Nam06", "Cat06", "Widget3"},
	{"Acc07", "Nam07", "Cat07", "Widget1"}, {"Pil08", "Nam08", "Cat08", "Widget2"}, {"Cor09", "Nam09", "Cat09", "Widget1"},
	{"Alt10", "Nam10", "Cat10", "Widget4"}, {"Max11", "Nam11", "Cat11", "Widget4"}, {"Pri12", "Nam12", "Cat12", "Widget1"},
	{"Fit13", "Nam13", "Cat13", "Widget2"},
}

// changedProducts are the 6 products of the second file.
var changedProducts = []product{
	{"Cam01", "Nam01Updated", "Cat01", "Widget1"}, {"Ody01", "Nam02Updated", "Cat02", "Widget2"},
	{"Civ01", "Nam03Updated", "Cat03", "Widget2"}, {"Rav01", "Nam04Updated", "Cat04", "Widget1"},
	{"Maz01", "Nam05Updated", "Cat05", "Widget3"}, {"Leaf06", "Nam06", "Cat06", "Widget4"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// receipt is what the bridge says became of one event.
type receipt struct {
	Code   string // the product, from the id of the causing event
	Effect string
}

func run(ctx context.Context, out io.Writer) (receipts []receipt, err error) {
	crm, err := sim.New(sim.Options{})
	if err != nil {
		return nil, err
	}
	defer crm.Close()
	cfg, err := bridge.ParseConfig("bridge.yaml", config)
	if err != nil {
		return nil, err
	}
	if cfg.WebAPI.URL, err = crm.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	if cfg.NATS.Embedded.Dir, err = os.MkdirTemp("", "cebridge-upsert-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(cfg.NATS.Embedded.Dir)
	b, err := bridge.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	defer b.Stop(context.WithoutCancel(ctx))

	// From here on an ordinary NATS client: it knows nothing of the CRM.
	nc, err := nats.Connect(b.NATSURL())
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	sub, err := nc.SubscribeSync("shop.product.receipt")
	if err != nil {
		return nil, err
	}
	for _, file := range [][]product{newProducts, changedProducts} {
		if err := send(ctx, js, file); err != nil {
			return nil, err
		}
		for range file {
			r, err := next(ctx, sub)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(out, "%-7s %s\n", r.Effect, r.Code)
			receipts = append(receipts, r)
		}
		fmt.Fprintln(out)
	}
	return receipts, nil
}

func send(ctx context.Context, js jetstream.JetStream, file []product) error {
	for _, p := range file {
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": p.Code + "/" + p.Name, "source": "/shop", "type": "com.example.shop.product.changed",
			"subject": p.Code, "data": p,
		})
		if err != nil {
			return err
		}
		if _, err := js.Publish(ctx, "shop.product.changed", body); err != nil {
			return fmt.Errorf("send product %s: %w", p.Code, err)
		}
	}
	return nil
}

func next(ctx context.Context, sub *nats.Subscription) (receipt, error) {
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return receipt{}, fmt.Errorf("wait for a receipt: %w", err)
	}
	var e struct {
		Data struct {
			Effect string
			Event  struct{ ID string }
		}
	}
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return receipt{}, fmt.Errorf("read a receipt: %w", err)
	}
	code, _, _ := strings.Cut(e.Data.Event.ID, "/")
	return receipt{Code: code, Effect: e.Data.Effect}, nil
}
