package main

import (
	"context"
	"errors"
	"fmt"

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
		Long: `Show what apply would change: change tracking of tables, and streams. Consequences
that cannot be taken back come first. Ends with code 3 when there is anything to
change. It changes nothing.`,
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
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply -c FILE --yes",
		Short: "Switch change tracking on, and make the streams",
		Long: `Make the changes that plan shows: switch change tracking on, create streams, change
their settings where that is safe. Nothing is changed while any of them needs a
person. Change tracking cannot be switched off again online.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return fmt.Errorf("%w: look at plan first, then confirm with --yes", errUsage)
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				changes, err := op.Apply(ctx)
				if err != nil {
					return err
				}
				return o.changes(c, changes, "nothing to change")
			})
		},
	}
	o.flags(cmd, true)
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm")
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
