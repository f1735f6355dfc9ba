package bridge

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/event"
)

func parentTable() *schema.Table {
	return &schema.Table{
		LogicalName: "contact", EntitySet: "contacts", PrimaryID: "contactid",
		Columns: []schema.Column{
			{LogicalName: "emailaddress1", Type: schema.TypeString}, {LogicalName: "number", Type: schema.TypeInteger},
			{LogicalName: "parentcustomerid", Type: schema.TypeLookup},
		},
		Keys: []schema.AlternateKey{
			{Columns: []string{"emailaddress1"}, Status: schema.KeyActive},
			{Columns: []string{"parentcustomerid", "number"}, Status: schema.KeyActive},
		},
	}
}

func TestAPublishedRecordIsAnnouncedUnderEachOfItsKeys(t *testing.T) {
	const id = "00000000-0000-4000-8000-000000000001"
	tests := []struct {
		name string
		row  string // "" for a delete
		want []string
	}{
		{"both keys", `{"emailaddress1":"a@contoso.com","number":7,"_parentcustomerid_value":"` + id + `"}`,
			[]string{"contacts(emailaddress1='a%40contoso.com')", "contacts(_parentcustomerid_value=" + id + ",number=7)"}},
		{"a part is null", `{"emailaddress1":"a@contoso.com","number":null,"_parentcustomerid_value":"` + id + `"}`,
			[]string{"contacts(emailaddress1='a%40contoso.com')"}},
		{"a part is not published", `{"number":7}`, nil},
		{"a value that no address takes", `{"emailaddress1":"a/b"}`, nil},
		{"a delete", "", nil},
	}
	for _, mode := range []event.Mode{event.Structured, event.Binary} {
		encoder, err := event.NewEncoder(event.Settings{Source: "/crm/contoso/contact", TypePrefix: "x", Table: "contact", Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			r := event.Record{RecordID: id, Version: 5, Epoch: 1, Change: event.Created, ReadBy: event.ByDelta, Recorded: time.Now(), Row: []byte(tt.row)}
			if tt.row == "" {
				r.Change, r.Row = event.Deleted, nil
			}
			header, data, err := encoder.Encode(&r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, addresses(parentTable(), header, data)); diff != "" {
				t.Errorf("%s, %s: %s", tt.name, mode, diff)
			}
		}
	}
	for _, data := range []string{"", "{", `{"record":{"emailaddress1":"x"}}`} {
		if got := addresses(parentTable(), nil, []byte(data)); got != nil {
			t.Errorf("%q is announced as %v", data, got)
		}
		if got := addresses(parentTable(), map[string][]string{"Crm-Version": {"1"}, "Crm-Epoch": {"1"}, "Crm-Change": {"created"},
			"Crm-Hash": {"0000000000000000"}}, []byte(data)); json.Valid([]byte(data)) == (got == nil) && data != "" {
			t.Errorf("%q is announced as %v", data, got)
		}
	}
}

func TestOnlyTablesThatSomethingWaitsForAreListenedTo(t *testing.T) {
	listening := map[string]bool{}
	fail := true
	var failures int
	p := &parents{
		tables: map[string]*schema.Table{"contacts": parentTable()}, open: map[string]func() error{},
		listen: func(table string, _ func(map[string][]string, []byte)) (func() error, error) {
			if fail {
				return nil, errors.New("not connected")
			}
			listening[table] = true
			return func() error { delete(listening, table); return nil }, nil
		},
		failed: func(string, error) { failures++ },
	}
	if p.keep([]string{"contacts", "leads"}) || failures != 1 || len(listening) > 0 {
		t.Errorf("a failed subscription counts as one: %d failures, %v", failures, listening)
	}
	fail = false
	for range 2 {
		if !p.keep([]string{"contacts", "leads"}) || !listening["contact"] || len(listening) != 1 {
			t.Errorf("listening to %v", listening)
		}
	}
	if !p.keep(nil) || len(listening) != 0 {
		t.Errorf("still listening to %v", listening)
	}
}
