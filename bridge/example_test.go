package bridge_test

import (
	"context"
	"fmt"
	"os"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

// A program of its own runs the whole bridge, here against the simulator and with
// a JetStream server inside.
func ExampleBridge_Start() {
	crm, err := sim.New(sim.Options{})
	if err != nil {
		panic(err)
	}
	defer crm.Close()
	url, err := crm.Start("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "cebridge-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	cfg := bridge.DefaultConfig()
	cfg.Org = "contoso"
	cfg.WebAPI.URL = url
	cfg.NATS.Embedded = &bridge.EmbeddedConfig{Dir: dir, Port: -1}
	cfg.Admin.Listen = "127.0.0.1:0"
	cfg.Outbound.TypePrefix = "com.contoso.crm"
	cfg.Outbound.Tables = []bridge.TableConfig{{Table: "account", Columns: []string{"name"}}}

	b, err := bridge.New(cfg)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := b.Start(ctx); err != nil {
		panic(err)
	}
	fmt.Println("ready:", b.Ready() == nil, "takes clients:", b.NATSURL() != "", "admin port:", b.AdminAddr() != "")
	if err := b.Stop(ctx); err != nil {
		panic(err)
	}
	// Output: ready: true takes clients: true admin port: true
}
