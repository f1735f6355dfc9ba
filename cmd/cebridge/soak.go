package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge/soak"
)

func soakCommand(c *common) *cobra.Command {
	o := soak.Options{}
	var output string
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Kill the bridge again and again under load, and prove that nothing was lost or doubled",
		Long: `Run this program's bridge as a process between the simulator and a JetStream
server, change records and send events, kill the bridge with SIGKILL at random
moments, then compare the simulator's write log with the whole stream. Ends with
code 4 when a promise was broken; the report says which, with the seed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("%w: --output must be text or json", errUsage)
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if o.Seed == 0 {
				o.Seed = rand.Uint64()
			}
			if o.Dir, err = os.MkdirTemp("", "cebridge-soak-"); err != nil {
				return fmt.Errorf("make a directory: %w", err)
			}
			o.Progress = c.stderr
			o.Child = func(config string) *exec.Cmd { return exec.Command(self, "run", "-c", config) }
			fmt.Fprintf(c.stderr, "seed %d, files in %s\n", o.Seed, o.Dir)
			report, err := soak.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := printReport(c, report, output); err != nil {
				return err
			}
			if n := len(report.Violations); n > 0 {
				return fmt.Errorf("%w: %d violations; the files are kept in %s", errCheck, n, o.Dir)
			}
			return os.RemoveAll(o.Dir)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Seed, "seed", 0, "seed of everything random, 0 for a new one")
	f.IntVar(&o.Kills, "kills", 200, "number of kills, 0 for as many as --duration allows")
	f.IntVar(&o.Instances, "instances", 1, "number of bridges that run side by side")
	f.DurationVar(&o.Duration, "duration", 0, "bound of the time under load, 0 for none")
	f.IntVar(&o.Rate, "rate", 250, "records changed in a second")
	f.DurationVar(&o.Settle, "settle", time.Minute, "how long the bridge may take to catch up at the end")
	f.StringVar(&output, "output", "text", "text or json")
	return cmd
}

func printReport(c *common, r *soak.Report, output string) error {
	if output == "json" {
		return printJSON(c, r)
	}
	_, err := fmt.Fprintf(c.stdout, "seed %d: %d kills in %.0f s, %d writes, %d events, %d messages, %d dead letters, faults %v: %d violations\n",
		r.Seed, r.Kills, r.Seconds, r.Writes, r.Events, r.Messages, r.Dead, r.Faults, len(r.Violations))
	for _, v := range r.Violations {
		fmt.Fprintln(c.stdout, v)
	}
	return err
}
