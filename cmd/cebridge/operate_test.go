package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/admin"
	"cebridge/bridge/sim"
)

// running starts a bridge by command line, with a NATS port for the other commands,
// and returns its configuration file.
func running(t *testing.T, s *sim.Server, url string) (path, stream string) {
	t.Helper()
	adminAddr, natsAddr := freeAddress(t), freeAddress(t)
	path = file(t, "bridge.yaml", fmt.Sprintf(`org: contoso
webapi: {url: %q}
nats: {embedded: {dir: %q, port: %s}}
outbound:
  type_prefix: com.contoso.crm
  tables: {account: {columns: [name, accountnumber], poll: 100ms}}
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    erp: {stream: ERP, start: all, table: account, key: {accountnumber: data.id}, columns: {name: data.name}}
admin: {listen: %q}
`, url, t.TempDir(), natsAddr[strings.LastIndexByte(natsAddr, ':')+1:], adminAddr))
	c, ctx := start(t, "run", "-c", path)
	c.stderr.wait(t, ctx, `"msg":"bridge started"`)
	return path, adminAddr
}

func TestTheCommandsWorkBesideARunningBridge(t *testing.T) {
	t.Parallel()
	s, url := simulator(t)
	first, err := s.Insert("account", map[string]any{"name": "Contoso", "accountnumber": "C1"})
	if err != nil {
		t.Fatal(err)
	}
	path, _ := running(t, s, url)

	// tail shows what was there and what comes.
	tail, ctx := start(t, "tail", "-c", path, "--table", "account", "--since", "1h")
	tail.stdout.wait(t, ctx, `#\d+ loaded  account `+first+` version \d+\n`)
	if err := s.Update("account", first, map[string]any{"name": "Contoso Ltd"}); err != nil {
		t.Fatal(err)
	}
	tail.stdout.wait(t, ctx, `updated account `+first+` version \d+  changed: .*name`)
	if strings.Contains(tail.stdout.String(), "Contoso Ltd") {
		t.Error("the text form of tail shows content")
	}
	tail.stop()
	if code := tail.end(t); code != 0 {
		t.Errorf("tail ended with %d", code)
	}

	code, out, errs := once(t, "status", "-c", path)
	if code != 0 {
		t.Errorf("status: code %d: %s", code, errs)
	}
	contains(t, "status", out, "organization contoso, told by the bridge", "table account", "following", "1 loaded, 1 updated", "route erp")
	code, out, _ = once(t, "status", "-c", path, "--stream", "--output", "json")
	var v struct {
		Source string
		admin.Status
	}
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v.Source != "stream" || len(v.Tables) != 1 ||
		v.Tables[0].State != "following" || v.Tables[0].Checkpoint.Sequence == 0 || len(v.Routes) != 1 || v.Routes[0].State != "exists" {
		t.Errorf("status from the stream: code %d, %v: %s", code, err, out)
	}

	code, out, errs = once(t, "compare", "-c", path, "--log-level", "error")
	if code != 0 || errs != "" {
		t.Errorf("compare: code %d: %s", code, errs)
	}
	contains(t, "compare", out, "account: 1 records, 1 published, 0 missing, 0 extra, 0 different (following")

	code, out, errs = once(t, "replay", "-c", path, "--table", "account", "--stdout")
	if code != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"id":"account/`+first+`/`) {
		t.Errorf("replay: code %d: %s%s", code, out, errs)
	}
	code, out, errs = once(t, "replay", "-c", path, "--table", "account", "--record", first, "--to", "elsewhere", "--output", "json")
	var done bridge.Replayed
	if err := json.Unmarshal([]byte(out), &done); code != 0 || err != nil || done.Events != 2 || done.Confirmed {
		t.Errorf("replay: code %d, %v: %s%s", code, err, out, errs)
	}

	code, out, errs = once(t, "pause", "-c", path, "--table", "account")
	if code != 0 || out != "account: paused\n" {
		t.Errorf("pause: code %d: %s%s", code, out, errs)
	}
	second, err := s.Insert("account", map[string]any{"name": "Fabrikam"})
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs = once(t, "compare", "-c", path, "--settle", "1ms", "--output", "json", "--log-level", "error")
	var c bridge.Comparison
	if err := json.Unmarshal([]byte(out), &c); code != 4 || err != nil || c.Tables[0].Missing != 1 || c.Tables[0].Differences[0].ID != second {
		t.Errorf("compare while paused: code %d, %v: %s", code, err, out)
	}
	contains(t, "compare while paused", errs, "cebridge: the check failed: ")
	if code, out, errs = once(t, "resume", "-c", path, "--table", "account"); code != 0 {
		t.Errorf("resume: code %d: %s%s", code, out, errs)
	}

	if err := s.Delete("account", first); err != nil {
		t.Fatal(err)
	}
	code, out, errs = once(t, "compare", "-c", path, "--log-level", "error") // waits for the delete
	if code != 0 {
		t.Errorf("compare after the delete: code %d: %s%s", code, out, errs)
	}
	code, out, errs = once(t, "erase", "-c", path, "--table", "account", "--record", first, "--yes")
	var receipt bridge.Receipt
	if err := json.Unmarshal([]byte(out), &receipt); code != 0 || err != nil || receipt.Events != 3 || receipt.Marker == 0 || len(receipt.NotReached) == 0 {
		t.Errorf("erase: code %d, %v: %s%s", code, err, out, errs)
	}
	if code, out, errs = once(t, "resync", "-c", path, "--table", "account"); code != 0 || !strings.HasPrefix(out, "account: ") {
		t.Errorf("resync: code %d: %s%s", code, out, errs)
	}
}

func TestAStoreInUseIsNotOpenedASecondTime(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	path := runConfig(t, url, freeAddress(t))
	c, ctx := start(t, "run", "-c", path)
	c.stderr.wait(t, ctx, `"msg":"bridge started"`)
	code, _, errs := once(t, "status", "-c", path, "--stream")
	if code != 1 {
		t.Errorf("code %d", code)
	}
	contains(t, "stderr", errs, "is in use by another process", "nats.embedded.port")
	c.stop()
	c.end(t)
	// With the bridge gone the command may open the store itself.
	code, out, errs := once(t, "status", "-c", path)
	if code != 0 {
		t.Errorf("code %d: %s", code, errs)
	}
	contains(t, "stdout", out, "told by the stream", "table account")
	contains(t, "stderr", errs, "reading the stream instead")
}

func TestLintNamesEveryFaultWithoutConnecting(t *testing.T) {
	t.Parallel()
	good := file(t, "good.yaml", `org: contoso
webapi: {url: "https://contoso.crm4.dynamics.com"}
nats: {urls: ["nats://nowhere.contoso.example:4222"]}
outbound: {type_prefix: com.contoso.crm, tables: {account: {columns: [name]}}}
`)
	code, out, errs := once(t, "lint", "-c", good)
	if code != 0 || errs != "" || out != good+": ok: organization contoso, 1 tables, 0 routes\n" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	bad := file(t, "bad.yaml", "org: con toso\nwebapi: {}\nnats: embedded\noutbound: {tables: {account: {}}}\n")
	code, out, errs = once(t, "lint", "-c", bad)
	if code != 78 || out != "" {
		t.Errorf("code %d, stdout %q", code, out)
	}
	contains(t, "stderr", errs, bad+":1:6: org: ", "webapi.url: required", "outbound.type_prefix: required", "outbound.tables.account.columns: required")
}

func TestLintHoldsAConfigurationAgainstASchemaFile(t *testing.T) {
	t.Parallel()
	const head = "org: contoso\nwebapi: {url: \"https://contoso.crm4.dynamics.com\"}\nnats: embedded\n"
	tables := file(t, "tables.yaml", `tables:
  - logicalName: account
    entitySet: accounts
    primaryId: accountid
    columns:
      - {logicalName: accountid, type: Uniqueidentifier, createOnly: true, required: true}
      - {logicalName: name, type: String, maxLength: 160}
      - {logicalName: accountnumber, type: String, maxLength: 20}
    keys:
      - {logicalName: new_key, columns: [accountnumber], status: Active}
`)
	route := func(columns string) string {
		return file(t, "bridge.yaml", head+"inbound: {routes: {erp: {stream: ERP, start: new, table: account, key: {accountnumber: data.id}, columns: "+columns+"}}}\n")
	}
	good := route("{name: data.name}")
	code, out, errs := once(t, "lint", "-c", good, "--schema", tables)
	if code != 0 || errs != "" || out != good+": ok: organization contoso, 0 tables, 1 routes, which fit "+tables+"\n" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	bad := route("{nmae: data.name}")
	code, out, errs = once(t, "lint", "-c", bad, "--schema", tables)
	if code != 78 || out != "" {
		t.Errorf("code %d, stdout %q", code, out)
	}
	contains(t, "stderr", errs, bad+":4:108: ", "table account has no column nmae; did you mean name?")
	if code, _, errs = once(t, "lint", "-c", good, "--schema", tables+".nowhere"); code != 1 {
		t.Errorf("a schema file that is not there gives %d: %s", code, errs)
	}
}

func TestTheCommandsRefuseWrongFlagsBeforeTheyConnect(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"lint":                                      "-c FILE",
		"status -c x --output xml":                  "--output",
		"tail":                                      "-c FILE",
		"tail -c x --since yesterday":               "--since",
		"compare -c x --settle -1s":                 "--settle",
		"replay -c x":                               "--table",
		"replay -c x --table a":                     "--to SUBJECT or --stdout",
		"replay -c x --table a --to b --stdout":     "--to SUBJECT or --stdout",
		"replay -c x --table a --to b --rate -1":    "--rate",
		"replay -c x --table a --to b --until then": "--until",
		"erase -c x --table a --record b":           "--yes",
		"erase -c x --yes":                          "--record ID",
		"pause -c x":                                "--table",
	} {
		code, out, errs := once(t, strings.Fields(args)...)
		if code != 2 || out != "" {
			t.Errorf("%q: code %d, stdout %q", args, code, out)
		}
		contains(t, args, errs, "cebridge: usage: ", want)
	}
}
