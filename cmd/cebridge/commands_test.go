package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
)

func TestTheDemoShowsRealTrafficInBothDirections(t *testing.T) {
	t.Parallel()
	c, ctx := start(t, "demo", "--pace", "100ms", "--log-level", "error")
	for _, pattern := range []string{
		`(?m)^simulator +http://127\.0\.0\.1:\d+/api/data/v9\.2/$`,
		`(?m)^NATS +nats://127\.0\.0\.1:\d+`,
		`(?m)^admin +http://127\.0\.0\.1:\d+/status\.json`,
		`(?m)^CRM -> NATS  loaded +crm\.demo\.account\.[0-9a-f-]{36} `,
		`(?m)^CRM -> NATS  created +crm\.demo\.account\.`,
		`(?m)^CRM -> NATS  updated +crm\.demo\.account\..* changed: .*telephone1`,
		`(?m)^CRM -> NATS  deleted +crm\.demo\.account\.`,
		`(?m)^NATS -> CRM  written +erp\.customer\.changed #\d+$`,
		`(?m)^ +PATCH accounts\(accountnumber='ABC123'\)$`,
		`"primarycontactid@odata\.bind":"/contacts\(emailaddress1='contact%40company\.com'\)"`,
		`(?m)^ +(created|updated) in 1 request$`,
		`(?m)^NATS -> CRM  rejected +erp\.customer\.changed #\d+$`,
		`(?m)^ +dead letter: invalid: `,
	} {
		c.stdout.wait(t, ctx, pattern)
	}
	c.stop()
	code := c.end(t)
	last := `(?m)^out: [1-9]\d* loaded, [1-9]\d* created, [1-9]\d* updated, [1-9]\d* deleted +in: [1-9]\d* upserts, [1-9]\d* dead letters$`
	if out := c.stdout.String(); code != 0 || !regexp.MustCompile(last).MatchString(out) {
		t.Errorf("code %d, nothing like %s in\n%s", code, last, out)
	}
}

func TestTheDemoEndsByItselfAfterItsDuration(t *testing.T) {
	t.Parallel()
	if code, out, errs := once(t, "demo", "--duration", "100ms", "--log-level", "error"); code != 0 {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
}

func TestThePrintedConfigurationOfTheDemoIsOne(t *testing.T) {
	t.Parallel()
	code, out, _ := once(t, "demo", "--print-config")
	if code != 0 {
		t.Errorf("code %d", code)
	}
	if cfg, err := bridge.ParseConfig("stdout", []byte(out)); err != nil || cfg.Org != "demo" {
		t.Errorf("organization %q, %v", cfg.Org, err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, resp.Status, err, body)
	}
	return string(body)
}

func TestTheSimulatorServesUntilItIsTold(t *testing.T) {
	t.Parallel()
	faults := file(t, "faults.yaml", "faults:\n  - {kind: throttle, method: DELETE}\n")
	c, ctx := start(t, "sim", "--port", "0", "--accounts", "3", "--faults", faults)
	url := strings.TrimSpace(c.stdout.wait(t, ctx, `http://[^\n]+\n`))
	contains(t, "WhoAmI", get(t, url+"/api/data/v9.2/WhoAmI"), "OrganizationId")
	contains(t, "accounts", get(t, url+"/api/data/v9.2/accounts?$select=name"), "Contoso Branch 3")
	contains(t, "the faults", get(t, url+"/sim/faults"), `"kind":"throttle"`)
	contains(t, "the log", get(t, url+"/sim/log"), `"kind":"commit"`)
	var stats sim.Stats
	if err := json.Unmarshal([]byte(get(t, url+"/sim/stats")), &stats); err != nil || stats.Rows["account"] != 3 {
		t.Errorf("%d accounts, %v", stats.Rows["account"], err)
	}
	c.stop()
	if code := c.end(t); code != 0 {
		t.Errorf("code %d after the signal", code)
	}
	if _, err := http.Get(url + "/api/data/v9.2/WhoAmI"); err == nil {
		t.Error("it still answers")
	}
}

func TestTheSimulatorTakesProfileOrganizationAndSchema(t *testing.T) {
	t.Parallel()
	schema := file(t, "schema.yaml", `tables:
  - logicalName: new_machine
    schemaName: new_Machine
    entitySet: new_machines
    primaryId: new_machineid
    columns:
      - {logicalName: new_machineid, schemaName: new_MachineId, type: Uniqueidentifier}
`)
	c, ctx := start(t, "sim", "--port", "0", "--profile", "onprem", "--org", "FABRIKAM", "--schema", schema)
	url := strings.TrimSpace(c.stdout.wait(t, ctx, `http://[^\n]+\n`))
	if !strings.HasSuffix(url, "/FABRIKAM") {
		t.Errorf("URL %s", url)
	}
	get(t, url+"/api/data/v9.1/new_machines")
}

func TestAFaultyFileOfTheSimulatorEndsWith78AndThePlace(t *testing.T) {
	t.Parallel()
	for flag, text := range map[string]string{
		"--schema": "tables:\n  - {logicalNaem: x}\n",
		"--faults": "faults:\n  - {knid: throttle}\n",
	} {
		code, _, errs := once(t, "sim", "--port", "0", flag, file(t, "faulty.yaml", text))
		if code != 78 {
			t.Errorf("%s: code %d", flag, code)
		}
		contains(t, flag, errs, "2:6: ")
	}
	if code, _, errs := once(t, "sim", "--port", "0", "--accounts", "-1"); code != 2 || !strings.Contains(errs, "--accounts -1") {
		t.Errorf("accounts -1: code %d, %s", code, errs)
	}
	if code, _, errs := once(t, "sim", "--port", "0", "--schema", "/nowhere.yaml"); code != 1 {
		t.Errorf("code %d: %s", code, errs)
	}
}
