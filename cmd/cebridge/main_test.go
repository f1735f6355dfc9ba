package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"cebridge/bridge"
)

func TestVersionAndHelpGoToStdoutAndEndWith0(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"version", "cebridge " + bridge.Version + "\n"},
		{"", "Available Commands:"},
		{"--help", "Available Commands:"},
		{"help run", "--config"},
		{"run --help", "--config"},
		{"demo --help", "--duration"},
	} {
		code, out, errs := once(t, strings.Fields(c.args)...)
		if code != 0 || errs != "" {
			t.Errorf("%q: code %d, stderr %q", c.args, code, errs)
		}
		contains(t, c.args, out, c.want)
	}
}

func TestAWrongCommandLineEndsWith2AndNamesTheFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"frobnicate", `unknown command "frobnicate"`},
		{"run --nope", "unknown flag: --nope"},
		{"run", "-c FILE"},
		{"run extra", "extra"},
		{"version extra", "extra"},
		{"demo --duration soon", "--duration"},
		{"demo --nats-port 0", "--nats-port"},
		{"demo --nats-port 70000", "--nats-port"},
		{"sim --port x", "--port"},
		{"bench --output xml", "--output"},
		{"bench --rows 0", "--rows"},
		{"soak --output xml", "--output"},
		{"version --log-level loud", "--log-level"},
	} {
		code, out, errs := once(t, strings.Fields(c.args)...)
		if code != 2 || out != "" {
			t.Errorf("%q: code %d, stdout %q", c.args, code, out)
		}
		contains(t, c.args, errs, "cebridge: usage: ", c.want)
	}
}

// The README and the pages show command lines; a reader types them.
func TestEveryCommandLineOfThePagesIsKnown(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("../../examples/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile("(?:cmd/cebridge|`cebridge) ([a-z][^`#\n;)]*)")
	seen := map[string]bool{}
	for _, page := range append(append(pages, examples...), "../../README.md", "../../Makefile", "../../CHANGELOG.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			var args []string
			for _, word := range strings.Fields(m[1]) {
				args = append(args, strings.TrimRight(word, ".,:"))
			}
			cmd, rest, err := newRoot(nil, nil).Find(args)
			if err != nil {
				t.Errorf("%s: %s: %v", page, m[0], err)
				continue
			}
			seen[cmd.Name()] = true
			for _, word := range rest {
				checkFlag(t, page, cmd, word)
			}
		}
	}
	want := map[string]bool{"demo": true, "run": true, "pull": true, "sim": true, "soak": true, "bench": true, "lint": true, "plan": true, "apply": true, "estimate": true, "status": true, "tail": true, "pause": true, "resume": true, "resync": true, "retry": true, "compare": true, "replay": true, "erase": true, "schema": true, "show": true, "try": true, "test": true}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("commands shown: %s", diff)
	}
}

func checkFlag(t *testing.T, page string, cmd *cobra.Command, word string) {
	t.Helper()
	known := true
	if name, long := strings.CutPrefix(word, "--"); long {
		known = cmd.Flag(name) != nil
	} else if name, short := strings.CutPrefix(word, "-"); short {
		known = cmd.Flags().ShorthandLookup(name) != nil
	}
	if !known {
		t.Errorf("%s: %s has no flag %s", page, cmd.CommandPath(), word)
	}
}

func TestLogsAreJSONWithReadableTimesAndNothingNil(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &common{stderr: &out}
	c.logger().Info("x", "delay", 1500*time.Millisecond, "error", error(nil), "cause", errors.New("because"), "n", 1)
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{"level": "INFO", "msg": "x", "delay": "1.5s", "cause": "because", "n": 1.0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
