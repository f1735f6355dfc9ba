package sim

import (
	"errors"
	"net/http"
	"testing"
)

func TestFailedChangeSetLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{RecordWrites: true})
	mustInsert(t, s, "account", map[string]any{"accountid": testID(1), "accountnumber": "A", "name": "old"})
	mustInsert(t, s, "account", map[string]any{"accountid": testID(2), "accountnumber": "B"})
	link := send(t, s, "GET", "accounts?$select=name", "", track).page(t).Delta
	mark := s.Stats().LogNext
	why := errors.New("no")
	err := s.atomically(func(h http.Handler) error {
		for _, step := range []struct{ method, path, body string }{
			{"PATCH", "accounts(accountnumber='A')", `{"name":"new"}`},
			{"PATCH", "accounts(" + testID(1) + ")", `{"accountnumber":"A2"}`},
			{"DELETE", "accounts(accountnumber='B')", ""},
			{"PATCH", "accounts(accountnumber='B')", `{"accountid":"` + testID(3) + `"}`},
			{"PATCH", "accounts(accountnumber='A')", `{"accountid":"` + testID(4) + `"}`},
			{"DELETE", "accounts(" + testID(4) + ")", ""},
		} {
			if a := sendTo(h, step.method, step.path, step.body); a.status != 204 {
				t.Errorf("%+v: %d %s", step, a.status, a.body)
			}
		}
		return why
	})
	if !errors.Is(err, why) {
		t.Fatalf("err = %v", err)
	}
	if row := mustRow(t, s, "account", testID(1)); row["name"] != "old" || row["accountnumber"] != "A" {
		t.Errorf("row = %v", row)
	}
	for key, want := range map[string]string{"A": testID(1), "B": testID(2)} {
		if id, ok := s.FindByKey("account", map[string]any{"accountnumber": key}); !ok || id != want {
			t.Errorf("key %s finds %s", key, id)
		}
	}
	if _, ok := s.FindByKey("account", map[string]any{"accountnumber": "A2"}); ok {
		t.Error("a rolled-back key is there")
	}
	if p := follow(t, s, link).page(t); len(p.Value) != 0 {
		t.Errorf("delta %v", p.Value)
	}
	for _, e := range s.Log(mark) {
		if e.Kind == KindCommit || e.Version != 0 || e.Columns != nil {
			t.Errorf("the log tells of a commit: %+v", e)
		}
	}
}

func TestSuccessfulChangeSetIsSeenAsAWhole(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	err := s.atomically(func(h http.Handler) error {
		sendTo(h, "POST", "contacts", `{"contactid":"`+testID(1)+`","lastname":"Lee"}`)
		if a := sendTo(h, "POST", "accounts", `{"primarycontactid@odata.bind":"/contacts(`+testID(1)+`)"}`); a.status != 204 {
			t.Errorf("the bind does not see the change set's own record: %s", a.body)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Rows["contact"] != 1 || st.Rows["account"] != 1 {
		t.Errorf("rows %v", st.Rows)
	}
}

func TestPanicInAChangeSetRollsBackAndUnlocks(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.atomically(func(h http.Handler) error {
			sendTo(h, "POST", "accounts", `{}`)
			panic("x")
		})
	}()
	if n := s.Stats().Rows["account"]; n != 0 {
		t.Errorf("%d accounts", n)
	}
}
