package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func runCommand(c *common) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the bridge with a configuration file",
		Long: `Run the bridge with a configuration file, until SIGINT or SIGTERM.

A faulty file ends with code 78 and every fault with its line and column; so does
one that does not fit the metadata of the organization. While Customer Engagement
or NATS cannot be reached at the start, the bridge waits and says so.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return fmt.Errorf("%w: run needs -c FILE", errUsage)
			}
			return bridge.RunFile(cmd.Context(), file, bridge.WithLogger(c.logger()))
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the configuration file")
	return cmd
}
