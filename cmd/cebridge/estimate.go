package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func estimateCommand(c *common) *cobra.Command {
	var o operated
	var rows int64
	cmd := &cobra.Command{
		Use:   "estimate -c FILE",
		Short: "Tell what loading and following the tables will cost",
		Long: `Tell what the initial load of the tables takes in requests, time and bytes, and how
many requests a day following them takes. It reads one page of each table, and its
ids to count them. The time is that of one page after another as the sample page
took it; a busy server takes longer. A filter and protected columns count as the
records of that page say: where they are not like the others, neither is the estimate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rows < 0 {
				return fmt.Errorf("%w: --rows must not be negative", errUsage)
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				p := newProgress(c.stderr, isTerminal(c.stderr))
				list, err := op.Estimate(ctx, bridge.EstimateOptions{Tables: o.tables, Rows: rows, Progress: p.show})
				p.end()
				if err != nil {
					return err
				}
				if o.output == "json" {
					return printJSON(c, list)
				}
				for _, e := range list {
					if _, err := io.WriteString(c.stdout, estimateText(e)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	o.flags(cmd, true)
	o.tableFlag(cmd)
	cmd.Flags().Int64Var(&rows, "rows", 0, "the number of records of each table, instead of counting")
	return cmd
}

// estimateText is the estimate of one table for people.
func estimateText(e bridge.Estimate) string {
	events := ""
	if e.Kept < e.Sampled {
		events = fmt.Sprintf("about %d events (%d of %d sampled records pass the filter), ", e.Events, e.Kept, e.Sampled)
	}
	return fmt.Sprintf("%s: %d rows, %d requests and %s to load, %s%d bytes an event, %.1f MiB on the stream (a sample of %d records); then %d requests a day\n",
		e.Table, e.Rows, e.LoadRequests, time.Duration(e.LoadSeconds*float64(time.Second)).Round(time.Second),
		events, e.EventBytes, float64(e.StreamBytes)/(1<<20), e.Sampled, e.RequestsPerDay)
}
