package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/event"
)

func mapCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Try and test mappings without writing anything",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(mapTryCommand(c), mapTestCommand(c))
	return cmd
}

// trying are the flags of map try.
type trying struct {
	operated
	route, tables, subject, stream string
	sequence                       uint64
	raw                            bool
}

func mapTryCommand(c *common) *cobra.Command {
	var o trying
	cmd := &cobra.Command{
		Use:   "try -c FILE [--route NAME] EVENT.json | - | --seq N",
		Short: "Show the exact requests that a route makes of an event",
		Long: `Show the exact HTTP requests that a route makes of an event, in their order, and how many
calls they replace. Nothing is written and nothing is acknowledged. What only the server
knows, such as the GUID of a record that is searched for, stands in braces.

The event is a file, - for standard input, or with --seq a message of the route's stream,
or of --stream. A file is read as the body of a message without headers: a CloudEvent in
JSON, or with format json any JSON. Tables are known from --schema, as schema pull writes
it, without any connection; else they are read from Customer Engagement.

An event that the route does not take, or refuses, ends with code 4.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.try(cmd, c, args) },
	}
	o.flags(cmd, true)
	f := cmd.Flags()
	f.StringVar(&o.route, "route", "", "the route; needed when there are several")
	f.StringVar(&o.tables, "schema", "", "a schema file with the tables; without it Customer Engagement is asked")
	f.StringVar(&o.subject, "subject", "", "the NATS subject that the file's message is to have; without it the route's, if that is one")
	f.StringVar(&o.stream, "stream", "", "the stream to read --seq from; without it the route's")
	f.Uint64Var(&o.sequence, "seq", 0, "read the message with this sequence from a stream, instead of a file")
	f.BoolVar(&o.raw, "raw", false, "bodies as they are sent, on one line")
	return cmd
}

func (o *trying) try(cmd *cobra.Command, c *common, args []string) error {
	switch {
	case (len(args) == 1) == (o.sequence > 0):
		return fmt.Errorf("%w: map try needs either the file of an event, or --seq", errUsage)
	case o.stream != "" && o.sequence == 0:
		return fmt.Errorf("%w: --stream needs --seq", errUsage)
	case o.subject != "" && o.sequence > 0:
		return fmt.Errorf("%w: a message of a stream has its subject: leave out --subject", errUsage)
	}
	cfg, err := o.config(cmd)
	if err != nil {
		return err
	}
	route, err := oneRoute(cfg, o.route)
	if err != nil {
		return err
	}
	trial, err := newTrial(cmd.Context(), c, cfg, o.tables, route.Name)
	if err != nil {
		return err
	}
	var m *bridge.TrialMessage
	if o.sequence > 0 {
		m, err = o.stored(cmd.Context(), c, cfg, route)
	} else {
		var data []byte
		if data, err = readEvent(cmd.InOrStdin(), args[0]); err == nil {
			m = trial.Message(route.Name, o.subject, data)
		}
	}
	if err != nil {
		return err
	}
	tried, err := trial.Try(cmd.Context(), route.Name, m)
	if err != nil {
		return err
	}
	return o.show(c, tried)
}

func (o *trying) show(c *common, tried *bridge.Tried) error {
	var err error
	if o.output == "json" {
		enc := json.NewEncoder(c.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(tried)
	} else {
		_, err = io.WriteString(c.stdout, tried.Report(bridge.TrialForm{Raw: o.raw, Lines: true}))
	}
	if err == nil && tried.Outcome != bridge.TriedMapped {
		err = fmt.Errorf("%w: the event is %s", errCheck, tried.Outcome)
	}
	return err
}

// oneRoute is the route of that name, or the only one.
func oneRoute(cfg bridge.Config, name string) (bridge.RouteConfig, error) {
	var names []string
	for _, r := range cfg.Inbound.Routes {
		if r.Name == name || name == "" && len(cfg.Inbound.Routes) == 1 {
			return r, nil
		}
		names = append(names, r.Name)
	}
	if name == "" {
		return bridge.RouteConfig{}, fmt.Errorf("%w: say which --route: the configuration has %d", errUsage, len(names))
	}
	return bridge.RouteConfig{}, fmt.Errorf("%w: route %s is not under inbound.routes%s", errUsage, name, schema.Suggest(name, names))
}

// newTrial prepares routes, all without names, with the tables of a schema file or, without one,
// of Customer Engagement.
func newTrial(ctx context.Context, c *common, cfg bridge.Config, path string, routes ...string) (*bridge.Trial, error) {
	if path != "" {
		tables, err := loadTables(path)
		if err != nil {
			return nil, err
		}
		return bridge.NewTrial(cfg, tables, routes...)
	}
	names, err := cfg.RouteTables(routes...)
	if err != nil {
		return nil, err
	}
	snapshot, err := bridge.PullSchema(ctx, cfg.WebAPI, names, c.logger())
	if err != nil {
		return nil, fmt.Errorf("%w; with --schema FILE nothing has to be asked", err)
	}
	return bridge.NewTrial(cfg, snapshot.Tables, routes...)
}

// loadTables reads a schema file.
func loadTables(path string) ([]*schema.Table, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	tables, err := sim.LoadSchema(data)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", path, err)
	}
	return tables, nil
}

// readEvent reads a file, or standard input for "-".
func readEvent(stdin io.Reader, path string) ([]byte, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the event: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, event.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	if len(data) > event.MaxBody {
		return nil, fmt.Errorf("read the event: more than %d bytes", event.MaxBody)
	}
	return data, nil
}

// stored reads a message of a stream.
func (o *trying) stored(ctx context.Context, c *common, cfg bridge.Config, route bridge.RouteConfig) (m *bridge.TrialMessage, err error) {
	stream := o.stream
	if stream == "" {
		stream = route.Stream
	}
	op, err := bridge.NewOperator(ctx, cfg, bridge.WithLogger(c.logger()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, op.Close(context.WithoutCancel(ctx))) }()
	return op.Message(ctx, stream, o.sequence)
}
