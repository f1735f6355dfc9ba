package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func mapTestCommand(c *common) *cobra.Command {
	var o operated
	var tables string
	var update bool
	cmd := &cobra.Command{
		Use:   "test -c FILE [DIR]",
		Short: "Hold mappings against the requests that files expect",
		Long: `Hold mappings against golden files: for each event DIR/<route>/<name>.json, what map try
prints of it must be in DIR/<route>/<name>.golden. DIR is the directory tests beside the
configuration. Differences are shown, - what is expected, + what the mapping makes, and end
with code 4. --update writes the golden files anew: read the difference before you keep it.

Tables are known from --schema, else from DIR/schema.yaml, as schema pull writes it, and
nothing is connected to; without either they are read from Customer Engagement.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.config(cmd)
			if err != nil {
				return err
			}
			dir := filepath.Join(filepath.Dir(o.file), "tests")
			if len(args) == 1 {
				dir = args[0]
			}
			return testMappings(cmd.Context(), c, cfg, goldenTests{dir: dir, tables: tables, update: update})
		},
	}
	o.flags(cmd, false)
	cmd.Flags().StringVar(&tables, "schema", "", "a schema file with the tables")
	cmd.Flags().BoolVar(&update, "update", false, "write the golden files anew")
	return cmd
}

// goldenTests is a directory of tests.
type goldenTests struct {
	dir, tables string
	update      bool
}

// goldenTest is one event with what is expected of it.
type goldenTest struct {
	route, name string
	event       string // "" for a golden file whose event is gone
}

func (g *goldenTests) golden(t goldenTest) string {
	return filepath.Join(g.dir, t.route, t.name+".golden")
}

// find lists the tests in the order of their names.
func (g *goldenTests) find(cfg bridge.Config) ([]goldenTest, error) {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return nil, fmt.Errorf("the directory of tests: %w", err)
	}
	var tests []goldenTest
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(g.dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("the directory of tests: %w", err)
		}
		var found []goldenTest
		for _, f := range files {
			if name, ok := strings.CutSuffix(f.Name(), ".json"); ok {
				found = append(found, goldenTest{e.Name(), name, filepath.Join(g.dir, e.Name(), f.Name())})
			}
		}
		for _, f := range files {
			name, ok := strings.CutSuffix(f.Name(), ".golden")
			if ok && !slices.ContainsFunc(found, func(t goldenTest) bool { return t.name == name }) {
				found = append(found, goldenTest{e.Name(), name, ""})
			}
		}
		if len(found) > 0 && !slices.ContainsFunc(cfg.Inbound.Routes, func(r bridge.RouteConfig) bool { return r.Name == e.Name() }) {
			return nil, fmt.Errorf("%s has tests of a route that the configuration does not have", filepath.Join(g.dir, e.Name()))
		}
		tests = append(tests, found...)
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("%s has no tests: put events into %s", g.dir, filepath.Join(g.dir, "<route>", "<name>.json"))
	}
	return tests, nil
}

func testMappings(ctx context.Context, c *common, cfg bridge.Config, g goldenTests) error {
	tests, err := g.find(cfg)
	if err != nil {
		return err
	}
	if g.tables == "" {
		if path := filepath.Join(g.dir, "schema.yaml"); fileExists(path) {
			g.tables = path
		}
	}
	var routes []string
	for _, t := range tests {
		if !slices.Contains(routes, t.route) {
			routes = append(routes, t.route)
		}
	}
	trial, err := newTrial(ctx, c, cfg, g.tables, routes...)
	if err != nil {
		return err
	}
	failed, written := 0, 0
	for _, t := range tests {
		text, wrote, err := g.run(ctx, trial, t)
		if err != nil {
			return err
		}
		if wrote {
			written++
		}
		if text != "" {
			failed++
			fmt.Fprintf(c.stdout, "FAIL %s/%s\n%s", t.route, t.name, text)
		}
	}
	fmt.Fprintf(c.stdout, "%d tests, %d failed", len(tests), failed)
	if g.update {
		fmt.Fprintf(c.stdout, ", %d golden files written", written)
	}
	fmt.Fprintln(c.stdout)
	if failed > 0 {
		return fmt.Errorf("%w: %d of %d tests of mappings", errCheck, failed, len(tests))
	}
	return nil
}

func fileExists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// run tries one event; text says what is wrong, "" for nothing.
func (g *goldenTests) run(ctx context.Context, trial *bridge.Trial, t goldenTest) (text string, wrote bool, err error) {
	golden := g.golden(t)
	if t.event == "" {
		return "  there is no event " + t.name + ".json for this golden file\n", false, nil
	}
	data, err := readEvent(nil, t.event)
	if err != nil {
		return "", false, err
	}
	tried, err := trial.Try(ctx, t.route, trial.Message(t.route, "", data))
	if err != nil {
		return "", false, err
	}
	got := tried.Report(bridge.TrialForm{})
	want, err := os.ReadFile(golden)
	missing := errors.Is(err, fs.ErrNotExist)
	expected := strings.ReplaceAll(string(want), "\r\n", "\n") // a checkout on Windows
	switch {
	case err != nil && !missing:
		return "", false, fmt.Errorf("read the golden file: %w", err)
	case !missing && expected == got:
		return "", false, nil
	case g.update:
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			return "", false, fmt.Errorf("write the golden file: %w", err)
		}
		return "", true, nil
	case missing:
		return "  there is no " + t.name + ".golden yet; write it with --update and read it\n" + lineDiff("", got), false, nil
	}
	return lineDiff(expected, got), false, nil
}
