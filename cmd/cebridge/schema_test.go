package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge/sim"
	"cebridge/schema"
)

// pulled runs schema pull and loads what it wrote.
func pulled(t *testing.T, args ...string) (tables []*schema.Table, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "schema.yaml")
	code, _, errs := once(t, append([]string{"schema", "pull", "-o", path}, args...)...)
	if code != 0 {
		t.Fatalf("code %d: %s", code, errs)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if tables, err = sim.LoadSchema(data); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return tables, path
}

func tableNames(tables []*schema.Table) []string {
	var list []string
	for _, t := range tables {
		list = append(list, t.LogicalName)
	}
	return list
}

func TestASimulatorWithAPulledSchemaHasTheSameMetadata(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	_, path := pulled(t, "--url", url)
	c, ctx := start(t, "sim", "--port", "0", "--schema", path)
	again := strings.TrimSpace(c.stdout.wait(t, ctx, `http://\S+\n`))
	for _, document := range []string{"/api/data/v9.2/$metadata", "/api/data/v9.2/$metadata?annotations=true"} {
		if diff := cmp.Diff(get(t, url+document), get(t, again+document)); diff != "" {
			t.Errorf("%s (-first +second):\n%s", document, diff)
		}
	}
	first, second := get(t, url+"/api/data/v9.2/EntityDefinitions?$expand=Attributes,Keys,ManyToOneRelationships"), get(t, again+"/api/data/v9.2/EntityDefinitions?$expand=Attributes,Keys,ManyToOneRelationships")
	if diff := cmp.Diff(first, strings.ReplaceAll(second, again, url)); diff != "" {
		t.Errorf("definitions (-first +second):\n%s", diff)
	}
}

func TestPullTakesTheNamedTablesAndTheTargetsOfTheirLookups(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	tables, _ := pulled(t, "--url", url, "--table", "contact,new_region")
	want := []string{"account", "businessunit", "contact", "new_region", "systemuser", "team", "transactioncurrency"}
	if got := tableNames(tables); !slices.Equal(got, want) {
		t.Errorf("tables %v, want %v", got, want)
	}
	catalog := schema.NewCatalog(tables...)
	if n := len(catalog["contact"].Columns); n < 25 {
		t.Errorf("contact has %d columns: it is not whole", n)
	}
	account := catalog["account"]
	if account.Column("accountnumber") == nil || account.Key([]string{"accountnumber"}) == nil || account.Column("telephone1") != nil || account.Column("primarycontactid") != nil {
		t.Errorf("account is not reduced to what a lookup needs: %+v", account)
	}
}

func TestPullFollowsAConfiguration(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	config := file(t, "bridge.yaml", `org: contoso
webapi: {url: "`+url+`", version: v9.1}
nats: {urls: ["nats://127.0.0.1:4222"]}
outbound:
  type_prefix: com.contoso.crm
  tables:
    new_region: {columns: [new_name, new_code]}
`)
	code, out, errs := once(t, "schema", "pull", "-c", config)
	if code != 0 {
		t.Fatalf("code %d: %s", code, errs)
	}
	tables, err := sim.LoadSchema([]byte(out))
	if err != nil || !slices.Contains(tableNames(tables), "new_region") || slices.Contains(tableNames(tables), "account") {
		t.Errorf("tables %v, %v", tableNames(tables), err)
	}
}

func TestPullNeedsNoTableInTheConfiguration(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	config := file(t, "bridge.yaml", "org: contoso\nwebapi: {url: \""+url+"\", version: v9.1}\nnats: embedded\n")
	tables, _ := pulled(t, "-c", config, "--table", "new_region")
	if got := tableNames(tables); !slices.Contains(got, "new_region") || slices.Contains(got, "account") {
		t.Errorf("tables %v", got)
	}
	code, out, errs := once(t, "schema", "pull", "-c", config)
	if code != exitUsage || out != "" || !strings.Contains(errs, "name the tables with --table") {
		t.Errorf("without a table: code %d, %q, %s", code, out, errs)
	}
	if code, _, errs := once(t, "run", "-c", config); code != exitConfig || !strings.Contains(errs, "nothing to do") {
		t.Errorf("run: code %d, %s", code, errs)
	}
	faulty := file(t, "bridge.yaml", "org: contoso\nwebapi: {url: \""+url+"\", versin: v9.1}\nnats: embedded\n")
	if code, _, errs := once(t, "schema", "pull", "-c", faulty, "--table", "new_region"); code != exitConfig || !strings.Contains(errs, "versin: unknown field") {
		t.Errorf("a faulty file: code %d, %s", code, errs)
	}
}

func TestPullSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no source":       {nil, exitUsage, "-c FILE or --url"},
		"two sources":     {[]string{"--url", url, "-c", "x.yaml"}, exitUsage, "-c FILE or --url"},
		"no such table":   {[]string{"--url", url, "--table", "nothere"}, exitFailure, "nothere"},
		"not a name":      {[]string{"--url", url, "--table", "a'b"}, exitFailure, "a'b"},
		"no such file":    {[]string{"-c", "/nowhere.yaml"}, exitConfig, "nowhere"},
		"no such folder":  {[]string{"--url", url, "--table", "new_region", "-o", "/nowhere/x.yaml"}, exitFailure, "nowhere"},
		"not a url":       {[]string{"--url", "ftp://x"}, exitFailure, "ftp"},
		"a wrong version": {[]string{"--url", url, "--version", "v8"}, exitFailure, "v8"},
	} {
		code, out, errs := once(t, append([]string{"schema", "pull"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%s: code %d, want %d: %q %s", name, code, c.code, out, errs)
		}
	}
}

func TestTheSimulatorKeepsItsDataAndSeedsOnlyOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		c, ctx := start(t, "sim", "--port", "0", "--data", dir, "--accounts", "3")
		url := strings.TrimSpace(c.stdout.wait(t, ctx, `http://\S+\n`))
		contains(t, "the stats", get(t, url+"/sim/stats"), `"account":3`)
		c.stop()
		if code := c.end(t); code != 0 {
			t.Errorf("code %d: %s", code, c.stderr)
		}
	}
}

func TestTheSimulatorAsksForALoginWhenToldTo(t *testing.T) {
	t.Parallel()
	c, ctx := start(t, "sim", "--port", "0", "--auth", "client_credentials", "--auth-client-id", "app", "--auth-client-secret", "s3cret", "--limits")
	url := strings.TrimSpace(c.stdout.wait(t, ctx, `http://\S+\n`))
	resp, err := http.Get(url + "/api/data/v9.2/accounts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("no login was asked for: %s", resp.Status)
	}
	if code, _, errs := once(t, "sim", "--port", "0", "--profile", "onprem", "--limits"); code != exitFailure || !strings.Contains(errs, "limits") {
		t.Errorf("limits on premises: code %d: %s", code, errs)
	}
}
