package sim

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// script adds rules as a caller does: from YAML, over POST /sim/faults.
func script(t failer, s *Server, rules string) answer {
	t.Helper()
	return sendURL(t, s, http.MethodPost, "http://org.example/sim/faults", "faults:\n"+rules)
}

// logged counts the entries of the write log with that kind and operation.
func logged(s *Server, kind, operation string) int {
	n := 0
	for _, e := range s.Log(1) {
		if e.Kind == kind && (operation == "" || e.Operation == operation) {
			n++
		}
	}
	return n
}

func TestTheDatabaseChangesAsSoonAsARuleIsAdded(t *testing.T) {
	t.Parallel()
	for kind, c := range map[FaultKind]struct {
		rule   string
		before func(s *Server) string // a URL to try
		status int
	}{
		FaultDroppedColumn: {"{kind: dropped_column, table: account, column: fax}", func(*Server) string { return "accounts?$select=fax" }, 400},
		FaultFailedKey:     {"{kind: failed_key, table: account, key: new_erpkey}", func(*Server) string { return "accounts(new_erpnumber='1')" }, 400},
		FaultExpiredTokens: {"{kind: expired_tokens, table: account}", func(s *Server) string {
			link := send(t, s, http.MethodGet, "accounts?$select=name", "", "Prefer: odata.track-changes").page(t).Delta
			return link[strings.Index(link, "accounts"):]
		}, 400},
	} {
		s := newTestServer(t, Options{})
		mustInsert(t, s, "account", map[string]any{"new_erpnumber": "1", "fax": "2"})
		path := c.before(s)
		send(t, s, http.MethodGet, path, "").want(t, http.StatusOK, "")
		script(t, s, "  - "+c.rule).want(t, http.StatusCreated, "")
		send(t, s, http.MethodGet, path, "").want(t, c.status, "")
		if s.faults.Counts()[string(kind)] != 1 || logged(s, KindFault, string(kind)) != 1 {
			t.Errorf("%s: counts %v, logged %d", kind, s.faults.Counts(), logged(s, KindFault, string(kind)))
		}
	}
}

func TestASecuredColumnIsNullOnceItsRuleIsAdded(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"fax": "2"})
	script(t, s, "  - {kind: secured_column, table: account, column: fax}").want(t, http.StatusCreated, "")
	var row map[string]any
	send(t, s, http.MethodGet, "accounts("+id+")?$select=fax", "").want(t, http.StatusOK, "").decode(t, &row)
	if fax, there := row["fax"]; fax != nil || !there {
		t.Errorf("row %v", row)
	}
	send(t, s, http.MethodPatch, "accounts("+id+")", `{"fax":"3"}`).want(t, http.StatusForbidden, "")
}

func TestARuleWithAfterChangesTheDatabaseInTheMiddleOfTheTraffic(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	script(t, s, "  - {kind: dropped_column, table: account, column: fax, after: 3, method: GET}").want(t, http.StatusCreated, "")
	for i := range 6 {
		send(t, s, http.MethodGet, "contacts", "").want(t, http.StatusOK, "")
		want := http.StatusOK
		if i >= 3 {
			want = http.StatusBadRequest
		}
		send(t, s, http.MethodGet, "accounts?$select=fax", "").want(t, want, "")
	}
	if n := s.faults.Counts()[string(FaultDroppedColumn)]; n != 1 {
		t.Errorf("counted %d times, want 1", n)
	}
}

func TestTheDatabaseIsRestoredToWhenTheRuleWasAdded(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"name": "before"})
	version := s.Stats().Version
	script(t, s, "  - {kind: restore, after: 2, method: POST}").want(t, http.StatusCreated, "")
	for range 2 {
		send(t, s, http.MethodPost, "accounts", `{"name":"after"}`).want(t, http.StatusNoContent, "")
	}
	if n := s.Stats().Rows["account"]; n != 3 {
		t.Fatalf("%d accounts, want 3", n)
	}
	send(t, s, http.MethodPost, "accounts", `{"name":"later"}`).want(t, http.StatusNoContent, "")
	if st := s.Stats(); st.Rows["account"] != 2 || st.Version != version+1 || st.Faults[string(FaultRestore)] != 1 {
		t.Errorf("%d accounts at version %d (was %d), faults %v", st.Rows["account"], st.Version, version, st.Faults)
	}
	if logged(s, KindRestore, "") != 1 {
		t.Error("not in the write log")
	}
}

func TestBothFormsOfAnExpiredTokenCanBeScripted(t *testing.T) {
	t.Parallel()
	for _, profile := range []Profile{Online, OnPremises} {
		s := newTestServer(t, Options{Profile: profile})
		mustInsert(t, s, "account", map[string]any{"name": "a"})
		gone := mustInsert(t, s, "account", map[string]any{"name": "b"})
		link := send(t, s, http.MethodGet, "accounts?$select=name", "", "Prefer: odata.track-changes").page(t).Delta
		if err := s.Delete("account", gone); err != nil {
			t.Fatal(err)
		}
		script(t, s, "  - {kind: expired_token, times: 1}\n  - {kind: expired_dump, times: 1}").want(t, http.StatusCreated, "")
		follow(t, s, link).want(t, http.StatusBadRequest, codeExpiredVersion)
		if dump := follow(t, s, link).page(t); len(dump.Value) != 1 || dump.Value[0]["name"] != "a" || dump.Delta == "" {
			t.Errorf("%s: dump %+v", profile, dump)
		}
		if delta := follow(t, s, link).page(t); len(delta.Value) != 1 || delta.Value[0]["reason"] != "deleted" {
			t.Errorf("%s: afterwards %+v", profile, delta)
		}
		if c := s.faults.Counts(); c["expired_token"] != 1 || c["expired_dump"] != 1 {
			t.Errorf("%s: counts %v", profile, c)
		}
	}
}

func TestRulesGivenBeforeTheServerIsMadeActWhenItIs(t *testing.T) {
	t.Parallel()
	f := NewFaults(1)
	if f.Add(Rule{Kind: FaultDroppedColumn, Table: "account", Column: "fax"}) == 0 {
		t.Fatal("refused")
	}
	s := newTestServer(t, Options{Faults: f})
	send(t, s, http.MethodGet, "accounts?$select=fax", "").want(t, http.StatusBadRequest, "")
	wrong := NewFaults(1)
	wrong.Add(Rule{Kind: FaultFailedKey, Table: "account", Key: "nothere"})
	if _, err := New(Options{Faults: wrong}); err == nil || !strings.Contains(err.Error(), "nothere") {
		t.Errorf("a key that does not exist was made to fail: %v", err)
	}
}

func TestAFaultTheDatabaseCannotHaveIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for rule, status := range map[string]int{
		"{kind: dropped_column, table: account, column: nothere}":       409,
		"{kind: dropped_column, table: account, column: accountid}":     409,
		"{kind: failed_key, table: nothere, key: k}":                    409,
		"{kind: dropped_column, table: account}":                        400,
		"{kind: dropped_column, column: fax}":                           400,
		"{kind: failed_key, table: account}":                            400,
		"{kind: failed_key, table: account, key: new_erpkey, times: 2}": 400,
		"{kind: restore}":               400,
		"{kind: throttle, column: fax}": 400,
		"{kind: throttle, key: k}":      400,
	} {
		a := script(t, s, "  - "+rule)
		if a.status != status || !strings.Contains(a.body, `"error"`) {
			t.Errorf("%s: %d %s, want %d", rule, a.status, a.body, status)
		}
	}
	if n := len(s.faults.states()); n != 0 {
		t.Errorf("%d rules are in force", n)
	}
}

func TestEveryKindOfTheListCanBeWrittenInAScript(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	more := map[FaultKind]string{
		FaultDroppedColumn: ", table: account, column: fax", FaultSecuredColumn: ", table: account, column: telephone2",
		FaultFailedKey: ", table: account, key: new_erpkey", FaultExpiredTokens: ", table: account", FaultRestore: ", after: 1",
	}
	var rules strings.Builder
	kinds := faultKinds()
	for _, kind := range kinds {
		fmt.Fprintf(&rules, "  - {kind: %s, probability: 1%s}\n", kind, more[kind])
	}
	parsed, err := LoadFaults([]byte("faults:\n" + rules.String()))
	if err != nil || len(parsed) != len(kinds) {
		t.Fatalf("%d of %d rules: %v", len(parsed), len(kinds), err)
	}
	script(t, s, rules.String()).want(t, http.StatusCreated, "")
	counts := s.Stats().Faults
	for _, kind := range kinds {
		if _, shown := counts[string(kind)]; !shown {
			t.Errorf("%s is not among the counts", kind)
		}
	}
}
