package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

func schemaCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Work with the tables of an organization",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(schemaPullCommand(c))
	return cmd
}

func schemaPullCommand(c *common) *cobra.Command {
	var config, url, version, output string
	var tables []string
	cmd := &cobra.Command{
		Use:   "pull -c FILE | --url URL",
		Short: "Write the tables of an organization to a schema file",
		Long: `Read table definitions from a Web API and write them to a schema file, with which
the simulator runs (sim --schema). Nothing is changed in the organization.

With -c it logs in as the configuration says and reads the tables that the
configuration uses; with --url it does not log in and reads all tables. --table
names others; it is needed where the configuration names no table and no route yet. The tables that lookups point at come along in short form. What a
schema file cannot hold is named on standard error and in the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := bridge.DefaultConfig()
			switch {
			case (config == "") == (url == ""):
				return fmt.Errorf("%w: schema pull needs either -c FILE or --url URL", errUsage)
			case config != "":
				var err error
				if cfg, err = bridge.LoadConnection(config); err != nil {
					return err
				}
				if len(tables) == 0 {
					tables = cfg.Tables()
				}
				if len(tables) == 0 {
					return fmt.Errorf("%w: %s names no table and no route: name the tables with --table", errUsage, config)
				}
			default:
				cfg.WebAPI.URL, cfg.WebAPI.Version = strings.TrimSuffix(url, "/"), version
			}
			snapshot, err := bridge.PullSchema(cmd.Context(), cfg.WebAPI, tables, c.logger())
			if err != nil {
				return err
			}
			return c.writeSchema(snapshot, output)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&config, "config", "c", "", "the configuration file")
	f.StringVar(&url, "url", "", "URL of an organization that asks for no login, such as the simulator's")
	f.StringVar(&version, "version", "v9.1", "version of the Web API, with --url")
	f.StringSliceVar(&tables, "table", nil, "logical names of the tables, separated by commas")
	f.StringVarP(&output, "output", "o", "-", "the file to write, - for standard output")
	return cmd
}

// writeSchema writes the file once the simulator can read it.
func (c *common) writeSchema(snapshot *bridge.SchemaSnapshot, output string) error {
	data, err := snapshot.YAML()
	if err != nil {
		return err
	}
	if _, err := sim.LoadSchema(data); err != nil {
		return fmt.Errorf("the tables do not make a schema file; name fewer of them with --table: %w", err)
	}
	for _, note := range snapshot.Notes {
		fmt.Fprintln(c.stderr, note)
	}
	if output == "-" {
		_, err = c.stdout.Write(data)
		return err
	}
	if err := os.WriteFile(output, data, 0o644); err != nil {
		return fmt.Errorf("write the schema: %w", err)
	}
	fmt.Fprintf(c.stderr, "%d tables written to %s\n", len(snapshot.Tables), output)
	return nil
}
