package bridge_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"cebridge/bridge"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

// newTrial prepares the one route "r" with the simulator's tables.
func newTrial(t *testing.T, route string) *bridge.Trial {
	t.Helper()
	cfg, err := bridge.ParseConfig("trial.yaml", []byte(rest["org"]+"webapi: {url: 'https://contoso.example', version: v9.1}\n"+rest["nats"]+
		"outbound: {type_prefix: com.contoso, tables: {contact: {columns: [lastname], echo: mark}}}\n"+
		"inbound:\n  routes:\n    r:\n      stream: ERP\n      subjects: [erp.customer]\n      start: new\n"+route))
	if err != nil {
		t.Fatal(err)
	}
	tables, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	trial, err := bridge.NewTrial(cfg, tables, "r")
	if err != nil {
		t.Fatal(err)
	}
	return trial
}

// tryData tries an event with those data.
func tryData(t *testing.T, trial *bridge.Trial, data string) *bridge.Tried {
	t.Helper()
	event := `{"specversion":"1.0","id":"1","source":"/erp","type":"t","data":` + data + `}`
	tried, err := trial.Try(t.Context(), "r", trial.Message("r", "", []byte(event)))
	if err != nil {
		t.Fatal(err)
	}
	return tried
}

const sevenCalls = `      table: account
      key: {accountnumber: data.id}
      columns: {name: data.name, statecode: 0}
      lookups:
        primarycontactid: {contact: {emailaddress1: data.contact}}
        new_region: {new_region: {new_code: data.region}}
        ownerid: {systemuser: {domainname: data.owner}}
`

func TestOneRequestReplacesTheClassicalSevenCalls(t *testing.T) {
	tried := tryData(t, newTrial(t, sevenCalls), `{"id":"A1","name":"Contoso","contact":"ann@contoso.example","region":"NW","owner":"ann@contoso.example"}`)
	if tried.Outcome != bridge.TriedMapped || len(tried.Writes) != 1 {
		t.Fatalf("%+v", tried)
	}
	w := tried.Writes[0]
	if len(w.Existing.Requests) != 1 || w.Existing.Replaces != 7 || len(w.New.Requests) != 1 || w.New.Replaces != 6 {
		t.Errorf("existing: %+v, new: %+v", w.Existing, w.New)
	}
	if r := w.Existing.Requests[0]; r.Method != "PATCH" || r.Path != "/api/data/v9.1/accounts(accountnumber='A1')" || len(r.Header) != 0 ||
		!strings.Contains(string(r.Body), `"new_Region@odata.bind":"/new_regions(new_code='NW')"`) {
		t.Errorf("request %+v with %s", r, r.Body)
	}
	if report := tried.Report(bridge.TrialForm{Raw: true}); !strings.Contains(report, "1 request in place of 7 calls; of a new record 1 request in place of 6 calls\n") ||
		!strings.Contains(report, "\n"+string(w.Existing.Requests[0].Body)+"\n") {
		t.Error(report)
	}
}

func TestCallsAreCountedByTheRule(t *testing.T) {
	const guid = "0a0b0c0d-0000-4000-8000-000000000001"
	for name, c := range map[string]struct {
		route, data   string
		existing, new int // -1: the operation is not for that
	}{
		"key and a column":       {"{key: {accountnumber: data.id}, columns: {name: data.id}}", `{"id":"A1"}`, 2, 2},
		"the GUID is known":      {"{id: data.id, operation: update, columns: {name: data.id}}", `{"id":"` + guid + `"}`, 1, -1},
		"state alone":            {"{key: {accountnumber: data.id}, operation: update, columns: {statecode: 1, statuscode: 2}}", `{"id":"A1"}`, 2, -1},
		"owner alone":            {"{key: {accountnumber: data.id}, operation: update, lookups: {ownerid: {team: {name: data.id}}}}", `{"id":"A1"}`, 3, -1},
		"a lookup by GUID":       {"{key: {accountnumber: data.id}, lookups: {primarycontactid: {contact: data.c}}}", `{"id":"A1","c":"` + guid + `"}`, 2, 2},
		"a lookup cleared":       {"{key: {accountnumber: data.id}, operation: update, lookups: {primarycontactid: null}}", `{"id":"A1"}`, 2, -1},
		"delete":                 {"{key: {accountnumber: data.id}, operation: delete}", `{"id":"A1"}`, 2, -1},
		"create":                 {"{key: {accountnumber: data.id}, operation: create, columns: {name: data.id}}", `{"id":"A1"}`, -1, 2},
		"on_create":              {"{key: {accountnumber: data.id}, columns: {name: data.id}, on_create: {lookups: {ownerid: {systemuser: {domainname: data.id}}}}}", `{"id":"A1"}`, 2, 3},
		"a search for the owner": {"{key: {accountnumber: data.id}, lookups: {ownerid: {systemuser: {domainname: data.o}}}}", `{"id":"A1","o":"CONTOSO\\ann"}`, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			route := "      writes: [" + strings.Replace(c.route, "{", "{table: account, ", 1) + "]\n"
			if name == "create" {
				route = "      table: account\n      key: {accountnumber: data.id}\n      operation: create\n      columns: {name: data.id}\n"
			}
			tried := tryData(t, newTrial(t, route), c.data)
			if len(tried.Writes) != 1 {
				t.Fatalf("%+v", tried)
			}
			number := func(calls *bridge.TriedCalls) int {
				if calls == nil {
					return -1
				}
				return calls.Replaces
			}
			if w := tried.Writes[0]; number(w.Existing) != c.existing || number(w.New) != c.new {
				t.Errorf("existing %d, new %d, want %d and %d", number(w.Existing), number(w.New), c.existing, c.new)
			}
		})
	}
}

func TestWhatAnEventFindsTwiceIsCountedOnce(t *testing.T) {
	tried := tryData(t, newTrial(t, `      writes:
        - {table: contact, key: {emailaddress1: data.mail}, columns: {lastname: data.name}}
        - {table: account, key: {accountnumber: data.id}, columns: {name: data.name}, lookups: {primarycontactid: {contact: {emailaddress1: data.mail}}}}
`), `{"id":"A1","name":"Ann","mail":"ann@contoso.example"}`)
	if len(tried.Writes) != 2 || tried.Writes[0].Existing.Replaces != 2 || tried.Writes[1].Existing.Replaces != 2 {
		t.Errorf("%+v", tried.Writes)
	}
	// The table contact is followed and marks echoes: its writes ask for the record.
	if first := tried.Writes[0].Existing.Requests[0]; first.Header["Prefer"] != "return=representation" || !strings.HasSuffix(first.Path, "?$select=versionnumber") {
		t.Errorf("%+v", first)
	}
	report := tried.Report(bridge.TrialForm{})
	if a, b := strings.Index(report, "1. upsert contact"), strings.Index(report, "2. upsert account"); a < 0 || b < a || !strings.HasSuffix(report, "\n2 requests in place of 4 calls\n") {
		t.Error(report)
	}
}

func TestATrialSaysWhyThereIsNoRequest(t *testing.T) {
	trial := newTrial(t, "      when: data.kind == \"k\"\n      revision: data.?revision.orValue(null)\n"+sevenCalls)
	if tried := tryData(t, trial, `{"kind":"x"}`); tried.Outcome != bridge.TriedUnmatched || tried.Writes != nil {
		t.Errorf("%+v", tried)
	}
	for data, want := range map[string][]string{
		`{"kind":"k","id":"A1"}`: {"invalid", "data.name is missing", "inbound.routes.r.columns.name (trial.yaml:"},
		`{"kind":"k","id":"A1","name":"n","contact":"c","region":"r","owner":"o","revision":true}`: {"invalid", "", "inbound.routes.r.revision ("},
	} {
		tried := tryData(t, trial, data)
		if tried.Outcome != bridge.TriedRejected || tried.Reason != want[0] || !strings.Contains(tried.Text, want[1]) || !strings.HasPrefix(tried.Place, want[2]) || tried.Writes != nil {
			t.Errorf("%s: %+v", data, tried)
		}
		if short, long := tried.Report(bridge.TrialForm{}), tried.Report(bridge.TrialForm{Lines: true}); strings.Contains(short, "trial.yaml") || !strings.Contains(long, "trial.yaml:") {
			t.Errorf("without places %s, with %s", short, long)
		}
	}
	tried, err := trial.Try(t.Context(), "r", trial.Message("r", "", []byte("no event")))
	if err != nil || tried.Outcome != bridge.TriedRejected || tried.EventID != "" || tried.Text == "" {
		t.Errorf("%+v, %v", tried, err)
	}
}

func TestAPlainMessageIsTriedWithTheRoutesSubject(t *testing.T) {
	trial := newTrial(t, "      format: json\n      plain_type: com.contoso.plain\n      table: account\n      key: {accountnumber: data.id}\n      columns: {name: subject, description: id}\n")
	tried, err := trial.Try(t.Context(), "r", trial.Message("r", "", []byte(`{"id":"A1"}`)))
	if err != nil || tried.Outcome != bridge.TriedMapped {
		t.Fatalf("%+v, %v", tried, err)
	}
	var body map[string]string
	if err := json.Unmarshal(tried.Writes[0].New.Requests[0].Body, &body); err != nil || body["name"] != "erp.customer" || body["description"] != "file/1" {
		t.Errorf("%v, %v", body, err)
	}
}

func TestATrialRefusesWhatDoesNotFitTheTables(t *testing.T) {
	cfg, err := bridge.ParseConfig("trial.yaml", []byte(rest["org"]+rest["webapi"]+rest["nats"]+
		"inbound: {routes: {r: {stream: ERP, start: new, table: account, key: {nosuch: data.id}}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tables, err := sim.DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	var ps schema.Problems
	if _, err := bridge.NewTrial(cfg, tables); !errors.As(err, &ps) || !strings.Contains(ps.Error(), "nosuch") {
		t.Errorf("%v", err)
	}
	if _, err := bridge.NewTrial(cfg, tables, "rr"); err == nil || !strings.Contains(err.Error(), "did you mean r?") {
		t.Errorf("%v", err)
	}
}
