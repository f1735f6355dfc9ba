package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func lintCommand(c *common) *cobra.Command {
	var o operated
	var tables string
	cmd := &cobra.Command{
		Use:   "lint -c FILE [--schema FILE]",
		Short: "Check a configuration file without connecting to anything",
		Long: `Check a configuration file without connecting to anything: names, values, places,
expressions, and mappings against the examples of events that they name. A faulty file
ends with code 78 and every fault with its line and column.

With --schema it is also held against a schema file, as schema pull writes one: tables,
columns, keys, lookups, and the values that mappings write. Without it, whether it
fits the organization is checked when the bridge starts.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(cmd)
			if err != nil {
				return err
			}
			against := ""
			if tables != "" {
				if err := checkAgainst(cfg, tables); err != nil {
					return err
				}
				against = ", which fit " + tables
			}
			_, err = fmt.Fprintf(c.stdout, "%s: ok: organization %s, %d tables, %d routes%s\n",
				o.file, cfg.Org, len(cfg.Outbound.Tables), len(cfg.Inbound.Routes), against)
			return err
		},
	}
	o.flags(cmd, false)
	cmd.Flags().StringVar(&tables, "schema", "", "a schema file to hold the configuration against")
	return cmd
}

// checkAgainst holds a configuration against a schema file.
func checkAgainst(cfg bridge.Config, path string) error {
	tables, err := loadTables(path)
	if err != nil {
		return err
	}
	if problems := bridge.Check(cfg, tables); len(problems) > 0 {
		return problems
	}
	return nil
}
