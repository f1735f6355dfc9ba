package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/schema"
)

func TestPlanShowsAndApplyMakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s, url := simulator(t)
	if err := s.AlterTable("account", false, func(t *schema.Table) error { t.ChangeTracking = false; return nil }); err != nil {
		t.Fatal(err)
	}
	config := func(provision string, history int, dir string) string {
		return file(t, "plan.yaml", fmt.Sprintf(`org: contoso
webapi: {url: %q}
nats: {embedded: {dir: %q}}
provision: %s
stream: {history_per_record: %d}
outbound: {type_prefix: com.contoso.crm, tables: {account: {columns: [name]}}}
inbound:
  streams: {ERP: {subjects: [erp.>]}}
`, url, dir, provision, history))
	}
	dir := t.TempDir()
	path := config("apply", 8, dir)

	code, out, errs := once(t, "plan", "-c", path)
	if code != 3 {
		t.Errorf("plan: code %d: %s", code, errs)
	}
	if want := `change_tracking account: switch change tracking on (online it cannot be switched off again; the change is published to all users)
stream CRM_CONTOSO: create it
stream CRM_CONTOSO_DEAD: create it
stream ERP: create it
`; out != want {
		t.Errorf("plan:\n%s\nwant:\n%s", out, want)
	}
	if code, _, errs := once(t, "apply", "-c", path); code != 2 || !strings.Contains(errs, "--yes") {
		t.Errorf("apply without --yes: code %d: %s", code, errs)
	}
	if code, _, errs := once(t, "apply", "-c", config("verify", 8, dir), "--yes"); code != 1 || !strings.Contains(errs, "provision: verify") {
		t.Errorf("apply against the configuration: code %d: %s", code, errs)
	}
	code, out, errs = once(t, "apply", "-c", path, "--yes", "--output", "json")
	var made []bridge.Change
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || len(made) != 4 {
		t.Errorf("apply: code %d, %v: %s%s", code, err, out, errs)
	}
	if code, out, errs = once(t, "plan", "-c", path); code != 0 || out != "nothing to change\n" {
		t.Errorf("plan afterwards: code %d: %s%s", code, out, errs)
	}

	// Lowering the history deletes some of it: that is for a person.
	less := config("apply", 2, dir)
	code, out, _ = once(t, "plan", "-c", less)
	if code != 3 || out != "stream CRM_CONTOSO: max_msgs_per_subject is 8, want 2 (lowering it deletes history); a person must decide\n" {
		t.Errorf("plan with less history: code %d: %s", code, out)
	}
	if code, _, errs := once(t, "apply", "-c", less, "--yes"); code != 1 || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("apply with less history: code %d: %s", code, errs)
	}
}

func TestPlanOfAConfigurationThatDoesNotFitEndsWith78(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	path := file(t, "unfit.yaml", fmt.Sprintf(`org: contoso
webapi: {url: %q}
nats: {embedded: {dir: %q}}
outbound: {type_prefix: com.contoso.crm, tables: {account: {columns: [nmae]}}}
`, url, t.TempDir()))
	code, _, errs := once(t, "plan", "-c", path, "--log-level", "error")
	if code != 78 {
		t.Errorf("code %d", code)
	}
	contains(t, "stderr", errs, path+":4:", "table account has no column nmae")
}

func TestApplyDefinesAKeyAndNamesWhyItFailed(t *testing.T) {
	t.Parallel()
	s, url := simulator(t)
	path := file(t, "key.yaml", fmt.Sprintf(`org: contoso
webapi: {url: %q, publisher_prefix: contoso}
nats: {embedded: {dir: %q}}
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes: {erp: {stream: ERP, start: new, table: account, key: {fax: data.id}, columns: {name: data.name}}}
`, url, t.TempDir()))
	code, out, errs := once(t, "plan", "-c", path, "--output", "json")
	var plan []bridge.Change
	if err := json.Unmarshal([]byte(out), &plan); code != 3 || err != nil || len(plan) != 5 || plan[0].Kind != "alternate_key" ||
		plan[0].What != "define alternate key contoso_cebridge_fax for route erp" {
		t.Fatalf("plan: code %d, %v: %s%s", code, err, out, errs)
	}
	var last string
	for range 2 {
		id, err := s.Insert("account", map[string]any{"name": "x", "fax": "1"})
		if err != nil {
			t.Fatal(err)
		}
		last = id
	}
	code, out, errs = once(t, "apply", "-c", path, "--yes")
	if code != 1 || out != "" {
		t.Errorf("apply with duplicates: code %d: %s", code, out)
	}
	contains(t, "stderr", errs, "alternate_key account (fax): done: define", "records share a value", "apply --reactivate")
	code, out, _ = once(t, "plan", "-c", path)
	if code != 3 {
		t.Errorf("plan of a failed key: code %d", code)
	}
	contains(t, "plan", out, "the index of contoso_cebridge_fax for route erp has failed", "a person must decide")
	if err := s.Delete("account", last); err != nil {
		t.Fatal(err)
	}
	if code, out, errs = once(t, "apply", "-c", path, "--yes", "--reactivate"); code != 0 {
		t.Errorf("reactivate: code %d: %s%s", code, out, errs)
	}
	if code, out, _ = once(t, "plan", "-c", path); code != 0 || out != "nothing to change\n" {
		t.Errorf("plan afterwards: code %d: %s", code, out)
	}
	if code, _, errs = once(t, "apply", "-c", path, "--yes", "--timeout", "0s"); code != 2 || !strings.Contains(errs, "--timeout") {
		t.Errorf("no time: code %d: %s", code, errs)
	}
}
