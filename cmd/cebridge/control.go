package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

// controlCommands are those that ask a running bridge.
func controlCommands(c *common) []*cobra.Command {
	return []*cobra.Command{
		controlCommand(c, bridge.ActionPause, "Stop following a table until it is resumed",
			`Ask every running bridge to stop following a table, after the commit in flight. It
is stored and lasts until resume, also across a restart of the bridge. Nothing is
lost: the table goes on from its checkpoint.`),
		controlCommand(c, bridge.ActionResume, "Let a paused or halted table, or a stopped route, go on",
			`Ask every running bridge to let a paused or halted table go on from its checkpoint,
or a stopped route with the messages that it had not acknowledged. Of a route it also
accepts the records that its keys mean now, where they meant others before.`),
		controlCommand(c, bridge.ActionResync, "Read a table again and publish what differs",
			`Ask a running bridge to read a whole table again, to publish what differs from the
stream and nothing else, and to publish deletes of the records that are gone.`),
	}
}

func controlCommand(c *common, action bridge.Action, short, long string) *cobra.Command {
	var o operated
	var force bool
	var routes []string
	names := "--table TABLE"
	if action == bridge.ActionResume {
		names = "(--table TABLE | --route ROUTE)"
	}
	cmd := &cobra.Command{
		Use:   string(action) + " -c FILE " + names,
		Short: short,
		Long:  long,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.tables)+len(routes) == 0 {
				return fmt.Errorf("%w: %s needs %s", errUsage, action, names)
			}
			return o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) error {
				for _, table := range o.tables {
					state, err := op.Control(ctx, action, table, force)
					if err != nil {
						return err
					}
					if _, err := fmt.Fprintf(c.stdout, "%s: %s\n", table, state); err != nil {
						return err
					}
				}
				for _, route := range routes {
					was, err := op.ResumeRoute(ctx, route)
					if err != nil {
						return err
					}
					if _, err := fmt.Fprintf(c.stdout, "route %s: resumed, it was %s\n", route, was); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	o.flags(cmd, false)
	cmd.Flags().StringSliceVar(&o.tables, "table", nil, "the table; may be repeated")
	if action == bridge.ActionResume {
		cmd.Flags().StringSliceVar(&routes, "route", nil, "the route; may be repeated")
	}
	if action == bridge.ActionResync {
		cmd.Flags().BoolVar(&force, "force", false, "publish any number of deletes")
	}
	return cmd
}
