package main

import (
	"context"
	"errors"
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
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "compare -c FILE",
		Short: "Hold Customer Engagement against the event stream",
		Long: `Hold Customer Engagement against the event stream and list every record that is
missing there, extra, or different. A record that differs is looked at again, so
that changes during the comparison give no false alarm. Ends with code 4 when
anything differs. It costs one read of each table, and changes nothing but with --repair:
then the running bridge mends each table that differs, by a read of its own, and these
tables are compared again; code 4 when anything differs still.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if settle < 0 {
				return fmt.Errorf("%w: --settle must not be negative", errUsage)
			}
			if limit <= 0 {
				return fmt.Errorf("%w: --repair-timeout must be above 0", errUsage)
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				p := newProgress(c.stderr, isTerminal(c.stderr))
				defer p.end()
				result, err := op.Compare(ctx, bridge.CompareOptions{Tables: o.tables, Settle: settle, Progress: p.show})
				p.end()
				if err != nil {
					return err
				}
				if o.output == "text" {
					err = printComparison(c, result)
				}
				if err == nil && repair && !result.Same() {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					if result.Repaired, err = op.Repair(ctx, result, bridge.CompareOptions{Settle: settle, Progress: p.show}); err == nil && o.output == "text" {
						p.end()
						fmt.Fprintln(c.stderr, "cebridge: repaired and compared again")
						err = printComparison(c, result.Repaired)
					}
				}
				if o.output == "json" {
					err = errors.Join(err, printJSON(c, result))
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
	cmd.Flags().BoolVar(&repair, "repair", false, "have the running bridge mend each table that differs, and compare again")
	cmd.Flags().DurationVar(&limit, "repair-timeout", time.Hour, "how long a repair and the comparison after it may take; the bridge goes on all the same")
	return cmd
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
