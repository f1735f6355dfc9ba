package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

// maxEdited bounds the file with new data, in bytes.
const maxEdited = 64 << 20

// letterOutcome is what became of one letter.
type letterOutcome struct {
	ID       uint64 `json:"id"`
	Done     bool   `json:"done"`
	Stream   string `json:"stream,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	Error    string `json:"error,omitempty"`
}

// act does something with each chosen letter, at the given rate, and reports. One
// that is refused does not keep the others; the command fails all the same.
func (l *letters) act(cmd *cobra.Command, c *common, args []string, verb string, work func(ctx context.Context, op *bridge.Operator, d *bridge.DeadLetter) (letterOutcome, error)) error {
	if len(args) == 0 && len(l.where) == 0 {
		return fmt.Errorf("%w: name letters by number, or choose them with --where", errUsage)
	}
	if !l.dryRun && !l.yes && (len(args) != 1 || verb == "discard") {
		return fmt.Errorf("%w: this may concern many letters: look with --dry-run, then say --yes", errUsage)
	}
	if l.rate < 0 || l.rate > 10000 {
		return fmt.Errorf("%w: --rate is 0 (no limit) to 10000 a second", errUsage)
	}
	return l.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
		list := []letterOutcome{}
		refused := 0
		var pace *time.Ticker
		if l.rate > 0 {
			pace = time.NewTicker(time.Duration(float64(time.Second) / l.rate))
			defer pace.Stop()
		}
		err := l.chosen(ctx, op, args, func(d *bridge.DeadLetter) error {
			if pace != nil && !l.dryRun && len(list) > 0 {
				select {
				case <-pace.C:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			o, err := work(ctx, op, d)
			o.ID = d.ID
			if ctx.Err() != nil {
				return ctx.Err()
			}
			text := "would " + verb
			switch {
			case err != nil:
				refused++
				o.Error, text = err.Error(), "not done: "+err.Error()
			case !l.dryRun:
				o.Done, text = true, verb+" done"
				if o.Sequence > 0 {
					text += fmt.Sprintf(", message %d of stream %s", o.Sequence, o.Stream)
				}
			}
			list = append(list, o)
			if l.output == "json" {
				return nil
			}
			_, err = fmt.Fprintf(c.stdout, "%-6d %s\n", d.ID, text)
			return err
		})
		if l.output == "json" {
			err = errors.Join(err, printJSON(c, list))
		}
		if err == nil && refused > 0 {
			err = fmt.Errorf("%w: %d of %d letters", errCheck, refused, len(list))
		}
		return err
	})
}

func (l *letters) actFlags(cmd *cobra.Command) {
	l.flags(cmd, true)
	l.whereFlag(cmd)
	cmd.Flags().Float64Var(&l.rate, "rate", 10, "letters a second at most, 0 for no limit")
	cmd.Flags().BoolVar(&l.dryRun, "dry-run", false, "only say what would be done")
	cmd.Flags().BoolVar(&l.yes, "yes", false, "do it, also for many letters")
}

func lettersRetry(c *common) *cobra.Command {
	var l letters
	cmd := &cobra.Command{
		Use:   "retry -c FILE (NUMBER... | --where CONDITION)",
		Short: "Send the original messages to their subjects again",
		Long: `Send the original messages to their subjects again, for the one route that refused
them; they pass every check of that route as it is configured now. Letters sent again
before, parked messages, and those whose record got a newer revision since are
refused, each by itself; the command then ends with code 4.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && len(l.where) > 0 {
				l.where = withState(l.where, bridge.LetterDead)
			}
			return l.act(cmd, c, args, "retry", func(ctx context.Context, op *bridge.Operator, d *bridge.DeadLetter) (letterOutcome, error) {
				if l.dryRun {
					return letterOutcome{}, op.CheckRetry(ctx, d)
				}
				mark, err := op.RetryDeadLetter(ctx, d, nil)
				return letterOutcome{Stream: mark.Stream, Sequence: mark.Sequence}, err
			})
		},
	}
	l.actFlags(cmd)
	return cmd
}

// withState adds a condition on the state unless there is one.
func withState(where []string, state string) []string {
	if f, err := bridge.ParseLetterFilter(where); err != nil || f.State != "" {
		return where
	}
	return append(where, "state="+state)
}

func lettersEdit(c *common) *cobra.Command {
	var l letters
	var file string
	cmd := &cobra.Command{
		Use:   "edit -c FILE NUMBER --data FILE",
		Short: "Send one message again with other data",
		Long: `Send one message again with other data, read from a file or, with -, from standard
input. They take the place of the whole message body: of a structured CloudEvent that is
the event with its attributes. The letter keeps the original; the message sent has the
header Crm-Retry-Edited. "show --output json" prints the original body in base64, as data.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return fmt.Errorf("%w: edit needs --data FILE, or - for standard input", errUsage)
			}
			data, err := readData(file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return l.act(cmd, c, args, "retry", func(ctx context.Context, op *bridge.Operator, d *bridge.DeadLetter) (letterOutcome, error) {
				if l.dryRun {
					return letterOutcome{}, nil
				}
				mark, err := op.RetryDeadLetter(ctx, d, data)
				return letterOutcome{Stream: mark.Stream, Sequence: mark.Sequence}, err
			})
		},
	}
	l.flags(cmd, true)
	cmd.Flags().StringVar(&file, "data", "", "file with the new data, - for standard input")
	cmd.Flags().BoolVar(&l.dryRun, "dry-run", false, "only say what would be done")
	return cmd
}

func readData(file string, stdin io.Reader) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read the new data: %w", err)
		}
		defer f.Close()
		stdin = f
	}
	data, err := io.ReadAll(io.LimitReader(stdin, maxEdited+1))
	if err != nil {
		return nil, fmt.Errorf("read the new data: %w", err)
	}
	if len(data) == 0 || len(data) > maxEdited {
		return nil, fmt.Errorf("the new data has %d bytes: 1 to %d are possible", len(data), maxEdited)
	}
	return data, nil
}

func lettersDiscard(c *common) *cobra.Command {
	var l letters
	cmd := &cobra.Command{
		Use:   "discard -c FILE (NUMBER... | --where CONDITION) --yes",
		Short: "Remove letters for good",
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.act(cmd, c, args, "discard", func(ctx context.Context, op *bridge.Operator, d *bridge.DeadLetter) (letterOutcome, error) {
				if l.dryRun {
					return letterOutcome{}, nil
				}
				return letterOutcome{}, op.DiscardDeadLetter(ctx, d)
			})
		},
	}
	l.actFlags(cmd)
	return cmd
}
