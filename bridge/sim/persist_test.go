package sim

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cebridge/schema"

	"github.com/google/go-cmp/cmp"
)

// contents is everything a client could see of a server's tables.
func contents(t testing.TB, s *Server, tables ...string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, name := range tables {
		if err := s.Rows(name, func(id string, row map[string]any) bool {
			all[name+"/"+id] = row
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func stored(t testing.TB, dir string) *Server {
	t.Helper()
	return newTestServer(t, Options{Data: dir})
}

// kill ends a server as SIGKILL does: nothing is written any more, and the
// directory's lock is free.
func kill(t testing.TB, s *Server) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.store.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.store.lock.Close(); err != nil {
		t.Fatal(err)
	}
	s.store.file = nil
}

func TestEverythingSurvivesARestart(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%t", clean), func(t *testing.T) {
			dir := t.TempDir()
			s := stored(t, dir)
			contact := mustInsert(t, s, "contact", map[string]any{"lastname": "Öz \"<&>", "new_personno": "77"})
			first := mustInsert(t, s, "account", map[string]any{"name": "one", "accountnumber": "A1", "revenue": 12.5, "primarycontactid@odata.bind": "contacts(" + contact + ")"})
			gone := mustInsert(t, s, "account", map[string]any{"name": "two"})
			page := send(t, s, "GET", "accounts?$select=name", "", track).page(t)
			send(t, s, "PATCH", "accounts(accountnumber='A1')", `{"name":"one again","telephone1":null}`).want(t, 204, "")
			send(t, s, "DELETE", "accounts("+gone+")", "").want(t, 204, "")
			before, version := contents(t, s, "account", "contact", "systemuser", "organization"), s.Stats().Version
			if clean {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				kill(t, s)
			}

			s = stored(t, dir)
			if diff := cmp.Diff(before, contents(t, s, "account", "contact", "systemuser", "organization")); diff != "" {
				t.Errorf("records after a restart (-before +after):\n%s", diff)
			}
			if now := s.Stats().Version; now < version || clean && now != version {
				t.Errorf("version %d, was %d", now, version)
			}
			delta := follow(t, s, page.Delta).page(t)
			if len(delta.Value) != 2 || delta.Value[0]["accountid"] != first || delta.Value[1]["id"] != gone || delta.Value[1]["reason"] != "deleted" {
				t.Errorf("the old token answers %v", delta.Value)
			}
			if id, ok := s.FindByKey("account", map[string]any{"accountnumber": "a1"}); !ok || id != first {
				t.Error("the alternate key is not indexed")
			}
			send(t, s, "POST", "accounts", `{"accountnumber":"A1"}`).want(t, 412, codeDuplicateKey)
			if again := follow(t, s, delta.Delta).page(t); len(again.Value) != 0 {
				t.Errorf("a delta without a change: %v", again.Value)
			}
		})
	}
}

// A kill may leave any prefix of the last line: the write in it was not answered,
// and everything before it was.
func TestAKillLosesNothingThatWasAnswered(t *testing.T) {
	dir := t.TempDir()
	s := stored(t, dir)
	kept := mustInsert(t, s, "account", map[string]any{"name": "kept"})
	page := send(t, s, "GET", "accounts?$select=name", "", track).page(t)
	before := contents(t, s, "account")
	file := filepath.Join(dir, dataFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The last line is a change set: never half of it.
	if err := s.atomically(func(h http.Handler) error {
		sendTo(h, "PATCH", "accounts("+kept+")", `{"name":"changed"}`)
		sendTo(h, "POST", "accounts", `{"accountid":"`+testID(5)+`","name":"new"}`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	after := contents(t, s, "account")
	kill(t, s)
	full, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(full, whole) || bytes.Count(full[len(whole):], []byte("\n")) != 1 {
		t.Fatalf("the change set is not one line at the end: %q", full[len(whole):])
	}
	for end := len(whole); end <= len(full); end++ {
		if err := os.WriteFile(file, full[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		s := stored(t, dir)
		want, changes := before, 0
		if end == len(full) {
			want, changes = after, 2
		}
		if diff := cmp.Diff(want, contents(t, s, "account")); diff != "" {
			t.Fatalf("cut after %d of %d bytes (-want +got):\n%s", end-len(whole), len(full)-len(whole), diff)
		}
		if delta := follow(t, s, page.Delta).page(t); len(delta.Value) != changes {
			t.Fatalf("cut after %d bytes: delta %v", end-len(whole), delta.Value)
		}
		send(t, s, "POST", "accounts", `{"name":"goes on"}`).want(t, 204, "")
		kill(t, s)
	}
}

func TestATokenIsNeverAheadOfTheDatabaseAfterAKill(t *testing.T) {
	dir := t.TempDir()
	s := stored(t, dir)
	id := mustInsert(t, s, "account", map[string]any{"name": "a"})
	// Versions that no commit shows: of a change set that was rolled back.
	for range 50 {
		_ = s.atomically(func(h http.Handler) error {
			sendTo(h, "PATCH", "accounts("+id+")", `{"name":"b"}`)
			return errChangeSetFailed
		})
	}
	page := send(t, s, "GET", "accounts?$select=name", "", track).page(t)
	kill(t, s)
	s = stored(t, dir)
	send(t, s, "PATCH", "accounts("+id+")", `{"name":"c"}`).want(t, 204, "")
	if delta := follow(t, s, page.Delta).page(t); len(delta.Value) != 1 {
		t.Errorf("the change after the restart is not in the delta: %v", delta.Value)
	}
}

// A first start that is killed leaves at most a part of the new file.
func TestAFirstStartThatWasKilledIsCompletedByTheNext(t *testing.T) {
	tables := []string{"organization", "businessunit", "systemuser", "transactioncurrency"}
	first := t.TempDir()
	s := stored(t, first)
	want := contents(t, s, tables...)
	kill(t, s)
	full, err := os.ReadFile(filepath.Join(first, dataFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{0, 1, len(full) / 2, len(full)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, dataFile+".new"), full[:part], 0o600); err != nil {
			t.Fatal(err)
		}
		s := stored(t, dir)
		if diff := cmp.Diff(len(want), len(contents(t, s, tables...))); diff != "" {
			t.Error(diff)
		}
		send(t, s, "POST", "accounts", `{"name":"works"}`).want(t, 204, "")
	}
}

func TestDataIsCompactedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	s := stored(t, dir)
	id := mustInsert(t, s, "account", map[string]any{"name": "a"})
	for i := range 3000 {
		if err := s.Update("account", id, map[string]any{"numberofemployees": i}); err != nil {
			t.Fatal(err)
		}
	}
	want := contents(t, s, "account")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, dataFile))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	long := size()
	s = stored(t, dir)
	if short := size(); short > long/3 {
		t.Errorf("%d bytes, were %d", short, long)
	}
	if diff := cmp.Diff(want, contents(t, s, "account")); diff != "" {
		t.Error(diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, stored(t, dir), "account")); diff != "" {
		t.Error(diff)
	}
}

func TestTableChangesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := stored(t, dir)
	id := mustInsert(t, s, "account", map[string]any{"name": "a", "fax": "1", "websiteurl": "w", "accountnumber": "N"})
	page := send(t, s, "GET", "accounts?$select=name", "", track).page(t)
	if err := s.DropColumn("account", "fax"); err != nil {
		t.Fatal(err)
	}
	if err := s.FailKey("account", s.catalogNow().byName["account"].def.Load().Key([]string{"accountnumber"}).LogicalName); err != nil {
		t.Fatal(err)
	}
	if err := s.AlterTable("account", false, func(st *schema.Table) error {
		st.Columns = append(st.Columns, schema.Column{LogicalName: "new_added", SchemaName: "new_Added", Type: schema.TypeString, MaxLength: 10})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Update("account", id, map[string]any{"new_added": "x"}); err != nil {
		t.Fatal(err)
	}
	want := mustRow(t, s, "account", id)
	kill(t, s)
	s = stored(t, dir)
	if diff := cmp.Diff(want, mustRow(t, s, "account", id)); diff != "" {
		t.Error(diff)
	}
	send(t, s, "GET", "accounts?$select=fax", "").want(t, 400, "")
	send(t, s, "GET", "accounts(accountnumber='N')", "").want(t, 400, "")
	follow(t, s, page.Delta).want(t, 400, codeExpiredVersion)
}

func TestARestoredDatabaseSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := stored(t, dir)
	id := mustInsert(t, s, "account", map[string]any{"name": "a"})
	backup := s.Snapshot()
	want := contents(t, s, "account")
	if err := s.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(backup); err != nil {
		t.Fatal(err)
	}
	kill(t, s)
	if diff := cmp.Diff(want, contents(t, stored(t, dir), "account")); diff != "" {
		t.Error(diff)
	}
}

func TestNewTablesOfTheOptionsAreAddedToTheData(t *testing.T) {
	dir := t.TempDir()
	all, err := DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	first, err := New(Options{Data: dir, Tables: []*schema.Table{schema.NewCatalog(all...)["account"]}})
	if err != nil {
		t.Fatal(err)
	}
	id := mustInsert(t, first, "account", map[string]any{"name": "a"})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := stored(t, dir)
	mustRow(t, s, "account", id)
	mustInsert(t, s, "contact", map[string]any{"lastname": "b"})
}

func TestADataDirectoryIsForOneServer(t *testing.T) {
	dir := t.TempDir()
	stored(t, dir)
	if _, err := New(Options{Data: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second server on the directory: %v", err)
	}
}

func TestADamagedDataFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := stored(t, dir)
	mustInsert(t, s, "account", map[string]any{"name": "a"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, dataFile)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string]string{
		"a line in the middle": strings.Replace(string(data), `{"do":`, `{"do"`, 1),
		"another format":       strings.Replace(string(data), dataFormat, "other data", 1),
		"an unknown column":    strings.Replace(string(data), `"columns":{"`, `"columns":{"new_other":1,"`, 1),
	} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Data: dir}); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAWriteThatCannotBeStoredIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	s := stored(t, dir)
	id := mustInsert(t, s, "account", map[string]any{"name": "a", "accountnumber": "N"})
	want := contents(t, s, "account")
	s.mu.Lock()
	readOnly, err := os.Open(filepath.Join(dir, dataFile))
	good := s.store.file
	s.store.file = readOnly
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, "PATCH", "accounts("+id+")", `{"name":"b","accountnumber":"M"}`).want(t, 503, "")
	send(t, s, "POST", "accounts", `{"name":"c"}`).want(t, 503, "")
	send(t, s, "DELETE", "accounts("+id+")", "").want(t, 503, "")
	if diff := cmp.Diff(want, contents(t, s, "account")); diff != "" {
		t.Error(diff)
	}
	send(t, s, "GET", "accounts(accountnumber='N')", "").want(t, 200, "")
	s.mu.Lock()
	s.store.file = good
	s.mu.Unlock()
	if err := readOnly.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkUpsertByKeyStored(b *testing.B) {
	s := newTestServer(b, Options{Data: b.TempDir()})
	i := 0
	for b.Loop() {
		i++
		send(b, s, "PATCH", fmt.Sprintf("accounts(accountnumber='%d')", i%5000), `{"name":"n","telephone1":"1"}`)
	}
}
