package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge"
	"cebridge/bridge/admin"
)

// maxStatus bounds the answer of the admin port.
const maxStatus = 16 << 20

// statusView is what the command prints: the status and who told it.
type statusView struct {
	// Source is bridge, for the answer of a running one, or stream, for what
	// JetStream alone can tell.
	Source string `json:"source"`
	admin.Status
}

func statusCommand(c *common) *cobra.Command {
	var o operated
	var direct bool
	cmd := &cobra.Command{
		Use:   "status -c FILE",
		Short: "Show the tables and routes",
		Long: `Show the tables and routes, as the running bridge tells on its admin port. Without
an admin port, or when nobody answers there, the positions are read from NATS; these
do not tell whether a bridge is running.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(cmd)
			if err != nil {
				return err
			}
			v := statusView{Source: "bridge"}
			asked := false
			if addr := adminAddress(cfg.Admin.Listen); addr != "" && !direct {
				v.Status, err = askAdmin(cmd.Context(), addr)
				if asked = err == nil; err != nil {
					fmt.Fprintf(c.stderr, "cebridge: %v; reading the stream instead\n", err)
				}
			}
			if !asked {
				v.Source = "stream"
				err = o.run(cmd, c, func(ctx context.Context, op *bridge.Operator) (err error) {
					v.Status, err = op.Status(ctx)
					return err
				})
				if err != nil {
					return err
				}
			}
			if o.output == "json" {
				return printJSON(c, v)
			}
			return printStatus(c.stdout, &v)
		},
	}
	o.flags(cmd, true)
	cmd.Flags().BoolVar(&direct, "stream", false, "do not ask the bridge, read the stream")
	return cmd
}

// adminAddress is where a listen address is reached from this machine, "" when it
// cannot be known.
func adminAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func askAdmin(ctx context.Context, addr string) (s admin.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/status.json", nil)
	if err != nil {
		return s, fmt.Errorf("ask the admin port: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, fmt.Errorf("ask the admin port: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		return s, fmt.Errorf("ask the admin port %s: %w", addr, err)
	}
	return s, nil
}

func printStatus(w io.Writer, v *statusView) error {
	var b strings.Builder
	fmt.Fprintf(&b, "organization %s, told by the %s", v.Org, v.Source)
	if !v.Started.IsZero() {
		fmt.Fprintf(&b, ", version %s, started %s", v.Version, v.Started.Format(time.RFC3339))
	}
	b.WriteByte('\n')
	printWebAPI(&b, v.WebAPI)
	for _, t := range v.Tables {
		fmt.Fprintf(&b, "table %-24s %-10s checkpoint %d, %s old, epoch %d", t.Table, t.State,
			t.Checkpoint.Sequence, seconds(t.Checkpoint.AgeSeconds), t.Checkpoint.Epoch)
		if t.Checkpoint.Rows > 0 && t.State == "loading" {
			fmt.Fprintf(&b, ", %d rows read", t.Checkpoint.Rows)
		}
		if t.LagSeconds != nil {
			fmt.Fprintf(&b, ", lag %s", seconds(*t.LagSeconds))
		}
		if t.TokenLifeSeconds > 0 {
			fmt.Fprintf(&b, ", token %s of %s", seconds(t.TokenAgeSeconds), seconds(t.TokenLifeSeconds))
		} else if t.TokenAgeSeconds > 0 {
			fmt.Fprintf(&b, ", token %s old", seconds(t.TokenAgeSeconds))
		}
		if t.PollSeconds > 0 && t.State == "following" {
			fmt.Fprintf(&b, ", a poll in %s", seconds(t.PollSeconds))
		}
		b.WriteString(counts(t.Events))
		more(&b, t.Detail, t.LastError)
	}
	for _, r := range v.Routes {
		fmt.Fprintf(&b, "route %-24s %-10s pending %d, unacknowledged %d", r.Route, r.State, r.Pending, r.AckPending)
		b.WriteString(counts(r.Results))
		more(&b, r.Detail, r.LastError)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func more(b *strings.Builder, detail, lastError string) {
	b.WriteByte('\n')
	if detail != "" {
		fmt.Fprintf(b, "      %s\n", detail)
	}
	if lastError != "" {
		fmt.Fprintf(b, "      last error: %s\n", lastError)
	}
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// counts lists what is not zero, in a fixed order.
func counts(m map[string]int64) string {
	var parts []string
	for name, n := range m {
		if n != 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	sort.Strings(parts)
	return "; " + strings.Join(parts, ", ")
}
