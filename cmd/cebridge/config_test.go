package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConfigShowNamesDefaultsAndHidesSecrets(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_KEY", "hunter2-hunter2")
	path := file(t, "bridge.yaml", `org: contoso
webapi: {url: "https://contoso.example"}
nats: embedded
outbound: {type_prefix: com.contoso, tables: {account: {columns: [name]}}}
doorbell: {listen: "127.0.0.1:0", key: "${CEBRIDGE_TEST_KEY}"}
`)
	code, out, errs := once(t, "config", "show", "-c", path)
	if code != exitOK || errs != "" {
		t.Fatalf("code %d: %s", code, errs)
	}
	contains(t, "the configuration", out, "prefix: crm\n", "max_store: 10GiB\n", "key: <redacted>\n", "poll: 5s\n")
	if strings.Contains(out, "hunter2") {
		t.Errorf("the secret is shown:\n%s", out)
	}
	code, out, _ = once(t, "config", "show", "-c", path, "--output", "json")
	var shown struct {
		Doorbell struct{ Key, Path string }
		Stream   struct{ Replicas int }
	}
	if err := json.Unmarshal([]byte(out), &shown); code != exitOK || err != nil {
		t.Fatalf("code %d, %v", code, err)
	}
	if shown.Doorbell.Key != "<redacted>" || shown.Doorbell.Path != "/doorbell" || shown.Stream.Replicas != 1 {
		t.Errorf("%+v", shown)
	}
	if code, _, errs = once(t, "config", "show", "-c", file(t, "bad.yaml", "orgg: x\n")); code != exitConfig || !strings.Contains(errs, "did you mean org?") {
		t.Errorf("a faulty file: code %d: %s", code, errs)
	}
	if code, _, _ = once(t, "config", "show"); code != exitUsage {
		t.Errorf("without a file: code %d", code)
	}
}

func TestConfigSchemaIsOneForEditors(t *testing.T) {
	code, out, errs := once(t, "config", "schema")
	var doc struct {
		Schema     string `json:"$schema"`
		Properties map[string]struct {
			Description string
		}
		AdditionalProperties *bool
	}
	if err := json.Unmarshal([]byte(out), &doc); code != exitOK || err != nil {
		t.Fatalf("code %d, %v: %s", code, err, errs)
	}
	if doc.Schema != "https://json-schema.org/draft/2020-12/schema" || doc.AdditionalProperties == nil || *doc.AdditionalProperties {
		t.Errorf("schema %s, additional properties %v", doc.Schema, doc.AdditionalProperties)
	}
	if d := doc.Properties["org"].Description; !strings.HasPrefix(d, "short name of the organization") {
		t.Errorf("org is explained as %q", d)
	}
}
