package bridge_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

// lintRoute is a configuration with one route, which has the lines besides.
func lintRoute(lines ...string) string {
	return `org: contoso
webapi: {url: "https://contoso.crm4.dynamics.com"}
nats: {urls: ["nats://a:4222"]}
inbound:
  routes:
    erp:
      stream: ERP
      start: new
      table: account
      key: {accountnumber: data.id}
      ` + strings.Join(lines, "\n      ") + "\n"
}

func TestAMappingIsHeldAgainstTheExampleOfItsEvents(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"data.json":   `{"id": "1", "name": "Contoso"}`,
		"event.json":  "\xef\xbb\xbf" + `{"specversion": "1.0", "id": "e", "type": "t", "source": "/s", "data": {"id": "1", "name": "Contoso"}}`,
		"broken.json": `{"id": `,
		"large.json":  `"` + strings.Repeat("x", 70_000) + `"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ example, columns, want string }{
		{"data.json", "{name: data.name}", ""},
		{"event.json", "{name: data.name}", ""},
		{filepath.Join(dir, "data.json"), "{name: data.name}", ""},
		{`'{"id": "1", "name": "Contoso"}'`, "{name: data.name}", ""},
		{`'[1]'`, "{name: data.name}", "data is a list in the example"},
		{`{id: "1", name: Contoso}`, "{name: data.name}", ""},
		{`{id: "1", name: Contoso}`, "{name: data.nmae}", "the example has no data.nmae; did you mean name?"},
		{`{id: "1", name: 4711}`, "{name: data.name.first}", "data.name is a number in the example"},
		{`{specversion: "1.0", id: e, type: t, source: /s, data: {id: "1", name: Contoso}}`, "{name: data.name}", ""},
		{`{id: "1", name: .nan}`, "{name: data.name}", ".nan is no number of JSON"},
		{"{}", "{name: data.name}", "the example has no data.name"},
		{"data.json", "{name: data.nmae}", "the example has no data.nmae; did you mean name?"},
		{"event.json", "{name: data.nmae}", "the example has no data.nmae; did you mean name?"},
		{`'{"id": "1"}'`, "{name: data.name}", "the example has no data.name"},
		{"nowhere.json", "{name: data.name}", "no such file"},
		{"broken.json", "{name: data.name}", "not JSON: byte 6"},
		{`'{"id": 1,}'`, "{name: data.name}", "not JSON: byte 10"},
		{"large.json", "{name: data.name}", "larger than 65536 bytes"},
	} {
		path := filepath.Join(dir, "bridge.yaml")
		if err := os.WriteFile(path, []byte(lintRoute("example: "+c.example, "columns: "+c.columns)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := bridge.LoadConfig(path)
		var ps schema.Problems
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.example, err)
		case c.want != "" && (!errors.As(err, &ps) || !strings.Contains(err.Error(), c.want) || ps[0].Line == 0):
			t.Errorf("%s: got %v, want %q with a line", c.example, err, c.want)
		}
	}
}

func TestAMappingIsHeldAgainstTheSchemaOfItsEvents(t *testing.T) {
	dir := t.TempDir()
	const customer = `{"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}}}`
	for name, text := range map[string]string{
		"customer.json": "\xef\xbb\xbf" + customer,
		"all.json":      `{"asyncapi": "3.0.0", "components": {"schemas": {"customer": ` + customer + `}}}`,
		"broken.json":   `{"type": `,
		"large.json":    `{"description": "` + strings.Repeat("x", 1<<20) + `"}`,
		"wide.json":     `{"description": "` + strings.Repeat("x", 100_000) + `", "properties": {"id": {}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ schema, columns, want string }{
		{"customer.json", "{name: data.name}", ""},
		{filepath.Join(dir, "customer.json"), "{name: data.name}", ""},
		{"'" + customer + "'", "{name: data.name}", ""},
		{"all.json#/components/schemas/customer", "{name: data.name}", ""},
		{"customer.json", "{name: data.nmae}", "bridge.yaml:12:27: inbound.routes.erp.columns.name: the schema has no data.nmae; did you mean name?"},
		{"all.json#/components/schemas/customer", "{name: data.nmae}", "the schema has no data.nmae; did you mean name?"},
		{"all.json#/components/schemas/custmer", "{name: data.name}", "the schema has no /components/schemas/custmer"},
		{"all.json#customer", "{name: data.name}", "what follows # is a path such as"},
		{"wide.json", "{name: data.name}", "the schema has no data.name"},
		{"nowhere.json", "{name: data.name}", "no such file"},
		{"broken.json", "{name: data.name}", "not JSON: byte 8"},
		{`'{"type": 1,}'`, "{name: data.name}", "not JSON: byte 12"},
		{"large.json", "{name: data.name}", "larger than 1048576 bytes"},
	} {
		path := filepath.Join(dir, "bridge.yaml")
		if err := os.WriteFile(path, []byte(lintRoute("schema: "+c.schema, "columns: "+c.columns)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := bridge.LoadConfig(path)
		var ps schema.Problems
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.schema, err)
		case c.want != "" && (!errors.As(err, &ps) || !strings.Contains(err.Error(), c.want) || ps[0].Line == 0):
			t.Errorf("%s: got %v, want %q with a line", c.schema, err, c.want)
		}
	}
}

func TestPlainMessagesAreTheirOwnExample(t *testing.T) {
	text := lintRoute("format: json", "plain_type: t", `example: '{"specversion": "7", "id": "1", "data": {"x": 1}}'`, "columns: {name: data.specversion}")
	if _, err := bridge.ParseConfig("b.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
}

func TestExpressionsAreCheckedWithoutMetadata(t *testing.T) {
	_, err := bridge.ParseConfig("b.yaml", []byte(lintRoute(`columns: {name: 'uper(data.name)', telephone1: 'localDate(data.at, "Mars/Base")'}`)))
	if err == nil || !strings.Contains(err.Error(), "b.yaml:11:28: inbound.routes.erp.columns.name: unknown name uper") || !strings.Contains(err.Error(), "unknown time zone") {
		t.Errorf("got %v", err)
	}
}

func TestCodeTablesOfAllRoutesAreRead(t *testing.T) {
	text := strings.Replace(lintRoute(`columns: {name: 'code("region", data.region)', telephone1: 'code("regio", data.x)'}`), "inbound:\n", "inbound:\n  codes: {region: {N: north}}\n", 1)
	_, err := bridge.ParseConfig("b.yaml", []byte(text))
	if err == nil || err.Error() != "b.yaml:12:71: inbound.routes.erp.columns.telephone1: there is no code table regio; did you mean region?" {
		t.Errorf("got %v", err)
	}
	_, err = bridge.ParseConfig("b.yaml", []byte(strings.Replace(text, "{N: north}", "[N]", 1)))
	if err == nil || !strings.Contains(err.Error(), "inbound.codes.region: expected a mapping of codes to values") {
		t.Errorf("got %v", err)
	}
}

func TestAConfigurationIsCheckedAgainstSavedTables(t *testing.T) {
	tables, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	check := func(text string) string {
		cfg, err := bridge.ParseConfig("b.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return bridge.Check(cfg, tables).Error()
	}
	if got := check(lintRoute("columns: {name: data.name}")); got != "" {
		t.Errorf("got %s", got)
	}
	got := check(lintRoute("columns: {nmae: data.name, revenue: data.revenue}", "lookups: {PrimaryContactId: {contact: {emailaddress1: data.mail}}}") +
		"outbound: {type_prefix: com.contoso.crm, tables: {nowhere: {columns: [name]}, account: {columns: [naem]}}}\n")
	for _, want := range []string{
		"the organization has no table nowhere", "table account has no column naem; did you mean name?",
		"b.yaml:11:17: inbound.routes.erp.columns.nmae: table account has no column nmae; did you mean name?",
		"revenue is money in a currency that the mapping does not name", "no column PrimaryContactId; did you mean primarycontactid?",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// What a message cannot bring about, since the mapping alone says where its data go.
func TestAMappingThatCouldNotWriteWhatItSaysIsRefused(t *testing.T) {
	tables, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	for want, lines := range map[string][]string{
		"column accountnumber is part of the key":             {"columns: {accountnumber: data.other}"},
		"column createdon cannot be written: it is read-only": {"columns: {createdon: data.at}"},
		"column primarycontactid is written already":          {"lookups: {primarycontactid: null}", "on_create: {lookups: {primarycontactid: {contact: {emailaddress1: data.mail}}}}"},
		"primarycontactid is there twice":                     {"lookups: {primarycontactid: null, primarycontactid: {contact: {emailaddress1: data.mail}}}"},
		"no column primarycontactid@odata.bind":               {`columns: {"primarycontactid@odata.bind": data.ref}`},
	} {
		cfg, err := bridge.ParseConfig("b.yaml", []byte(lintRoute(lines...)))
		if err == nil {
			err = bridge.Check(cfg, tables)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", lines, err, want)
		}
	}
}
