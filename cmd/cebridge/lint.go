package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func lintCommand(c *common) *cobra.Command {
	var o operated
	cmd := &cobra.Command{
		Use:   "lint -c FILE",
		Short: "Check a configuration file without connecting to anything",
		Long: `Check a configuration file without connecting to anything: names, values, places,
and what mappings can be checked for without metadata. A faulty file ends with code
78 and every fault with its line and column. Whether it fits the organization is
checked when the bridge starts.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(cmd)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "%s: ok: organization %s, %d tables, %d routes\n",
				o.file, cfg.Org, len(cfg.Outbound.Tables), len(cfg.Inbound.Routes))
			return err
		},
	}
	o.flags(cmd, false)
	return cmd
}
