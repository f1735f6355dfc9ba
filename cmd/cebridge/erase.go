package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func eraseCommand(c *common) *cobra.Command {
	var o operated
	opt := bridge.EraseOptions{}
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase -c FILE --table TABLE --record ID --yes",
		Short: "Remove what the streams hold of one record",
		Long: `Remove what the streams hold of one record: a tombstone without content takes the
place of its events, there and in mirrors, and the dead letters that hold the record
go. This cannot be undone. Delete the record in Customer Engagement first, or its
next change is published again. A receipt as JSON names what was removed and the
copies that cannot be reached from here.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case opt.Table == "" || opt.Record == "":
				return fmt.Errorf("%w: erase needs --table TABLE and --record ID", errUsage)
			case !yes:
				return fmt.Errorf("%w: erase cannot be undone; confirm with --yes", errUsage)
			case opt.MarkerTTL < time.Minute:
				return fmt.Errorf("%w: --marker-ttl must be at least 1m", errUsage)
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				receipt, err := op.Erase(ctx, opt)
				if err != nil {
					return err
				}
				return printJSON(c, receipt)
			})
		},
	}
	o.flags(cmd, false)
	f := cmd.Flags()
	f.StringVar(&opt.Table, "table", "", "the table")
	f.StringVar(&opt.Record, "record", "", "the record's GUID")
	f.StringArrayVar(&opt.Match, "match", nil, "also remove dead letters that hold this text, such as an e-mail address; may be repeated")
	f.DurationVar(&opt.MarkerTTL, "marker-ttl", bridge.DefaultMarkerTTL, "how long the tombstone stays")
	f.BoolVar(&yes, "yes", false, "confirm")
	return cmd
}
