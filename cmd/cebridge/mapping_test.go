package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = "../../examples/mapping"

func TestTheExampleOfMappingTestsPasses(t *testing.T) {
	code, out, errs := once(t, "map", "test", "-c", filepath.Join(example, "bridge.yaml"))
	if code != exitOK || out != "4 tests, 0 failed\n" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
}

// copied is a copy of the example that a test may change.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAChangedMappingFailsItsTestsWithTheDifference(t *testing.T) {
	dir := copied(t)
	config := filepath.Join(dir, "bridge.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "name: data.name", `name: '"x " + data.name'`, 1)
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := once(t, "map", "test", "-c", config)
	if code != exitCheck {
		t.Errorf("code %d", code)
	}
	contains(t, "the difference", out, "FAIL erp-customers/customer\n", "\n  -   \"name\": \"Contoso\",\n  +   \"name\": \"x Contoso\",\n", "\n    PATCH ", "\n4 tests, 3 failed\n")

	code, out, errs := once(t, "map", "test", "-c", config, filepath.Join(dir, "tests"), "--update")
	if code != exitOK || out != "4 tests, 0 failed, 3 golden files written\n" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	if code, out, _ = once(t, "map", "test", "-c", config, filepath.Join(dir, "tests")); code != exitOK || out != "4 tests, 0 failed\n" {
		t.Errorf("after the update: code %d: %s", code, out)
	}
}

func TestTestsThatTestNothingAreRefused(t *testing.T) {
	dir := copied(t)
	config, tests := filepath.Join(dir, "bridge.yaml"), filepath.Join(dir, "tests", "erp-customers")
	if err := os.Remove(filepath.Join(tests, "customer.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(tests, "another-type.golden")); err != nil {
		t.Fatal(err)
	}
	code, out, _ := once(t, "map", "test", "-c", config)
	if code != exitCheck {
		t.Errorf("code %d", code)
	}
	contains(t, "the list", out, "there is no event customer.json", "there is no another-type.golden yet", "4 tests, 2 failed")

	code, _, errs := once(t, "map", "test", "-c", config, t.TempDir())
	if code != exitFailure || !strings.Contains(errs, "has no tests") {
		t.Errorf("an empty directory: code %d: %s", code, errs)
	}
	if code, _, errs = once(t, "map", "test", "-c", config, filepath.Join(dir, "nowhere")); code != exitFailure || !strings.Contains(errs, "nowhere") {
		t.Errorf("no directory: code %d: %s", code, errs)
	}
	if err := os.Rename(tests, filepath.Join(dir, "tests", "erp-customer")); err != nil {
		t.Fatal(err)
	}
	if code, _, errs = once(t, "map", "test", "-c", config); code != exitFailure || !strings.Contains(errs, "does not have") {
		t.Errorf("another route: code %d: %s", code, errs)
	}
}

func TestMapTryPrintsTheRequestOrWhyThereIsNone(t *testing.T) {
	config, tables := filepath.Join(example, "bridge.yaml"), filepath.Join(example, "tests", "schema.yaml")
	try := func(event string, more ...string) (int, string, string) {
		if event != "" {
			event = filepath.Join(example, "tests", "erp-customers", event)
			more = append(more, event)
		}
		return once(t, append([]string{"map", "try", "-c", config, "--schema", tables}, more...)...)
	}
	code, out, errs := try("customer.json")
	golden, err := os.ReadFile(filepath.Join(example, "tests", "erp-customers", "customer.golden"))
	if code != exitOK || err != nil || out != string(golden) {
		t.Errorf("code %d, %v: %s%s", code, err, out, errs)
	}
	code, out, _ = try("customer.json", "--raw", "--route", "erp-customers")
	if code != exitOK || !strings.Contains(out, "\n"+`{"name":"Contoso","statecode":0,`) {
		t.Errorf("raw: code %d: %s", code, out)
	}
	code, out, _ = try("inactive-with-a-slash.json", "--output", "json")
	var tried struct {
		Outcome, Revision string
		Writes            []struct {
			Lane     string
			Existing struct {
				Replaces int
				Requests []struct {
					Method, Path string
					Header       map[string]string
					Body         map[string]any
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &tried); code != exitOK || err != nil || len(tried.Writes) != 1 || len(tried.Writes[0].Existing.Requests) != 3 {
		t.Fatalf("json: code %d, %v: %s", code, err, out)
	}
	last := tried.Writes[0].Existing.Requests[2]
	if tried.Outcome != "mapped" || last.Method != "PATCH" || last.Header["If-Match"] != "*" || last.Body["ownerid@odata.bind"] != "/systemusers({systemuserid})" {
		t.Errorf("%+v", tried)
	}
	if code, out, errs = try("another-type.json"); code != exitCheck || !strings.Contains(out, "\nunmatched: ") || !strings.Contains(errs, "unmatched") {
		t.Errorf("unmatched: code %d: %s%s", code, out, errs)
	}
	if code, out, _ = try("without-a-name.json"); code != exitCheck || !strings.Contains(out, "columns.name ("+config+":19:") {
		t.Errorf("rejected: code %d: %s", code, out)
	}
	for _, args := range [][]string{{}, {"--seq", "1", "x.json"}, {"--stream", "ERP", "x.json"}, {"--route", "erp-customer", "x.json"}, {"--seq", "1", "--subject", "a"}} {
		if code, _, errs := try("", args...); code != exitUsage {
			t.Errorf("%v: code %d: %s", args, code, errs)
		}
	}
	if code, _, errs := try("", "nowhere.json"); code != exitFailure || !strings.Contains(errs, "nowhere.json") {
		t.Errorf("no event: code %d: %s", code, errs)
	}
}

func TestMapTryTakesAMessageFromTheStreamAndLeavesItThere(t *testing.T) {
	t.Parallel()
	s, url := simulator(t)
	path, _ := running(t, s, url)
	sendEvents(t, path, `{"id":"M1","name":"Contoso"}`)
	code, out, errs := once(t, "map", "try", "-c", path, "--seq", "1", "--log-level", "error")
	if code != exitOK {
		t.Errorf("code %d: %s", code, errs)
	}
	contains(t, "the trial", out, "event 0 t\n", "PATCH /api/data/v9.2/accounts(accountnumber='M1')\n", "1 request in place of 2 calls\n")
	code, _, errs = once(t, "map", "try", "-c", path, "--stream", "ERP", "--seq", "2", "--log-level", "error")
	if code != exitFailure || !strings.Contains(errs, "stream ERP has no message 2: it holds 1 to 1") {
		t.Errorf("code %d: %s", code, errs)
	}
	if code, _, errs = once(t, "map", "try", "-c", path, "--stream", "NONE", "--seq", "2", "--log-level", "error"); code != exitFailure || !strings.Contains(errs, "there is no stream NONE") {
		t.Errorf("code %d: %s", code, errs)
	}
}

func TestALineDiffShowsWhatIsOnEitherSide(t *testing.T) {
	for _, c := range [][3]string{
		{"a\nb\nc\n", "a\nx\nc\n", "    a\n  - b\n  + x\n    c\n"},
		{"", "a\n", "  + a\n"},
		{"a\nb\n", "b\n", "  - a\n    b\n"},
		{"a\n", "a\n", "    a\n"},
	} {
		if got := lineDiff(c[0], c[1]); got != c[2] {
			t.Errorf("%q to %q: %q", c[0], c[1], got)
		}
	}
	long := strings.Repeat("x\n", maxDiffLines+1)
	if got := lineDiff(long, "y\n"); strings.Count(got, "\n") != maxDiffLines+2 {
		t.Errorf("%d lines", strings.Count(got, "\n"))
	}
}
