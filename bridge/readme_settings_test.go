package bridge_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cebridge/bridge"
	"cebridge/schema"
	"cebridge/schema/mapping"
)

// setting is one row of a table of docs/configuration.md.
type setting struct {
	path, kind, preset string
	allowed            string
	line               int
}

func (s setting) required() bool { return s.preset == "required" }

var code = regexp.MustCompile("^`([^`]*)`$")

// settings reads the rows of the tables whose first column is a setting.
func settings(t *testing.T) []setting {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	var list []setting
	var columns []string
	for i, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "|") {
			columns = nil
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		if columns == nil {
			columns = cells
			continue
		}
		name := code.FindStringSubmatch(cells[0])
		if columns[0] != "setting" || name == nil {
			continue
		}
		s := setting{path: name[1], kind: cells[1], line: i + 1, preset: cells[2]}
		if columns[3] == "allowed" {
			s.allowed = cells[3]
		}
		list = append(list, s)
	}
	return list
}

// tree is a configuration with every part in its smallest form.
func tree() map[string]any {
	return map[string]any{
		"org":    "contoso",
		"webapi": map[string]any{"url": "https://contoso.crm4.dynamics.com"},
		"nats":   map[string]any{"urls": []any{"nats://a:4222"}},
		"outbound": map[string]any{
			"type_prefix": "com.contoso.crm",
			"tables":      map[string]any{"account": map[string]any{"columns": []any{"name"}}},
		},
		"inbound": map[string]any{
			"streams": map[string]any{"ERP": map[string]any{"subjects": []any{"erp.>"}}},
			"routes": map[string]any{"erp": map[string]any{
				"stream": "ERP", "start": "new", "table": "account", "key": map[string]any{"accountnumber": "data.id"},
			}},
		},
	}
}

// with returns the tree with one value put in, or taken out when it is nil.
func with(path string, value any) map[string]any {
	root := tree()
	names := strings.Split(path, ".")
	m := root
	for _, name := range names[:len(names)-1] {
		next, ok := m[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[name] = next
		}
		m = next
	}
	switch {
	case strings.HasPrefix(path, "nats.embedded."):
		delete(root["nats"].(map[string]any), "urls")
	case strings.HasPrefix(path, "webapi.auth.") && path != "webapi.auth.method":
		m["method"] = "client_credentials" // the only method that has settings
	}
	if m[names[len(names)-1]] = value; value == nil {
		delete(m, names[len(names)-1])
	}
	return root
}

func parseTree(t *testing.T, root map[string]any) (bridge.Config, schema.Problems) {
	t.Helper()
	text, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := bridge.ParseConfig("tree.yaml", text)
	var ps schema.Problems
	if err != nil && !errors.As(err, &ps) {
		t.Fatal(err)
	}
	return cfg, ps
}

// about returns the problems that name a field.
func about(ps schema.Problems, path string) (texts []string) {
	for _, p := range ps {
		name := path[strings.LastIndexByte(path, '.')+1:]
		if p.Field == path || p.Field == parent(path) && strings.HasPrefix(p.Text, name+" is missing") {
			texts = append(texts, p.Text)
		}
	}
	return texts
}

func parent(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }

var sameConfig = []cmp.Option{
	cmp.AllowUnexported(bridge.Secret{}), cmpopts.IgnoreUnexported(bridge.TableConfig{}, bridge.RouteConfig{}),
	cmpopts.IgnoreFields(bridge.RouteConfig{}, "Mapping"), cmpopts.EquateEmpty(),
}

func TestEveryDocumentedSettingExistsWithItsDefault(t *testing.T) {
	list := settings(t)
	for _, s := range list {
		t.Run(s.path, func(t *testing.T) {
			if _, ps := parseTree(t, with(s.path, []any{[]any{"nonsense"}})); len(ps) == 0 {
				t.Errorf("line %d: nonsense is accepted", s.line)
			} else if text := about(ps, s.path); len(text) > 0 && strings.HasPrefix(text[0], "unknown") {
				t.Errorf("line %d: %s", s.line, text[0])
			}
			cfg, ps := parseTree(t, with(s.path, nil))
			if len(ps) == 0 {
				// A mapping is only compiled against tables; without any, it must complain.
				_, ps = mapping.Compile(cfg.Inbound.Routes[0].Mapping, schema.Catalog{}, mapping.Options{})
			}
			switch missing := about(ps, s.path); {
			case s.required() && len(missing) == 0:
				t.Errorf("line %d: it is not required", s.line)
			case s.required() && len(missing) > 0:
			case code.MatchString(s.preset):
				value := literal(t, code.FindStringSubmatch(s.preset)[1])
				without, _ := parseTree(t, with(s.path, nil))
				given, ps := parseTree(t, with(s.path, value))
				if len(ps) > 0 {
					t.Errorf("line %d: the default cannot be written: %v", s.line, ps)
				} else if diff := cmp.Diff(without, given, sameConfig...); diff != "" {
					t.Errorf("line %d: the default is another:\n%s", s.line, diff)
				}
			}
		})
	}
	// The file that sets every field names nothing that is not documented.
	full, err := os.ReadFile(filepath.Join("testdata", "config", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := yaml.Unmarshal(full, &root); err != nil {
		t.Fatal(err)
	}
	for _, path := range leaves("", root) {
		path = strings.NewReplacer("routes.customers.", "routes.erp.", "tables.contact.", "tables.account.").Replace(path)
		if !slices.ContainsFunc(list, func(s setting) bool { return path == s.path || strings.HasPrefix(path, s.path+".") }) {
			t.Errorf("%s is not documented", path)
		}
	}
}

func leaves(path string, m map[string]any) (list []string) {
	for name, v := range m {
		if below, ok := v.(map[string]any); ok {
			list = append(list, leaves(path+name+".", below)...)
		} else {
			list = append(list, path+name)
		}
	}
	slices.Sort(list)
	return list
}

// literal is the value that a text of the page stands for in a file.
func literal(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

var span = regexp.MustCompile(`^(\S+) to (\S+)$`)

func TestTheDocumentedRangesAreTheRealOnes(t *testing.T) {
	ranges, choices := 0, 0
	for _, s := range settings(t) {
		accepted := func(v any) bool {
			_, ps := parseTree(t, with(s.path, v))
			return len(about(ps, s.path)) == 0
		}
		ends := span.FindStringSubmatch(s.allowed)
		switch {
		case ends != nil && s.kind == "number":
			ranges++
			low, high := number(t, ends[1]), number(t, ends[2])
			if !accepted(low) || !accepted(high) || accepted(low-1) || accepted(high+1) {
				t.Errorf("line %d: %s is not %s", s.line, s.path, s.allowed)
			}
		case ends != nil && s.kind == "time":
			ranges++
			low, high := duration(t, ends[1]), duration(t, ends[2])
			if !accepted(low.String()) || !accepted(high.String()) || accepted((low - 1).String()) || accepted((high + 1).String()) {
				t.Errorf("line %d: %s is not %s", s.line, s.path, s.allowed)
			}
		case strings.HasPrefix(s.allowed, "from "):
			ranges++
			low := strings.TrimPrefix(s.allowed, "from ")
			unit := low[len(low)-3:]
			n := number(t, strings.TrimSuffix(low, unit))
			if !accepted(low) || accepted(fmt.Sprint(n-1)+unit) || accepted(fmt.Sprint(n*1024-1)+map[string]string{"MiB": "KiB", "GiB": "MiB"}[unit]) {
				t.Errorf("line %d: %s is not %s", s.line, s.path, s.allowed)
			}
		case strings.HasPrefix(s.allowed, "`"):
			choices++
			for word := range strings.SplitSeq(s.allowed, ", ") {
				if m := code.FindStringSubmatch(word); m != nil && !accepted(m[1]) {
					t.Errorf("line %d: %s does not take %s", s.line, s.path, word)
				}
			}
			if accepted("nonsense") {
				t.Errorf("line %d: %s takes anything", s.line, s.path)
			}
		case s.allowed != "":
			t.Errorf("line %d: %q is a form this test does not know", s.line, s.allowed)
		}
	}
	if ranges < 12 || choices < 7 {
		t.Errorf("only %d ranges and %d choices found", ranges, choices)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
