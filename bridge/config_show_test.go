package bridge_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cebridge/bridge"
)

// showAgain shows a file, and reads what was shown.
func showAgain(t *testing.T, path string) (text string, again bridge.Config) {
	t.Helper()
	shown, err := bridge.ShowConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	text = string(shown.YAML())
	again, err = bridge.ParseConfig("shown.yaml", []byte(strings.ReplaceAll(text, bridge.HiddenSecret, "${CEBRIDGE_TEST_SECRET}")))
	if err != nil {
		t.Fatalf("what is shown is no configuration: %v\n%s", err, text)
	}
	var fromYAML, fromJSON any
	doc, err := shown.JSON()
	if err == nil {
		err = json.Unmarshal(doc, &fromJSON)
	}
	if err == nil {
		doc, err = yaml.YAMLToJSON([]byte(text))
	}
	if err == nil {
		err = json.Unmarshal(doc, &fromYAML)
	}
	if diff := cmp.Diff(fromYAML, fromJSON); err != nil || diff != "" {
		t.Errorf("%v; the two forms differ: %s", err, diff)
	}
	return text, again
}

func TestAShownConfigurationMeansTheSame(t *testing.T) {
	t.Setenv("CEBRIDGE_TEST_SECRET", "s3cret: #x0123456789abcdef")
	t.Setenv("CEBRIDGE_TEST_KEY", "s3cret: #x0123456789abcdef")
	t.Setenv("CEBRIDGE_TEST_NAME", `it's "a": ${b} #c`)
	odd := filepath.Join(t.TempDir(), "odd.yaml")
	if err := os.WriteFile(odd, []byte(`org: "123"
webapi:
  url: https://contoso.example
  auth: {method: ntlm, user: '${CEBRIDGE_TEST_NAME}', password: "${CEBRIDGE_TEST_SECRET}"}
nats: embedded
outbound: {type_prefix: a.b, tables: {account: {columns: [name], only_changes: {}, filter: 'record.name != "$${"'}}}
inbound:
  codes: {c: {"07": A, 7: 1000, 'on': true, "": null}}
  routes:
    "on":
      stream: "0x1"
      start: new
      when: |
        type == "a" &&
          data.x != "$${"
      example: {x: {y: [1.50, "07"], $$: "$${x}"}, items: [], guid: 0000000a-0000-0000-0000-00000000000b}
      writes:
        - for_each: data.items
          table: account
          key: {accountnumber: item.id}
          columns: {name: '"$${CEBRIDGE_TEST_SECRET}"', description: '"Ä€<é>\n\t"', statecode: 0, revenue: 1.50, donotemail: true, fax: null, "ownerid": '"~"'}
          lookups: {primarycontactid: {contact: {emailaddress1: item.mail}}}
        - {table: contact, id: data.guid, operation: delete}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join("testdata", "config", "full.yaml"), odd} {
		want, err := bridge.LoadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		text, got := showAgain(t, path)
		if diff := cmp.Diff(want, got, append(sameConfig, cmpopts.IgnoreFields(bridge.InboundConfig{}, "Codes"))...); diff != "" {
			t.Errorf("%s: it means another thing (-file +shown):\n%s", path, diff)
		}
		if strings.Contains(text, "s3cret") {
			t.Errorf("%s: the secret is shown:\n%s", path, text)
		}
		if n := strings.Count(text, bridge.HiddenSecret); n == 0 {
			t.Errorf("%s: no secret is redacted", path)
		}
		// Shown once more it is the same text: nothing was lost in between.
		second := filepath.Join(t.TempDir(), "shown.yaml")
		if err := os.WriteFile(second, []byte(strings.ReplaceAll(text, bridge.HiddenSecret, "${CEBRIDGE_TEST_SECRET}")), 0o600); err != nil {
			t.Fatal(err)
		}
		if again, _ := showAgain(t, second); again != text {
			t.Errorf("%s: shown again it differs:\n%s", path, cmp.Diff(text, again))
		}
	}
}

func TestAShownConfigurationHasEveryDefault(t *testing.T) {
	text, err := yaml.Marshal(with("nats", "embedded"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err := bridge.ShowConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal(shown.YAML(), &got); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, row := range settings(t) {
		m := code.FindStringSubmatch(row.preset)
		if m == nil || m[1] == "[]" || strings.HasSuffix(row.path, ".operation") {
			continue // not there: an empty list, and what is only read of parts that are there
		}
		v, found := at(got, row.path)
		if _, there := at(got, parent(row.path)); !found && !there {
			continue // a part without which it means nothing
		}
		want := shownAlone(t, row.path, m[1])
		if v != want {
			t.Errorf("%s is shown as %v, the default is %v", row.path, v, want)
		}
		checked++
	}
	if checked < 30 {
		t.Errorf("only %d defaults", checked)
	}
	if bytes.Contains(shown.YAML(), []byte("password")) {
		t.Error("a secret that is not set is shown")
	}
}

// shownAlone is how a setting is shown that is written as that text.
func shownAlone(t *testing.T, path, text string) any {
	t.Helper()
	root, err := yaml.Marshal(with(path, literal(t, text)))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "one.yaml")
	if err := os.WriteFile(file, root, 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err := bridge.ShowConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(shown.YAML(), &v); err != nil {
		t.Fatal(err)
	}
	v, found := at(v, path)
	if !found {
		t.Errorf("%s is not shown", path)
	}
	return v
}

// at is the value at a path; the root is at "".
func at(v any, path string) (any, bool) {
	if path == "" {
		return v, true
	}
	for name := range strings.SplitSeq(path, ".") {
		below, _ := v.(map[string]any)
		var there bool
		if v, there = below[name]; !there {
			return nil, false
		}
	}
	return v, true
}

func TestAFaultyFileIsNotShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte("org: contoso\nnats: {password: hunter2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err := bridge.ShowConfig(path)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("shown %v, %v", shown, err)
	}
}
