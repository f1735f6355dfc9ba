package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge/demo"
)

func demoCommand(c *common) *cobra.Command {
	o := demo.Options{}
	var natsPort int
	var showConfig bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything embedded, with sample traffic in both directions",
		Long: `Run a JetStream server, the simulator of Customer Engagement and the bridge in
one process, with sample traffic in both directions. Every line shows what really
happened: events as an ordinary consumer sees them, and the exact requests sent.
Ctrl-C ends it, or --duration does.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showConfig {
				_, err := c.stdout.Write(demo.ConfigYAML)
				return err
			}
			if natsPort < -1 || natsPort > 65535 || natsPort == 0 {
				return fmt.Errorf("%w: --nats-port must be 1 to 65535, or -1 for any", errUsage)
			}
			if c.logLevel == slog.LevelInfo {
				c.logLevel = slog.LevelWarn
			}
			o.Out, o.NATSPort, o.Logger = c.stdout, natsPort, c.logger()
			_, err := demo.Run(cmd.Context(), o)
			return err
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.Duration, "duration", 0, "end after this time; 0 runs until Ctrl-C")
	f.DurationVar(&o.Pace, "pace", 700*time.Millisecond, "time between two sample changes")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the sample traffic")
	f.IntVar(&natsPort, "nats-port", -1, "port of the embedded NATS server, -1 for any free one")
	f.StringVar(&o.SimAddr, "sim-addr", "127.0.0.1:0", "address of the simulator")
	f.StringVar(&o.AdminAddr, "admin-addr", "127.0.0.1:0", "address of the admin port")
	f.StringVar(&o.Dir, "dir", "", "keep streams and records in this directory; the next demo goes on from there")
	f.BoolVar(&showConfig, "print-config", false, "print the configuration the demo runs with, and end")
	return cmd
}
