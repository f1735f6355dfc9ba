package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cebridge/bridge/sim"
)

// simFlags are the flags of the simulator that need work before they are options.
type simFlags struct {
	port, accounts        int
	seed                  uint64
	host                  string
	schemaFile, faultFile string
	certificateFile       string
	limits                bool
}

func simCommand(c *common) *cobra.Command {
	var o sim.Options
	var flags simFlags
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run the simulator of Customer Engagement alone",
		Long: `Run the simulator of the Customer Engagement Web API alone, for tests of your own:
in memory unless --data names a directory, and without a login unless --auth asks
for one. The URL it prints is that of the organization; on premises it ends in the
name of the organization.

Its own API is below /sim/: /sim/log is the write log as JSON lines, /sim/faults
scripts faults, /sim/stats counts requests.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Logger = c.logger()
			if err := flags.read(&o); err != nil {
				return err
			}
			return serveSim(cmd.Context(), c, o, fmt.Sprintf("%s:%d", flags.host, flags.port), flags.accounts)
		},
	}
	f := cmd.Flags()
	f.IntVar(&flags.port, "port", 8080, "TCP port, 0 for any free one")
	f.StringVar(&flags.host, "host", "127.0.0.1", "address to listen on")
	f.StringVar((*string)(&o.Profile), "profile", string(sim.Online), "online or onprem")
	f.StringVar(&o.Organization, "org", "contoso", "name of the organization; on premises the first part of the path")
	f.StringVar(&o.Data, "data", "", "directory that keeps the records; empty keeps them in memory")
	f.StringVar(&flags.schemaFile, "schema", "", "file with the tables, as written by schema pull, instead of the built-in ones")
	f.IntVar(&flags.accounts, "accounts", 0, "number of accounts to begin with, if there are none")
	f.StringVar(&flags.faultFile, "faults", "", "file with scripted faults")
	f.Uint64Var(&flags.seed, "seed", 1, "seed of what faults draw by chance")
	f.BoolVar(&o.RecordWrites, "record-writes", false, "keep the whole row of every version in the write log")
	f.BoolVar(&flags.limits, "limits", false, "apply the service protection limits (online)")
	f.DurationVar(&o.LoadLatency, "load-latency", 0, "wait this long for each other request under way (onprem)")
	f.DurationVar(&o.KeyJobDelay, "key-job-delay", 200*time.Millisecond, "how long the index job of a new alternate key takes")
	authFlags(cmd, &o.Auth, &flags)
	return cmd
}

// authFlags adds the flags of the login. Their secrets are those of a simulator
// and may stand on a command line.
func authFlags(cmd *cobra.Command, a *sim.Auth, flags *simFlags) {
	f := cmd.Flags()
	f.StringVar((*string)(&a.Method), "auth", "", "login: client_credentials (online), adfs or ntlm (onprem); empty for none")
	f.StringVar(&a.Tenant, "auth-tenant", "", "first part of the token endpoint's path")
	f.StringVar(&a.ClientID, "auth-client-id", "", "the registered application")
	f.StringVar(&a.ClientSecret, "auth-client-secret", "", "its secret")
	f.StringVar(&flags.certificateFile, "auth-certificate", "", "its certificate, a PEM file")
	f.StringVar(&a.User, "auth-user", "", `the user of adfs and ntlm, DOMAIN\name or name@domain`)
	f.StringVar(&a.Password, "auth-password", "", "the user's password")
	f.DurationVar(&a.TokenLifetime, "auth-token-lifetime", time.Hour, "how long a token is accepted")
}

// read turns the files and switches into options.
func (f *simFlags) read(o *sim.Options) error {
	if f.accounts < 0 {
		return fmt.Errorf("%w: --accounts %d: use 0 or more", errUsage, f.accounts)
	}
	if f.schemaFile != "" {
		data, err := os.ReadFile(f.schemaFile)
		if err != nil {
			return fmt.Errorf("read the schema: %w", err)
		}
		if o.Tables, err = sim.LoadSchema(data); err != nil {
			return fmt.Errorf("schema %s: %w", f.schemaFile, err)
		}
	}
	o.Faults = sim.NewFaults(f.seed)
	if f.faultFile != "" {
		data, err := os.ReadFile(f.faultFile)
		if err != nil {
			return fmt.Errorf("read the faults: %w", err)
		}
		rules, err := sim.LoadFaults(data)
		if err != nil {
			return fmt.Errorf("faults %s: %w", f.faultFile, err)
		}
		for i, rule := range rules {
			if _, err := o.Faults.AddRule(rule); err != nil {
				return fmt.Errorf("faults %s: faults[%d]: %w", f.faultFile, i, err)
			}
		}
	}
	if f.certificateFile != "" {
		data, err := os.ReadFile(f.certificateFile)
		if err != nil {
			return fmt.Errorf("read the certificate: %w", err)
		}
		o.Auth.Certificate = data
	}
	if o.KeyJobDelay == 0 {
		o.KeyJobDelay = -1 // none, where the option's zero means its default
	}
	if f.limits {
		o.Limits = &sim.ServiceLimits{}
	}
	return nil
}

func serveSim(ctx context.Context, c *common, o sim.Options, addr string, accounts int) (err error) {
	s, err := sim.New(o)
	if err != nil {
		return err
	}
	defer func() {
		if closing := s.Close(); err == nil {
			err = closing // the last records may not be in the data directory
		}
	}()
	if accounts > 0 && s.Stats().Rows["account"] == 0 {
		if err := s.Seed("account", accounts, func(i int) map[string]any {
			return map[string]any{"name": fmt.Sprintf("Contoso Branch %d", i+1), "accountnumber": fmt.Sprintf("C%07d", i+1)}
		}); err != nil {
			return err
		}
	}
	url, err := s.Start(addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	if _, err := fmt.Fprintln(c.stdout, url); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
