package bridge_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"cebridge/bridge"
)

// configSchema compiles the schema that editors get.
func configSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := bridge.ConfigSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate holds a configuration against the schema, as an editor does.
func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func validateTree(t *testing.T, s *jsonschema.Schema, root map[string]any) error {
	t.Helper()
	text, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return validate(t, s, text)
}

// places are the paths at which a validation failed.
func places(err error) (paths []string) {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return nil
	}
	var walk func(*jsonschema.ValidationError)
	walk = func(v *jsonschema.ValidationError) {
		paths = append(paths, strings.Join(v.InstanceLocation, "."))
		for _, cause := range v.Causes {
			walk(cause)
		}
	}
	walk(v)
	return paths
}

func TestAFileThatTheReaderTakesIsValidInAnEditor(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_SECRET", "s3cret: #x")
	t.Setenv("CEBRIDGE_TEST_KEY", "0123456789abcdef")
	s := configSchema(t)
	full, err := os.ReadFile(filepath.Join("testdata", "config", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, s, full); err != nil {
		t.Errorf("full.yaml: %v", err)
	}
	checked := 0
	for _, text := range []string{
		"org: contoso\nwebapi:\n  url: https://contoso.example\n  timeout: ${T:-30s}\n  version: ${V:-v9.1}\n  max_in_flight: ${N:-7}\nnats: embedded\ndoorbell: {gap: 0}\nadmin:\noutbound: {type_prefix: a.b, tables: {account: {columns: name, references: [ownerid], max_deletes:}}}\n",
		"org: contoso\nwebapi: {url: 'https://contoso.example'}\nnats: {embedded: {max_store: 1GiB}}\nstream: {max_bytes: -1}\ninbound: {routes: {r: {stream: S, start: all, writes: [{for_each: data.items, table: account, key: {accountnumber: item.id}, on_create: {columns: {name: '\"x\"', statecode: 0}}}]}}}\n",
	} {
		if _, err := bridge.ParseConfig("f.yaml", []byte(text)); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
		if err := validate(t, s, []byte(text)); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
	// Whatever the page says can be written.
	for _, row := range settings(t) {
		values := []any{}
		if m := code.FindStringSubmatch(row.preset); m != nil {
			values = append(values, literal(t, m[1]))
		}
		if ends := span.FindStringSubmatch(row.allowed); ends != nil {
			values = append(values, literal(t, ends[1]), literal(t, ends[2]))
		}
		for _, word := range strings.Split(row.allowed, ", ") {
			if m := code.FindStringSubmatch(word); m != nil {
				values = append(values, literal(t, m[1]))
			}
		}
		for _, v := range values {
			root := with(row.path, v)
			if _, ps := parseTree(t, root); len(ps) > 0 {
				continue
			}
			checked++
			if err := validateTree(t, s, root); err != nil {
				t.Errorf("line %d: %s: %v: %v", row.line, row.path, v, err)
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d values", checked)
	}
}

func TestEveryDocumentedSettingIsKnownToAnEditor(t *testing.T) {
	s := configSchema(t)
	for _, row := range settings(t) {
		nonsense := with(row.path, []any{[]any{"nonsense"}})
		found := false
		for _, p := range places(validateTree(t, s, nonsense)) {
			found = found || p == row.path || strings.HasPrefix(p, row.path+".")
		}
		if !found {
			t.Errorf("line %d: %s takes nonsense", row.line, row.path)
		}
		if row.required() {
			if err := validateTree(t, s, with(row.path, nil)); err == nil {
				t.Errorf("line %d: %s may be left out", row.line, row.path)
			}
		}
	}
	text, err := bridge.ConfigSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, meaning := range []string{"short name of the organization", "records a page"} {
		if !bytes.Contains(text, []byte(meaning)) {
			t.Errorf("the schema does not say %q", meaning)
		}
	}
}

func TestAnEditorRefusesAMisspeltSetting(t *testing.T) {
	s := configSchema(t)
	for _, path := range []string{
		"orgg", "webapi.versoin", "webapi.batch.maxx", "webapi.auth.tennant", "nats.url", "nats.embedded.directory", "stream.replica",
		"outbound.table", "outbound.tables.account.pol", "inbound.rotes", "inbound.routes.erp.colums", "doorbell.lissten", "admin.port",
	} {
		root := with(path, "x")
		if _, ps := parseTree(t, root); len(ps) == 0 {
			t.Errorf("%s: the reader takes it", path)
		}
		if err := validateTree(t, s, root); err == nil {
			t.Errorf("%s is valid", path)
		}
	}
	for path, value := range map[string]any{
		"webapi.version": "v8", "webapi.timeout": "soon", "webapi.max_in_flight": 0, "nats.password": "hunter2", "nats": "embeded",
		"stream.max_bytes": "10GB", "outbound.type_prefix": nil, "outbound.tables.account.page_size": 5001, "admin.allow_remote": "yes",
		"inbound.routes.erp.operation": "insert", "inbound.routes.erp.table": nil, "inbound.routes.erp.writes": []any{map[string]any{"tabel": "account"}},
	} {
		if err := validateTree(t, s, with(path, value)); err == nil {
			t.Errorf("%s: %v is valid", path, value)
		}
	}
}
