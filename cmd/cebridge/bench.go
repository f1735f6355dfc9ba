package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge/bench"
)

func benchCommand(c *common) *cobra.Command {
	o := bench.Options{}
	var output string
	var memory, check bool
	cmd := &cobra.Command{
		Use:   "bench [CASE...]",
		Short: "Measure the bridge beside the raw limit, in one run",
		Long: `Measure the bridge beside a minimal loop that does the same outside work, in the
same run, on the same simulator and JetStream server, each in a process of its own, and
print the figures of both and how near the one comes to the other: 1 is the raw loop.

CASE is the beginning of the names of cases: inbound, outbound, outbound-delta, doorbell,
idle. Without it all are measured. Without --row-bytes and --in-flight they are those of
docs/performance.md; with --check the command ends with code 4 if what is owed there is
missed. With --memory only the peak resident size of an initial load of --rows rows is
measured. Linux only.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Only = args
			switch {
			case output != "text" && output != "json":
				return fmt.Errorf("%w: --output must be text or json", errUsage)
			case o.Rows < 1 || o.Messages < 1 || o.Rings < 1 || o.InFlight < 0 || o.RowBytes < 0 || o.Batch < 0 || o.Batch > 1000:
				return fmt.Errorf("%w: --rows, --messages and --rings must be at least 1, --in-flight and --row-bytes at least 0, --batch 0 to 1000", errUsage)
			case o.Idle < time.Second || o.Poll < 100*time.Millisecond:
				return fmt.Errorf("%w: --idle must be at least 1s, --poll at least 100ms", errUsage)
			case len(bench.Names(o)) == 0:
				return fmt.Errorf("%w: no case begins with %s", errUsage, strings.Join(args, " or "))
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Progress = c.stderr
			o.Child = func(args ...string) *exec.Cmd {
				child := exec.Command(self, append([]string{benchWorker, "--log-level", "warn"}, args...)...)
				child.Stderr = c.stderr
				return child
			}
			if memory {
				return benchMemory(cmd, c, o, output)
			}
			results, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if output == "json" {
				err = printJSON(c, results)
			} else {
				err = benchTable(c, results)
			}
			if err == nil && check && !bench.Met(results) {
				err = fmt.Errorf("%w: a figure is not what is owed", errCheck)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Rows, "rows", 200_000, "rows of the outbound cases; of the delta at most 200,000")
	f.IntVar(&o.RowBytes, "row-bytes", 0, "size of one row; 0: 400 and 2048")
	f.IntVar(&o.Messages, "messages", 20_000, "messages of the inbound cases; of $batch five times as many")
	f.IntVar(&o.InFlight, "in-flight", 0, "requests running at once; 0: the cases of the table")
	f.DurationVar(&o.Latency, "latency", 5*time.Millisecond, "time the simulator takes for a request, with --in-flight")
	f.IntVar(&o.Batch, "batch", 100, "writes in one $batch; 0: no batches")
	f.IntVar(&o.Rings, "rings", 100, "rings of the doorbell")
	f.DurationVar(&o.Idle, "idle", 20*time.Second, "how long idle tables are watched")
	f.DurationVar(&o.Poll, "poll", 5*time.Second, "time between two polls of an idle table")
	f.StringVar(&o.Profile, "profile", "", "directory for processor profiles of the bridge; they slow it a little")
	f.BoolVar(&memory, "memory", false, "measure the memory of an initial load instead")
	f.BoolVar(&check, "check", false, "end with code 4 if what is owed is missed")
	f.StringVar(&output, "output", "text", "text or json")
	return cmd
}

const benchWorker = "bench-worker"

// benchWorkerCommand is what bench starts in processes of their own.
func benchWorkerCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:    benchWorker + " bridge|raw FILE [PROFILE]",
		Short:  "A part of bench in a process of its own",
		Hidden: true,
		Args:   cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.Work(cmd.Context(), c.logger(), args...)
		},
	}
}

func benchTable(c *common, results []bench.Result) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "case\tours\tlimit\tunit\tratio\tus/item\tlimit us\tRSS MiB\tconns\towed")
	for _, r := range results {
		var owed []string
		for _, o := range r.Owed {
			owed = append(owed, o.String())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f\t%s\t%s\t%.0f\t%s\t%s\n", r.Name, number(r.Ours), number(r.Limit), r.Unit, r.Ratio,
			dash(r.CPU > 0, number(r.CPU)), dash(r.LimitCPU > 0, number(r.LimitCPU)), r.RSS,
			dash(r.Connections > 0, fmt.Sprint(r.Connections)), dash(len(owed) > 0, strings.Join(owed, ", ")))
	}
	return w.Flush()
}

// number has as many digits as are worth reading.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func dash(there bool, text string) string {
	if !there {
		return "-"
	}
	return text
}

func benchMemory(cmd *cobra.Command, c *common, o bench.Options, output string) error {
	if o.RowBytes == 0 {
		o.RowBytes = 400
	}
	r, err := bench.Memory(cmd.Context(), o)
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
