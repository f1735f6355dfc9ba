package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge/bench"
)

func benchCommand(c *common) *cobra.Command {
	o := bench.Options{}
	var output string
	var memory bool
	cmd := &cobra.Command{
		Use:   "bench [inbound|outbound]",
		Short: "Measure the bridge beside the raw limit, in one run",
		Long: `Measure the bridge beside a minimal loop that does the same outside work, in the
same run and on the same simulator and JetStream server, and print both rates and
their ratio. With --memory, load --rows rows with a bridge in a process of its own
instead, and print its peak resident size.

Without --in-flight the inbound cases are 52 and 256 requests in flight that take 5 and
20 ms, TLS, and $batch requests; with it one of single requests and one of batches.`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{bench.Inbound, bench.Outbound},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Only = args[0]
			}
			if output != "text" && output != "json" {
				return fmt.Errorf("%w: --output must be text or json", errUsage)
			}
			if o.Rows < 1 || o.Messages < 1 || o.InFlight < 0 || o.Batch < 0 || o.Batch > 1000 {
				return fmt.Errorf("%w: --rows and --messages must be at least 1, --in-flight at least 0, --batch 0 to 1000", errUsage)
			}
			if memory {
				return benchMemory(cmd, c, o, output)
			}
			o.Progress = c.stderr
			results, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(c, results)
			}
			fmt.Fprintf(c.stdout, "%-28s %10s %10s %6s %8s %9s %6s %8s\n", "case", "ours/s", "limit/s", "ratio", "us/item", "limit us", "conns", "RSS MiB")
			for _, r := range results {
				fmt.Fprintf(c.stdout, "%-28s %10.0f %10.0f %6.2f %8.1f %9.1f %6d %8.0f\n",
					r.Name, r.Ours, r.Limit, r.Ratio, r.CPU, r.LimitCPU, r.Connections, r.RSS)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Rows, "rows", 200_000, "rows of the outbound case")
	f.IntVar(&o.RowBytes, "row-bytes", 400, "size of one row")
	f.IntVar(&o.Messages, "messages", 20_000, "messages of the inbound case")
	f.IntVar(&o.InFlight, "in-flight", 0, "requests running at once; 0: the cases of the table")
	f.DurationVar(&o.Latency, "latency", 5*time.Millisecond, "time the simulator takes for a request, with --in-flight")
	f.IntVar(&o.Batch, "batch", 100, "writes in one $batch; 0: no batches")
	f.BoolVar(&memory, "memory", false, "measure the memory of an initial load instead")
	f.StringVar(&output, "output", "text", "text or json")
	return cmd
}

func benchMemory(cmd *cobra.Command, c *common, o bench.Options, output string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	r, err := bench.Memory(cmd.Context(), o, func(config string) *exec.Cmd {
		child := exec.Command(self, "run", "-c", config, "--log-level", "warn")
		child.Stderr = c.stderr
		return child
	})
	if err != nil {
		return err
	}
	if output == "json" {
		return printJSON(c, r)
	}
	_, err = fmt.Fprintf(c.stdout, "%d rows in %.1f s: peak %.0f MiB, %.0f MiB at half the rows\n", r.Rows, r.Seconds, r.PeakMiB, r.HalfMiB)
	return err
}

func printJSON(c *common, v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
