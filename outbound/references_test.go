package outbound

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
	"cebridge/schema/event"
	"cebridge/schema/outcome"
)

// finderModel answers for records of the model and for what they point at.
type finderModel struct {
	mu    sync.Mutex
	rows  map[string]map[string]Found // by table, then id
	calls []Query
	sizes []int
	err   error
}

func (f *finderModel) Find(_ context.Context, q Query, ids []string) (map[string]Found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.sizes = append(f.calls, q), append(f.sizes, len(ids))
	if f.err != nil {
		return nil, f.err
	}
	got := map[string]Found{}
	for _, id := range ids {
		if r, ok := f.rows[q.Table.LogicalName][id]; ok {
			got[id] = r
		}
	}
	return got, nil
}

func referenceTables() (account, contact *schema.Table) {
	account = &schema.Table{LogicalName: "account", EntitySet: "accounts", PrimaryID: "accountid", Columns: []schema.Column{
		{LogicalName: "accountid", Type: schema.TypeUniqueID},
		{LogicalName: "primarycontactid", Type: schema.TypeLookup, Targets: []string{"contact"}},
		{LogicalName: "customerid", Type: schema.TypeCustomer, Targets: []string{"account", "contact"}},
	}}
	contact = &schema.Table{LogicalName: "contact", EntitySet: "contacts", PrimaryID: "contactid", Columns: []schema.Column{
		{LogicalName: "emailaddress1", Type: schema.TypeString}, {LogicalName: "contactid", Type: schema.TypeUniqueID},
	}}
	return account, contact
}

func referWorker(t *testing.T, f Finder) *Worker {
	account, contact := referenceTables()
	cfg := testConfig()
	cfg.Query = Query{Table: account, Columns: []string{"accountid", "primarycontactid", "customerid"}}
	cfg.References = []Reference{
		{Column: "primarycontactid", Keys: []ReferenceKey{{contact, []string{"emailaddress1"}}}},
		{Column: "customerid", Keys: []ReferenceKey{{contact, []string{"emailaddress1"}}}},
	}
	return newTestWorker(t, cfg, newCRM(5), newStream(), Deps{Finder: f})
}

func TestReferencesStateOnlyWhatAgreesWithTheRow(t *testing.T) {
	t.Parallel()
	const c1, c2, a9 = "00000000-0000-4000-8000-0000000000c1", "00000000-0000-4000-8000-0000000000c2", "00000000-0000-4000-8000-0000000000a9"
	mail := map[string]Found{
		c1: {Columns: map[string][]byte{"emailaddress1": []byte(`"ng@contoso.com"`)}},
		c2: {Columns: map[string][]byte{}},
	}
	now := func(value, table string) Found {
		return Found{Columns: map[string][]byte{"customerid": []byte(value)}, Tables: map[string]string{"customerid": table}}
	}
	for name, c := range map[string]struct {
		primary, customer string // of the row
		record            *Found // the account as it is now
		want              string
	}{
		"both":             {`"` + c1 + `"`, `"` + a9 + `"`, new(now(`"`+a9+`"`, "account")), `{"primarycontactid":{"table":"contact","id":"` + c1 + `","key":{"emailaddress1":"ng@contoso.com"}},"customerid":{"table":"account","id":"` + a9 + `"}}`},
		"letter case":      {`null`, `"` + strings.ToUpper(c1) + `"`, new(now(`"`+c1+`"`, "contact")), `{"customerid":{"table":"contact","id":"` + c1 + `","key":{"emailaddress1":"ng@contoso.com"}}}`},
		"nothing":          {`null`, `null`, nil, ``},
		"changed since":    {`null`, `"` + c1 + `"`, new(now(`"`+a9+`"`, "account")), ``},
		"cleared since":    {`null`, `"` + c1 + `"`, new(now(`null`, "")), ``},
		"deleted since":    {`"` + c1 + `"`, `"` + c1 + `"`, nil, `{"primarycontactid":{"table":"contact","id":"` + c1 + `","key":{"emailaddress1":"ng@contoso.com"}}}`},
		"target is gone":   {`"` + a9 + `"`, `null`, nil, `{"primarycontactid":{"table":"contact","id":"` + a9 + `"}}`},
		"target has blank": {`"` + c2 + `"`, `null`, nil, `{"primarycontactid":{"table":"contact","id":"` + c2 + `","key":{"emailaddress1":null}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := &finderModel{rows: map[string]map[string]Found{"contact": mail, "account": {}}}
			if c.record != nil {
				f.rows["account"][recordID(1)] = *c.record
			}
			w := referWorker(t, f)
			p := &plan{events: []planned{
				{id: recordID(2), change: event.Deleted},
				{id: recordID(1), row: &Row{ID: recordID(1), JSON: []byte(`{"_primarycontactid_value":` + c.primary + `,"_customerid_value":` + c.customer + `}`)}},
			}}
			if err := w.refer(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if got := string(p.events[1].references); got != c.want {
				t.Errorf("references %s\nwant %s", got, c.want)
			}
			if p.events[0].references != nil {
				t.Error("a delete has references")
			}
		})
	}
}

func TestEveryTargetIsReadOnceAndAThousandAtATime(t *testing.T) {
	t.Parallel()
	f := &finderModel{rows: map[string]map[string]Found{"contact": {}, "account": {}}}
	w := referWorker(t, f)
	p := &plan{}
	for i := range 2500 {
		target := recordID(100_000 + i%3)
		f.rows["contact"][target] = Found{Columns: map[string][]byte{"emailaddress1": []byte(`"x"`)}}
		p.events = append(p.events, planned{id: recordID(i), row: &Row{ID: recordID(i),
			JSON: fmt.Appendf(nil, `{"_primarycontactid_value":%q,"_customerid_value":null}`, target)}})
	}
	if err := w.refer(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(f.sizes) != "[3 3 3]" {
		t.Errorf("records asked for: %v", f.sizes)
	}
	for i := range p.events {
		if !strings.Contains(string(p.events[i].references), `"key"`) {
			t.Fatalf("event %d: %s", i, p.events[i].references)
		}
	}
}

// pointingSource gives every row a primary contact.
type pointingSource struct {
	*crmModel
	target string
}

func (s pointingSource) Page(ctx context.Context, q Query, link string) (*Page, error) {
	p, err := s.crmModel.Page(ctx, q, link)
	if err != nil {
		return nil, err
	}
	for i := range p.Rows {
		p.Rows[i].JSON = append([]byte(`{"_primarycontactid_value":"`+s.target+`",`), p.Rows[i].JSON[1:]...)
	}
	return p, nil
}

func TestAReadOfReferencesThatFailsPublishesNothingAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(3)
		r.cfg.Query.Columns = append(r.cfg.Query.Columns, "primarycontactid")
		table := *r.cfg.Query.Table
		table.Columns[4].Targets = []string{"contact"}
		_, contact := referenceTables()
		r.cfg.References = []Reference{{Column: "primarycontactid", Keys: []ReferenceKey{{contact, []string{"emailaddress1"}}}}}
		r.cfg.Query.Table = &table
		f := &finderModel{err: &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Server}, rows: map[string]map[string]Found{}}
		const target = "00000000-0000-4000-8000-0000000000c1"
		w := newTestWorker(t, r.cfg, pointingSource{r.crm, target}, r.stream, Deps{Finder: f})
		start(t, w)
		pass(time.Second)
		if n := len(r.stream.snapshot()); n != 0 {
			t.Fatalf("%d messages are stored although the references are not known", n)
		}
		f.mu.Lock()
		f.err, f.rows["contact"] = nil, map[string]Found{target: {Columns: map[string][]byte{"emailaddress1": []byte(`"x"`)}}}
		f.mu.Unlock()
		pass(time.Minute)
		events := 0
		for _, m := range r.stream.snapshot() {
			if _, ok := testNames().RecordID("account", m.Subject); !ok {
				continue
			}
			events++
			d, err := event.ReadData(m.Header, m.Data)
			if err != nil || string(d.References) != `{"primarycontactid":{"table":"contact","id":"`+target+`","key":{"emailaddress1":"x"}}}` {
				t.Errorf("references %s (%v)", d.References, err)
			}
		}
		if events != 3 {
			t.Errorf("%d events, want 3", events)
		}
		f.mu.Lock()
		f.err = &outcome.Error{Verdict: outcome.Stop, Reason: outcome.Forbidden}
		f.mu.Unlock()
		r.crm.put(recordID(0), "changed")
		pass(time.Minute)
		wantState(t, w, StateHalted)
	})
}

func TestReferencesThatCannotBeReadAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	account, contact := referenceTables()
	for name, r := range map[string]Reference{
		"unknown":    {Column: "nope"},
		"no lookup":  {Column: "accountid"},
		"not listed": {Column: "customerid"},
		"no columns": {Column: "primarycontactid", Keys: []ReferenceKey{{Table: contact}}},
	} {
		cfg := testConfig()
		cfg.Query = Query{Table: account, Columns: []string{"accountid", "primarycontactid"}}
		cfg.References = []Reference{r}
		if _, err := NewWorker(cfg, newCRM(5), newStream(), Deps{Finder: &finderModel{}}); err == nil || !strings.Contains(err.Error(), "references") {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := testConfig()
	cfg.Query = Query{Table: account, Columns: []string{"primarycontactid"}}
	cfg.References = []Reference{{Column: "primarycontactid"}}
	if _, err := NewWorker(cfg, newCRM(5), newStream(), Deps{}); err == nil {
		t.Error("a worker without a finder starts")
	}
}
