package main

import (
	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func configCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show a configuration as it is used, or a schema of its file for editors",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configShowCommand(c), configSchemaCommand(c))
	return cmd
}

func configShowCommand(c *common) *cobra.Command {
	var o operated
	cmd := &cobra.Command{
		Use:   "show -c FILE",
		Short: "Show a configuration with every default and without secrets",
		Long: `Show a configuration as the bridge uses it: with every default, and with what
environment variables and files stand for. A secret is shown as ` + bridge.HiddenSecret + `. The text
form is YAML; with references in the place of secrets it is a configuration again.

What a variable holds is shown, unless its setting is a secret.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			shown, err := bridge.ShowConfig(o.file)
			if err != nil {
				return err
			}
			text := shown.YAML()
			if o.output == "json" {
				if text, err = shown.JSON(); err != nil {
					return err
				}
			}
			_, err = c.stdout.Write(text)
			return err
		},
	}
	o.flags(cmd, true)
	return cmd
}

func configSchemaCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration file",
		Long: `Print a JSON Schema (2020-12) of the configuration file. An editor that knows it, such as
one with yaml-language-server, completes and explains the settings:

  cebridge config schema > cebridge.schema.json

and in the first line of the configuration

  # yaml-language-server: $schema=cebridge.schema.json

What depends on several settings at once, only lint tells.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			doc, err := bridge.ConfigSchema()
			if err != nil {
				return err
			}
			_, err = c.stdout.Write(doc)
			return err
		},
	}
}
