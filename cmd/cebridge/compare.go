package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func compareCommand(c *common) *cobra.Command {
	var o operated
	var settle time.Duration
	var repair bool
	cmd := &cobra.Command{
		Use:   "compare -c FILE",
		Short: "Hold Customer Engagement against the event stream",
		Long: `Hold Customer Engagement against the event stream and list every record that is
missing there, extra, or different. A record that differs is looked at again, so
that changes during the comparison give no false alarm. Ends with code 4 when
anything differs. It costs one read of each table, and changes nothing but with --repair.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if settle < 0 {
				return fmt.Errorf("%w: --settle must not be negative", errUsage)
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				p := newProgress(c.stderr, isTerminal(c.stderr))
				defer p.end()
				result, err := op.Compare(ctx, bridge.CompareOptions{Tables: o.tables, Settle: settle, Progress: p.show})
				p.end()
				if err != nil {
					return err
				}
				if o.output == "json" {
					err = printJSON(c, result)
				} else {
					err = printComparison(c, result)
				}
				if err == nil && repair {
					err = askRepair(ctx, c, op, result)
				}
				if err == nil && !result.Same() {
					err = fmt.Errorf("%w: the stream is not what Customer Engagement holds", errCheck)
				}
				return err
			})
		},
	}
	o.flags(cmd, true)
	o.tableFlag(cmd)
	cmd.Flags().DurationVar(&settle, "settle", 0, "how long a difference may last before it counts; without it, twice the poll interval, 5s to 1m")
	cmd.Flags().BoolVar(&repair, "repair", false, "ask the running bridge to resync each table that differs; compare again afterwards")
	return cmd
}

// askRepair has a bridge mend the tables that differ: it publishes by its own rules
// and fence, so that a repair can never rival it.
func askRepair(ctx context.Context, c *common, op *bridge.Operator, r *bridge.Comparison) error {
	for _, t := range r.Tables {
		if t.Missing+t.Extra+t.Different == 0 {
			continue
		}
		if _, err := op.Control(ctx, bridge.ActionResync, t.Table, false); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
		fmt.Fprintf(c.stderr, "cebridge: resync of table %s is asked for\n", t.Table)
	}
	return nil
}

func printComparison(c *common, r *bridge.Comparison) error {
	var b strings.Builder
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "%s: %d records, %d published, %d missing, %d extra, %d different (%s, %.1f s, %d looked at again)\n",
			t.Table, t.Records, t.Published, t.Missing, t.Extra, t.Different, t.Phase, t.Seconds, t.Rechecked)
		if t.Unpublished > 0 {
			fmt.Fprintf(&b, "  %d records are from before the start and were never published\n", t.Unpublished)
		}
		if t.Filtered > 0 {
			fmt.Fprintf(&b, "  %d records do not pass the table's filter\n", t.Filtered)
		}
		for _, d := range t.Differences {
			fmt.Fprintf(&b, "  %-9s %s  version %d, published %d: %s", d.Kind, d.ID, d.Version, d.PublishedVersion, d.Reason)
			if len(d.Columns) > 0 {
				fmt.Fprintf(&b, " (%s)", strings.Join(d.Columns, ", "))
			}
			b.WriteByte('\n')
		}
		if t.Unconfirmed > 0 {
			fmt.Fprintf(&b, "  and %d more that were not looked at again\n", t.Unconfirmed)
		}
	}
	_, err := fmt.Fprint(c.stdout, b.String())
	return err
}
