package bridge

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/goccy/go-yaml"

	"cebridge/bridge/internal/webapi"
	"cebridge/schema"
)

// SchemaSnapshot is the metadata of an organization as a schema file has it: what
// the simulator runs with, and what a configuration can be checked against offline.
type SchemaSnapshot struct {
	// Tables are in the order of their logical names.
	Tables []*schema.Table
	// Notes say what was left out, and why.
	Notes []string
}

// PullSchema reads the definitions of tables from a Web API, with those that their
// lookups point at in short form. Without names it reads every table. It logs in
// as the bridge does and only reads.
func PullSchema(ctx context.Context, cfg WebAPIConfig, tables []string, logger *slog.Logger) (*SchemaSnapshot, error) {
	auth, err := cfg.login(nil)
	if err != nil {
		return nil, fmt.Errorf("web api login: %w", err)
	}
	conf, err := cfg.TLS.build()
	if err != nil {
		return nil, fmt.Errorf("web api: %w", err)
	}
	proxy, fromEnvironment := cfg.proxy()
	client, err := webapi.New(webapi.Config{
		TLS: conf, ProxyURL: proxy, ProxyFromEnvironment: fromEnvironment,
		URL: cfg.URL, Version: cfg.Version, Auth: auth, Timeout: cfg.Timeout, MaxInFlight: cfg.MaxInFlight, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("web api: %w", err)
	}
	defer client.Close()
	found, notes, err := client.Snapshot(ctx, tables)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	return &SchemaSnapshot{Tables: found, Notes: notes}, nil
}

// Tables are the logical names of the tables that a configuration follows, writes
// or refers to, in order.
func (c Config) Tables() []string {
	var names []string
	for _, t := range c.Outbound.Tables {
		names = append(names, t.Table)
	}
	for _, r := range c.Inbound.Routes {
		if r.Mapping != nil {
			names = append(names, r.Mapping.Tables()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// YAML renders the snapshot as a schema file.
func (s *SchemaSnapshot) YAML() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Tables of an organization, read from its Web API.\n")
	for _, note := range s.Notes {
		b.WriteString("# " + note + "\n")
	}
	enc := yaml.NewEncoder(&b, yaml.IndentSequence(true))
	if err := enc.Encode(map[string]any{"tables": s.Tables}); err != nil {
		return nil, fmt.Errorf("render the schema: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("render the schema: %w", err)
	}
	return b.Bytes(), nil
}
