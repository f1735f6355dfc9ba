package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

// operated are the flags of the commands that work beside a bridge.
type operated struct {
	file   string
	output string
	tables []string
}

// flags adds -c and --output; a command without two forms of output has no --output.
func (o *operated) flags(cmd *cobra.Command, forms bool) {
	cmd.Flags().StringVarP(&o.file, "config", "c", "", "the configuration file")
	o.output = "text"
	if forms {
		cmd.Flags().StringVar(&o.output, "output", "text", "text or json")
	}
}

// tableFlag adds --table, once or several times.
func (o *operated) tableFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&o.tables, "table", nil, "a table of the configuration; all without it")
}

// config checks the flags and reads the file.
func (o *operated) config(cmd *cobra.Command) (bridge.Config, error) {
	if err := o.check(cmd); err != nil {
		return bridge.Config{}, err
	}
	return bridge.LoadConfig(o.file)
}

// check checks the flags.
func (o *operated) check(cmd *cobra.Command) error {
	if o.file == "" {
		return fmt.Errorf("%w: %s needs -c FILE", errUsage, cmd.Name())
	}
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("%w: --output must be text or json", errUsage)
	}
	return nil
}

// run connects, runs work, and closes.
func (o *operated) run(cmd *cobra.Command, c *common, work func(ctx context.Context, op *bridge.Operator) error) (err error) {
	cfg, err := o.config(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	op, err := bridge.NewOperator(ctx, cfg, bridge.WithLogger(c.logger()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, op.Close(context.WithoutCancel(ctx))) }()
	return work(ctx, op)
}

// isTerminal tells whether a person watches.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
