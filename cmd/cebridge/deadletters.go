package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

// letters are the flags of the commands about dead letters.
type letters struct {
	operated
	where  []string
	rate   float64
	dryRun bool
	yes    bool
}

func deadlettersCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look at what could not be applied, send it again, or discard it",
		Long: `Look at the messages that a route could not apply, send them again, or discard them.

A letter's number is its sequence in the dead-letter stream. --where chooses letters
by conditions that must all hold: route=NAME, reason=invalid, code=0x80040265,
key=TEXT (in the request's path, the subject or the data), state=dead, retried or
parked. A parked message is not dead: its route tries it again by itself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(lettersList(c), lettersShow(c), lettersRetry(c), lettersEdit(c), lettersDiscard(c), lettersExport(c))
	return cmd
}

// filter reads the numbers and conditions of a command line.
func (l *letters) filter(args []string) (bridge.LetterFilter, error) {
	f, err := bridge.ParseLetterFilter(l.where)
	if err != nil {
		return f, fmt.Errorf("%w: %w", errUsage, err)
	}
	for _, a := range args {
		id, err := strconv.ParseUint(a, 10, 64)
		if err != nil || id == 0 {
			return f, fmt.Errorf("%w: %q is not the number of a letter", errUsage, a)
		}
		f.IDs = append(f.IDs, id)
	}
	return f, nil
}

// chosen reads the letters of a command line. Numbers that are not there are an error.
func (l *letters) chosen(ctx context.Context, op *bridge.Operator, args []string, fn func(*bridge.DeadLetter) error) error {
	f, err := l.filter(args)
	if err != nil {
		return err
	}
	missing := map[uint64]bool{}
	for _, id := range f.IDs {
		missing[id] = true
	}
	err = op.DeadLetters(ctx, f, func(d *bridge.DeadLetter) error {
		delete(missing, d.ID)
		return fn(d)
	})
	for id := range missing {
		err = errors.Join(err, fmt.Errorf("there is no letter %d that fits", id))
	}
	return err
}

func (l *letters) whereFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&l.where, "where", nil, "conditions such as reason=invalid,route=erp; all must hold")
}

func lettersList(c *common) *cobra.Command {
	var l letters
	cmd := &cobra.Command{
		Use:   "list -c FILE [NUMBER...]",
		Short: "List dead letters without their content",
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				list := []*bridge.DeadLetter{}
				err := l.chosen(ctx, op, args, func(d *bridge.DeadLetter) error {
					d.Header, d.Data, d.Request = nil, nil, ""
					if l.output == "json" {
						list = append(list, d)
						return nil
					}
					_, err := fmt.Fprintf(c.stdout, "%-6d %-8s %s  %s  %s #%d  %s%s  %s\n", d.ID, d.State, d.Stored.UTC().Format(time.RFC3339),
						d.Route, d.Source.Subject, d.Source.Sequence, d.Reason, suffix(d.Code), d.Text)
					return err
				})
				if err == nil && l.output == "json" {
					err = printJSON(c, list)
				}
				return err
			})
		},
	}
	l.flags(cmd, true)
	l.whereFlag(cmd)
	return cmd
}

func suffix(code string) string {
	if code == "" {
		return ""
	}
	return " (" + code + ")"
}

func lettersShow(c *common) *cobra.Command {
	var l letters
	cmd := &cobra.Command{
		Use:   "show -c FILE NUMBER",
		Short: "Show one dead letter with its request and the original message",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				return l.chosen(ctx, op, args, func(d *bridge.DeadLetter) error {
					if l.output == "json" {
						return printJSON(c, d)
					}
					return printLetter(c, d)
				})
			})
		},
	}
	l.flags(cmd, true)
	return cmd
}

// printLetter quotes what others wrote: it may hold control characters.
func printLetter(c *common, d *bridge.DeadLetter) error {
	var lines []byte
	add := func(name, format string, args ...any) {
		lines = fmt.Appendf(lines, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	add("letter", "%d, %s, route %s", d.ID, d.State, d.Route)
	add("message", "%d of stream %s, subject %s, stored %s", d.Source.Sequence, d.Source.Stream, d.Source.Subject, d.Source.Stored.UTC().Format(time.RFC3339))
	add("reason", "%s%s %s", d.Reason, suffix(d.Code), d.Text)
	if d.Waits != "" {
		add("waits for", "%s", d.Waits)
	}
	if d.Tries > 0 {
		add("attempts", "%d, %s to %s", d.Tries, d.First.UTC().Format(time.RFC3339), d.Last.UTC().Format(time.RFC3339))
	} else {
		add("attempts", "0")
	}
	if d.Writes > 0 {
		add("writes", "%d of %d were accepted", d.Done, d.Writes)
		for _, path := range d.Accepted {
			add("", "%s", path)
		}
	}
	if d.Path != "" {
		add("request", "%s %s", d.Method, d.Path)
		add("", "%q", d.Request)
	}
	if d.RetryOf != "" {
		add("again", "time %d, of %q", d.RetryCount, d.RetryOf)
	}
	if r := d.Retried; r != nil {
		add("retried", "%s as message %d of stream %s", r.At.Format(time.RFC3339), r.Sequence, r.Stream)
	}
	for name, values := range d.Header {
		add("header", "%q: %q", name, values)
	}
	add("data", "%q", d.Data)
	_, err := c.stdout.Write(lines)
	return err
}

func lettersExport(c *common) *cobra.Command {
	var l letters
	cmd := &cobra.Command{
		Use:   "export -c FILE",
		Short: "Write letters with their whole content, one JSON object a line",
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				enc := json.NewEncoder(c.stdout)
				return l.chosen(ctx, op, args, func(d *bridge.DeadLetter) error { return enc.Encode(d) })
			})
		},
	}
	l.flags(cmd, false)
	l.whereFlag(cmd)
	return cmd
}
