package webapi

import (
	"encoding/json"
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

func TestARepeatedCreateKnowsItsOwnRecord(t *testing.T) {
	t.Parallel()
	const get = `GET accounts(accountnumber='A%201')?$select=versionnumber,name,revenue `
	const post = `PATCH accounts(accountnumber='A%201') If-None-Match:* {"name":"F","revenue":10.50,"x@odata.bind":"/contacts(n='1')"}`
	row := func(name, revenue string) scripted {
		return scripted{status: 200, body: `{"@odata.etag":"W/\"7\"","accountid":"` + guid1 + `","name":` + name + `,"revenue":` + revenue + `}`}
	}
	for name, c := range map[string]struct {
		repeat  bool
		answers []scripted
		seen    []string
		result  schema.Result
		fails   string
	}{
		"the first attempt":     {false, []scripted{exists412}, []string{post}, schema.Result{}, "reject duplicate"},
		"made before":           {true, []scripted{exists412, row(`"F"`, "10.5000")}, []string{post, get}, schema.Result{Effect: schema.EffectCreated, ID: guid1, Version: 7}, ""},
		"made before, by race":  {true, []scripted{duplicate, row(`"F"`, "10.5000")}, []string{post, get}, schema.Result{Effect: schema.EffectCreated, ID: guid1, Version: 7}, ""},
		"somebody else's":       {true, []scripted{exists412, row(`"G"`, "10.5")}, []string{post, get}, schema.Result{}, "reject duplicate"},
		"another key is taken":  {true, []scripted{duplicate, missingSelf}, []string{post, get}, schema.Result{}, "reject duplicate"},
		"the read has to wait":  {true, []scripted{exists412, {status: 500, body: apiError("", "x")}}, []string{post, get}, schema.Result{}, "retry server"},
		"an unreadable answer":  {true, []scripted{exists412, {status: 200, body: `[]`}}, []string{post, get}, schema.Result{}, "retry bad_answer"},
		"the first one did not": {true, []scripted{noContent}, []string{post}, schema.Result{Effect: schema.EffectCreated}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{t: t, answers: c.answers}
			client, _ := newTestClient(t, s)
			w := upsertAccount()
			w.Operation, w.Repeat = schema.OpCreate, c.repeat
			w.Body = json.RawMessage(`{"name":"F","revenue":10.50,"x@odata.bind":"/contacts(n='1')"}`)
			got, err := client.Apply(t.Context(), w)
			c.result.Requests = len(c.seen)
			if diff := cmp.Diff(c.result, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.seen, s.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if (c.fails != "") != (err != nil) {
				t.Fatal(err)
			}
			if err != nil {
				wantVerdict(t, name, outcomeOf(t, err), c.fails)
			}
		})
	}
}

func TestACreateWithoutColumnsIsNeverTakenForItsOwn(t *testing.T) {
	t.Parallel()
	s := &script{t: t, answers: []scripted{exists412}}
	client, _ := newTestClient(t, s)
	w := upsertAccount()
	w.Operation, w.Repeat, w.Body = schema.OpCreate, true, json.RawMessage(`{"x@odata.bind":"/contacts(n='1')"}`)
	wantVerdict(t, "no columns", outcomeOf(t, applyError(client, t.Context(), w)), "reject duplicate")
}

func TestSameValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, have string
		same       bool
	}{
		{`"a"`, `"a"`, true}, {`"a"`, `"a  "`, true}, {`"a"`, `"A"`, false}, {`"a"`, `"b"`, false}, {`"é"`, `"\u00e9"`, true},
		{`""`, `null`, true}, {`null`, ``, true}, {`""`, ``, true}, {`null`, `"a"`, false}, {`"a"`, `null`, false}, {`"null"`, `null`, false},
		{`10`, `10.0000`, true}, {`10.5`, `10.50`, true}, {`9007199254740993`, `9007199254740992`, false}, {`10.1`, `10.11`, false}, {`1e2`, `100`, true},
		{`1e999999999`, `1e999999999`, true}, {`1e999999999`, `1e999999998`, false}, {strings.Repeat("9", 100), strings.Repeat("9", 100) + ".0", false},
		{`true`, `true`, true}, {`true`, `false`, false}, {`true`, `1`, false}, {`"1"`, `1`, false},
		{`"2026-01-01T00:00:00Z"`, `"2026-01-01T00:00:00Z"`, true}, {`"2026-01-01T01:00:00+01:00"`, `"2026-01-01T00:00:00Z"`, true},
		{`"2026-01-01T00:00:00.7Z"`, `"2026-01-01T00:00:00Z"`, true}, {`"2026-01-01T00:00:01Z"`, `"2026-01-01T00:00:00Z"`, false},
		{`"` + strings.ToUpper(guid1) + `"`, `"` + guid1 + `"`, true},
	} {
		if got := sameValue(json.RawMessage(c.want), json.RawMessage(c.have)); got != c.same {
			t.Errorf("%s and %s: %t", c.want, c.have, got)
		}
	}
}

// A create whose answer is lost, repeated as the engine does, ends as written with one
// record; one that meets somebody else's record is a duplicate.
func TestALostAnswerToACreateLeavesOneRecordAndNoDeadLetter(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		faults := sim.NewFaults(1)
		o := newOrganization(t, sim.Options{Profile: profile, Faults: faults})
		body := `{"name":"Fabrikam","revenue":12.5,"lastusedincampaign":"2026-03-29"}`
		if faults.Add(sim.Rule{Kind: sim.FaultCutAfterCommit, Method: "PATCH", Times: 1}) == 0 {
			t.Fatal("the rule is not taken")
		}
		w := o.write(t, schema.OpCreate, "C1", body)
		if e := outcomeOf(t, applyError(o.client, t.Context(), w)); !e.Ambiguous {
			t.Fatalf("not ambiguous: %v", e)
		}
		w.Repeat = true
		got, err := o.client.Apply(t.Context(), w)
		if err != nil || got.Effect != schema.EffectCreated || got.ID == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		n := 0
		err = o.sim.Rows("account", func(_ string, row map[string]any) bool {
			if row["accountnumber"] == "C1" {
				n++
			}
			return true
		})
		if err != nil || n != 1 {
			t.Errorf("%d records, %v", n, err)
		}
		other := o.write(t, schema.OpCreate, "C1", `{"name":"Contoso"}`)
		other.Repeat = true
		wantVerdict(t, "another's", outcomeOf(t, applyError(o.client, t.Context(), other)), "reject duplicate")
	})
}

func outcomeOf(t *testing.T, err error) *outcome.Error {
	t.Helper()
	e := outcome.Of(err)
	if e == nil {
		t.Fatalf("no verdict: %v", err)
	}
	return e
}
