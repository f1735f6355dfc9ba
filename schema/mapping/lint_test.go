package mapping_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/google/go-cmp/cmp"

	"cebridge/schema/mapping"
)

func TestLintFindsWhatNeedsNoMetadata(t *testing.T) {
	t.Parallel()
	spec, ps := parse(t, account(
		"when: tipe == 'x'",
		"codes: {region: {N: north}}",
		`columns: {name: 'code("regoin", data.region)', nowhere: 'upperCase(data.name)', telephone1: data.phon}`,
		`lookups: {some: 'ref("nowhere", {"x": data.x})', other: '"text"'}`,
	))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	var got []string
	for _, p := range mapping.Lint(spec, mapping.Options{Example: []byte(`{"number": "1", "name": "n", "phone": "1", "region": "N", "x": 1}`)}) {
		got = append(got, p.Error())
	}
	want := []string{
		"bridge.yaml:3:7: routes.r.when: unknown name tipe; did you mean type?",
		`bridge.yaml:5:22: routes.r.columns.name: there is no code table regoin; did you mean region?`,
		"bridge.yaml:5:67: routes.r.columns.nowhere: unknown name upperCase",
		"bridge.yaml:5:97: routes.r.columns.telephone1: the example has no data.phon; did you mean phone?",
		`bridge.yaml:6:57: routes.r.lookups.other: a lookup takes ref(), resolve(), null or omit(), not a text: by GUID write {table: expression}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems differ (-want +got):\n%s", diff)
	}
}

// What is sound with metadata is sound without.
func TestLintKnowsNothingOfTables(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseBytes(text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range parsed.Docs[0].Body.(*ast.MappingNode).Values {
			if kv.Key.GetToken().Value != "mapping" {
				continue
			}
			spec, ps := mapping.Parse(file, "m", kv.Value.(*ast.MappingNode))
			if ps = append(ps, mapping.Lint(spec, mapping.Options{})...); len(ps) > 0 {
				t.Errorf("%s: %v", file, ps)
			}
		}
	}
}

// Everything that Lint reports, Compile reports as well.
func TestLintSaysNothingThatCompileDoesNot(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/problems.txt")
	if err != nil {
		t.Fatal(err)
	}
	linted := 0
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		var source []string
		for line := range strings.Lines(block) {
			switch line = strings.TrimRight(line, "\n"); {
			case strings.HasPrefix(line, "# "), strings.HasPrefix(line, "! "):
			case strings.HasPrefix(line, "+"):
				source = append(source, "table: account", "key: {accountnumber: data.number}", line[1:])
			default:
				source = append(source, line)
			}
		}
		spec, ps := parse(t, strings.Join(source, "\n")+"\n")
		if len(ps) > 0 {
			continue
		}
		_, all := mapping.Compile(spec, catalog(t), mapping.Options{})
		for _, p := range mapping.Lint(spec, mapping.Options{}) {
			linted++
			if !slices.Contains(all, p) {
				t.Errorf("only Lint says: %v\n%s", p, block)
			}
		}
	}
	if linted < 20 {
		t.Errorf("Lint found only %d problems", linted)
	}
}
