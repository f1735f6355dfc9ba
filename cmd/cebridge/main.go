package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"cebridge/bridge"
	"cebridge/schema"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitChanges = 3
	exitCheck   = 4
	exitConfig  = 78
)

// errCheck marks a failure that means "the check said no".
var errCheck = errors.New("the check failed")

// errUsage marks a command line that makes no sense.
var errUsage = errors.New("usage")

func main() {
	paceGC()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once: nothing needs the orderly way,
	// it only spares redeliveries.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var problems schema.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, problems.Error())
		return exitConfig
	case errors.Is(err, errChanges):
		fmt.Fprintln(stderr, "cebridge:", err)
		return exitChanges
	case errors.Is(err, errCheck):
		fmt.Fprintln(stderr, "cebridge:", err)
		return exitCheck
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "cebridge:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "cebridge:", err)
	return exitFailure
}

// common are the flags that every command shares.
type common struct {
	logLevel slog.Level
	stdout   io.Writer
	stderr   io.Writer
}

// logger writes JSON lines to standard error.
func (c *common) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(c.stderr, &slog.HandlerOptions{Level: c.logLevel, ReplaceAttr: readable}))
}

// readable writes times as "1.5s" in place of nanoseconds, and leaves out what is
// nil.
func readable(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String())
	case slog.KindAny:
		if a.Value.Any() == nil {
			return slog.Attr{}
		}
	}
	return a
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	c := &common{logLevel: slog.LevelInfo, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:           "cebridge",
		Short:         "Join Dynamics 365 Customer Engagement with NATS JetStream, both ways",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.PersistentFlags().TextVar(&c.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	root.AddCommand(demoCommand(c), runCommand(c), simCommand(c), schemaCommand(c), soakCommand(c), benchCommand(c), benchWorkerCommand(c), versionCommand(c))
	root.AddCommand(lintCommand(c), statusCommand(c), tailCommand(c), compareCommand(c), replayCommand(c), eraseCommand(c), planCommand(c), applyCommand(c), estimateCommand(c))
	root.AddCommand(deadlettersCommand(c), configCommand(c), mapCommand(c))
	root.AddCommand(controlCommands(c)...)
	usageArgs(root)
	return root
}

// usageArgs makes a wrong number of arguments a usage error everywhere.
func usageArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageArgs(sub)
	}
}

func versionCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(c.stdout, "cebridge", bridge.Version)
			return err
		},
	}
}
