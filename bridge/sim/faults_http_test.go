package sim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const faultFile = `faults:
  - {kind: throttle, retryAfter: 37, facet: time, times: 3}
  - kind: late_apply
    method: PATCH
    table: account
    delay: 1.5s
    probability: 0.25
`

func TestLoadFaultsReadsYAMLAndItsOwnJSON(t *testing.T) {
	t.Parallel()
	want := []Rule{
		{Kind: FaultThrottle, RetryAfter: "37", Facet: "time", Times: 3},
		{Kind: FaultLateApply, Method: "PATCH", Table: "account", Delay: 1500 * time.Millisecond, Probability: 0.25},
	}
	rules, err := LoadFaults([]byte(faultFile))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("YAML (-want +got):\n%s", diff)
	}
	raw, err := json.Marshal(map[string]any{"faults": rules})
	if err != nil {
		t.Fatal(err)
	}
	if rules, err = LoadFaults(raw); err != nil || !cmp.Equal(want, rules) {
		t.Errorf("JSON %s: %v (-want +got):\n%s", raw, err, cmp.Diff(want, rules))
	}
	var decoded struct{ Faults []Rule }
	if err := json.Unmarshal(raw, &decoded); err != nil || !cmp.Equal(want, decoded.Faults) {
		t.Errorf("encoding/json: %v, %+v", err, decoded)
	}
}

func TestLoadFaultsNamesTheFault(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"":                                     "empty",
		"faults: [{kind: hang, dely: 1s}]":     "1:23",
		"faults: [{kind: hang, delay: fast}]":  "invalid duration",
		"faults: [{kind: hang}, {kind: nope}]": `faults[1]: unknown kind "nope"`,
		"faults: [" + strings.Repeat("{kind: hang},", 1001) + "]": "1001 rules",
	} {
		if _, err := LoadFaults([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %q", file, err, want)
		}
	}
}

func TestFaultsAreControlledOverHTTP(t *testing.T) {
	t.Parallel()
	f := NewFaults(1)
	server := httptest.NewServer(http.HandlerFunc(f.serveHTTP))
	defer server.Close()
	call := func(method, query, body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/sim/faults"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(bytes.TrimSpace(answer))
	}
	for _, step := range []struct {
		method, query, body string
		status              int
		answer              string
	}{
		{"GET", "", "", 200, `{"counts":{},"rules":[]}`},
		{"POST", "", `{"kind":"latency","delay":"20ms","times":2}`, 201, `{"ids":[1]}`},
		{"POST", "", faultFile, 201, `{"ids":[2,3]}`},
		{"POST", "", `{"kind":"nope"}`, 400, `{"error":"unknown kind \"nope\""}`},
		{"POST", "", `{"kind":"hang","x":1}`, 400, ""},
		{"POST", "", strings.Repeat("x", maxFaultsFile+1), 400, ""},
		{"DELETE", "?id=3", "", 204, ""},
		{"DELETE", "?id=3", "", 404, `{"error":"no such rule"}`},
		{"DELETE", "?id=x", "", 404, ""},
		{"DELETE", "?id=2", "", 204, ""},
		{"GET", "", "", 200, `{"counts":{"late_apply":0,"latency":0,"throttle":0},"rules":[{"id":1,"rule":{"kind":"latency","times":2,"delay":"20ms"},"seen":0,"fired":0}]}`},
		{"DELETE", "", "", 204, ""},
		{"PUT", "", "", 405, ""},
	} {
		status, answer := call(step.method, step.query, step.body)
		if status != step.status || step.answer != "" && answer != step.answer {
			t.Errorf("%s%s %.60s: %d %s, want %d %s", step.method, step.query, step.body, status, answer, step.status, step.answer)
		}
	}
	if len(f.states()) != 0 {
		t.Error("rules are left")
	}
}

func FuzzLoadFaults(f *testing.F) {
	f.Add([]byte(faultFile))
	f.Add([]byte(`{"faults":[{"kind":"hang","delay":"1s"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := LoadFaults(data)
		if err != nil {
			return
		}
		raw, err := json.Marshal(map[string]any{"faults": rules})
		if err != nil {
			t.Fatal(err)
		}
		again, err := LoadFaults(raw)
		if err != nil || len(again) != len(rules) || len(rules) > 0 && !cmp.Equal(rules, again) {
			t.Errorf("%s does not come back: %v", raw, err)
		}
	})
}
