package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

// errChanges marks a plan that is not empty.
var errChanges = errors.New("the plan has changes")

func planCommand(c *common) *cobra.Command {
	var o operated
	cmd := &cobra.Command{
		Use:   "plan -c FILE",
		Short: "Show what apply would change",
		Long: `Show what apply would change: change tracking of tables, alternate keys, the webhook
of the doorbell, streams and consumers; and columns that column security hides from the
bridge's user, which need a person. Consequences that cannot be taken back come first. Ends with code 3 when there is anything to change. It changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				changes, err := op.Plan(ctx)
				if err != nil {
					return err
				}
				if err := o.changes(c, changes, "nothing to change"); err != nil || len(changes) == 0 {
					return err
				}
				return errChanges
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}

func applyCommand(c *common) *cobra.Command {
	var o operated
	var opt bridge.ApplyOptions
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply -c FILE --yes",
		Short: "Make what plan shows",
		Long: `Make the changes that plan shows: switch change tracking on, define alternate keys,
register the doorbell's webhook, create streams and consumers, change their settings
where that is safe. Nothing is changed while any of them needs a person. Change tracking
cannot be switched off again online.

The server builds the index of an alternate key in a job of its own; apply waits for it
and ends with code 1 when it failed, naming the cause. It may be interrupted: the server
goes on, and the next apply waits on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !yes:
				return fmt.Errorf("%w: look at plan first, then confirm with --yes", errUsage)
			case opt.Wait <= 0:
				return fmt.Errorf("%w: --timeout must be above zero", errUsage)
			}
			opt.Report = func(text string) { fmt.Fprintln(c.stderr, text) }
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				changes, err := op.Apply(ctx, opt)
				if err != nil {
					return err
				}
				return o.changes(c, changes, "nothing to change")
			})
		},
	}
	o.flags(cmd, true)
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm")
	cmd.Flags().BoolVar(&opt.Reactivate, "reactivate", false, "have the indexes of failed alternate keys built again")
	cmd.Flags().DurationVar(&opt.Wait, "timeout", 30*time.Minute, "how long to wait for the indexes of alternate keys")
	return cmd
}

func (o *operated) changes(c *common, changes []bridge.Change, none string) error {
	if o.output == "json" {
		return printJSON(c, changes)
	}
	if len(changes) == 0 {
		_, err := fmt.Fprintln(c.stdout, none)
		return err
	}
	for _, ch := range changes {
		text := fmt.Sprintf("%s %s: %s", ch.Kind, ch.Name, ch.What)
		if ch.Consequence != "" {
			text += " (" + ch.Consequence + ")"
		}
		if ch.Person {
			text += "; a person must decide"
		}
		if _, err := fmt.Fprintln(c.stdout, text); err != nil {
			return err
		}
	}
	return nil
}
