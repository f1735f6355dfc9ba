package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"cebridge/bridge/sim"
)

func simCommand(c *common) *cobra.Command {
	var port, seed int
	var host, profile, organization, schemaFile, faultFile string
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run the simulator of Customer Engagement alone",
		Long: `Run the simulator of the Customer Engagement Web API alone, in memory, for tests
of your own. It takes no credentials. Its own API is below /sim/: /sim/log is the
write log as JSON lines, /sim/faults scripts faults, /sim/stats counts requests.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := sim.Options{Profile: sim.Profile(profile), Organization: organization, Logger: c.logger()}
			if schemaFile != "" {
				data, err := os.ReadFile(schemaFile)
				if err != nil {
					return fmt.Errorf("read the schema: %w", err)
				}
				if o.Tables, err = sim.LoadSchema(data); err != nil {
					return fmt.Errorf("schema %s: %w", schemaFile, err)
				}
			}
			if faultFile != "" {
				data, err := os.ReadFile(faultFile)
				if err != nil {
					return fmt.Errorf("read the faults: %w", err)
				}
				rules, err := sim.LoadFaults(data)
				if err != nil {
					return fmt.Errorf("faults %s: %w", faultFile, err)
				}
				o.Faults = sim.NewFaults(1)
				for _, rule := range rules {
					o.Faults.Add(rule)
				}
			}
			return serveSim(cmd.Context(), c, o, fmt.Sprintf("%s:%d", host, port), seed)
		},
	}
	f := cmd.Flags()
	f.IntVar(&port, "port", 8080, "TCP port, 0 for any free one")
	f.StringVar(&host, "host", "127.0.0.1", "address to listen on")
	f.StringVar(&profile, "profile", string(sim.Online), "online or onprem")
	f.StringVar(&organization, "org", "contoso", "name of the organization")
	f.StringVar(&schemaFile, "schema", "", "file with the tables, instead of the built-in ones")
	f.StringVar(&faultFile, "faults", "", "file with scripted faults")
	f.IntVar(&seed, "accounts", 0, "number of accounts to begin with")
	return cmd
}

func serveSim(ctx context.Context, c *common, o sim.Options, addr string, accounts int) error {
	s, err := sim.New(o)
	if err != nil {
		return err
	}
	defer s.Close()
	if accounts > 0 {
		if err := s.Seed("account", accounts, func(i int) map[string]any {
			return map[string]any{"name": fmt.Sprintf("Contoso Branch %d", i+1), "accountnumber": fmt.Sprintf("C%07d", i+1)}
		}); err != nil {
			return err
		}
	}
	url, err := s.Start(addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	if _, err := fmt.Fprintln(c.stdout, url); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
