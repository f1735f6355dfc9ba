package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func tailCommand(c *common) *cobra.Command {
	var o operated
	var since string
	cmd := &cobra.Command{
		Use:   "tail -c FILE",
		Short: "Show events as they are published",
		Long: `Show events as they are published, one line each, until Ctrl-C. The text form names
the columns that changed without their content; the JSON form is the whole CloudEvent.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := instant("--since", since, time.Now())
			if err != nil {
				return err
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				return op.Tail(ctx, bridge.TailOptions{Tables: o.tables, Since: from}, func(s bridge.Seen) error {
					line, err := s.JSONLine()
					if err == nil && o.output == "text" {
						line, err = tailLine(&s, line)
					}
					if err != nil {
						return fmt.Errorf("event at sequence %d: %w", s.Sequence, err)
					}
					_, err = c.stdout.Write(line)
					return err
				})
			})
		},
	}
	o.flags(cmd, true)
	o.tableFlag(cmd)
	cmd.Flags().StringVar(&since, "since", "", "begin then: a time such as 2026-01-31T08:00:00Z, or a duration ago such as 1h; without it with the next event")
	return cmd
}

// instant reads a time, or a duration before now; zero for "".
func instant(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s: write a time such as 2026-01-31T08:00:00Z, or a duration such as 1h", errUsage, flag)
	}
	return t, nil
}

// tailLine is: 08:00:01 #42 updated account <id> version 7  changed: name
func tailLine(s *bridge.Seen, whole []byte) ([]byte, error) {
	var e struct {
		ChangedColumns, ReadBy, Reason string
	}
	if err := json.Unmarshal(whole, &e); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s #%d %-7s %s %s version %d", s.Stored.Local().Format(time.TimeOnly), s.Sequence, s.Change, s.Table, s.RecordID, s.Version)
	if s.Epoch > 1 {
		fmt.Fprintf(&b, " epoch %d", s.Epoch)
	}
	if e.ReadBy != "" && !slices.Contains([]string{"delta", "load"}, e.ReadBy) {
		fmt.Fprintf(&b, " by %s", e.ReadBy)
	}
	if e.ChangedColumns != "" {
		fmt.Fprintf(&b, "  changed: %s", e.ChangedColumns)
	}
	if e.Reason != "" && e.Reason != "deleted" {
		fmt.Fprintf(&b, "  reason: %s", e.Reason)
	}
	b.WriteByte('\n')
	return []byte(b.String()), nil
}
