package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func replayCommand(c *common) *cobra.Command {
	var o operated
	var opt bridge.ReplayOptions
	var since, until string
	var stdout bool
	cmd := &cobra.Command{
		Use:   "replay -c FILE --table TABLE (--to SUBJECT | --stdout)",
		Short: "Send stored events again",
		Long: `Send the stored events of a table, a record or a time window again, in order, on a
subject of your choice or to standard output. The originals are not touched. Copies
are what the originals are, same id included, with the header Crm-Replay: 1.
What the history limit has removed cannot be sent.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			now := time.Now()
			switch {
			case opt.Table == "":
				return fmt.Errorf("%w: replay needs --table TABLE", errUsage)
			case stdout == (opt.To != ""):
				return fmt.Errorf("%w: replay needs either --to SUBJECT or --stdout", errUsage)
			case opt.Rate < 0:
				return fmt.Errorf("%w: --rate must not be negative", errUsage)
			}
			if opt.Since, err = instant("--since", since, now); err != nil {
				return err
			}
			if opt.Until, err = instant("--until", until, now); err != nil {
				return err
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				p := newProgress(c.stderr, isTerminal(c.stderr))
				opt.Progress = p.show
				out := bufio.NewWriter(c.stdout)
				if stdout {
					opt.Out = out
				}
				result, err := op.Replay(ctx, opt)
				p.end()
				err = errors.Join(err, out.Flush())
				if err != nil || stdout {
					return err
				}
				if o.output == "json" {
					return printJSON(c, result)
				}
				how := "no stream took them: only who listened has them"
				if result.Confirmed {
					how = "confirmed by a stream"
				}
				_, err = fmt.Fprintf(c.stdout, "%d events sent in %.1f s, %s\n", result.Events, result.Seconds, how)
				return err
			})
		},
	}
	o.flags(cmd, true)
	f := cmd.Flags()
	f.StringVar(&opt.Table, "table", "", "the table")
	f.StringVar(&opt.Record, "record", "", "one record's GUID")
	f.StringVar(&since, "since", "", "begin with what was stored then: a time, or a duration ago such as 1h")
	f.StringVar(&until, "until", "", "end with what was stored then")
	f.BoolVar(&opt.Latest, "latest", false, "only the last event of each record: the current state")
	f.StringVar(&opt.To, "to", "", "the subject to publish on; {table} and {id} are replaced")
	f.BoolVar(&stdout, "stdout", false, "write one CloudEvent a line instead")
	f.Float64Var(&opt.Rate, "rate", 0, "at most so many events a second")
	return cmd
}
