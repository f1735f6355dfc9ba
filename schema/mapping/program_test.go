package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cebridge/schema"
	"cebridge/schema/mapping"
	"cebridge/schema/outcome"
)

// seed is the mapping that used to take seven calls.
const seed = `
table: account
operation: upsert
key: {accountnumber: data.customerNumber}
columns:
  name: data.name
  statecode: '0'
  statuscode: '1'
lookups:
  primarycontactid: {contact: {emailaddress1: data.contact.email}}
  new_region: {new_region: {new_code: data.region}}
  ownerid: {systemuser: {internalemailaddress: data.owner}}
`

const seedData = `{"customerNumber": "ABC123", "name": "Contoso Ltd", "region": "NW",
	"contact": {"email": "contact@company.com"}, "owner": "user@mycompany.com"}`

func TestSevenCallsBecomeOneWrite(t *testing.T) {
	t.Parallel()
	got, err := mapEvent(t, compile(t, seed, mapping.Options{WantResult: true}), seedData)
	if err != nil {
		t.Fatal(err)
	}
	want := &schema.Write{
		Operation: schema.OpUpsert,
		Table:     "account",
		EntitySet: "accounts",
		Key:       []schema.KeyPart{{Column: "accountnumber", Value: []byte(`"ABC123"`)}},
		Predicate: "accountnumber='ABC123'",
		Body: []byte(`{"name":"Contoso Ltd","statecode":0,"statuscode":1,` +
			`"primarycontactid@odata.bind":"/contacts(emailaddress1='contact%40company.com')",` +
			`"new_Region@odata.bind":"/new_regions(new_code='NW')",` +
			`"ownerid@odata.bind":"/systemusers(internalemailaddress='user%40mycompany.com')"}`),
		WantResult: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("write differs (-want +got):\n%s", diff)
	}
	if got.Path() != "accounts(accountnumber='ABC123')" {
		t.Errorf("path is %s", got.Path())
	}
}

func TestASpecNamesEveryTableAndKeyItNeeds(t *testing.T) {
	t.Parallel()
	spec, ps := parse(t, `
when: optionset("lead.leadsourcecode", data.x) == 1
table: account
key: {accountnumber: data.no}
lookups:
  primarycontactid: {contact: {emailaddress1: data.mail}}
  new_payer: 'ref("systemuser", data.a)'
on_create:
  lookups: {ownerid: {team: data.team}}
`)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if diff := cmp.Diff([]string{"account", "contact", "lead", "systemuser", "team"}, spec.Tables()); diff != "" {
		t.Error(diff)
	}
	want := []mapping.KeyUse{{Table: "account", Columns: []string{"accountnumber"}}, {Table: "contact", Columns: []string{"emailaddress1"}}}
	if diff := cmp.Diff(want, spec.Keys()); diff != "" {
		t.Error(diff)
	}
	if spec.Table() != "account" || spec.Operation() != schema.OpUpsert {
		t.Errorf("table %s, operation %s", spec.Table(), spec.Operation())
	}
}

func TestOtherFieldsOfARouteAreNotTheMappings(t *testing.T) {
	t.Parallel()
	if ps := problems(t, account("stream: ERP", "subjects: [erp.>]", "start: new")); len(ps) > 0 {
		t.Error(ps)
	}
	for _, f := range mapping.Fields() {
		if !slices.Contains([]string{"when", "table", "operation", "key", "id", "resolve", "columns", "lookups", "on_create", "merged", "writes", "revision", "codes"}, f) {
			t.Errorf("unexpected field %s", f)
		}
	}
}

func TestParseOfNothingIsAProblem(t *testing.T) {
	t.Parallel()
	spec, ps := mapping.Parse("f.yaml", "r", nil)
	if len(ps) != 1 || ps[0].Error() != "f.yaml: r: the mapping is missing" {
		t.Errorf("got %v", ps)
	}
	if tables := spec.Tables(); len(tables) != 0 {
		t.Errorf("tables %v", tables)
	}
}

func TestAnEndedContextIsNoVerdict(t *testing.T) {
	t.Parallel()
	p := compile(t, account(`when: data.items.all(i, i.exists(j, j != "x"))`, `columns: {name: 'data.items.map(i, string(i)).join(",")'}`, "revision: data.rev"), mapping.Options{CostLimit: 1 << 40})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	e := newEvent(t, `{"number": "1", "items": [1], "rev": 1}`)
	_, err1 := p.Match(ctx, e)
	_, err2 := mapOne(ctx, p, e)
	_, err3 := p.Revision(ctx, e)
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, context.Canceled) || outcome.Of(err) != nil {
			t.Errorf("got %v, want the context's error", err)
		}
	}
}

// endsLater is a context that ends after Err was asked a number of times.
type endsLater struct {
	context.Context
	mu   sync.Mutex
	left int
	done chan struct{}
}

func (c *endsLater) Done() <-chan struct{} { return c.done }

func (c *endsLater) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	if c.left == 0 {
		close(c.done)
	}
	return nil
}

func TestALongExpressionIsInterrupted(t *testing.T) {
	t.Parallel()
	p := compile(t, account(`when: data.items.all(i, data.items.all(j, data.items.all(k, i + j + k >= 0.0)))`), mapping.Options{CostLimit: 1 << 60})
	e := newEvent(t, `{"number": "1", "items": [`+strings.Repeat("1,", 999)+`1]}`)
	ctx := &endsLater{Context: context.Background(), left: 1, done: make(chan struct{})}
	_, err := p.Match(ctx, e) // 10^9 steps if it is not
	if !errors.Is(err, context.DeadlineExceeded) || outcome.Of(err) != nil {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestARunawayExpressionIsRejected(t *testing.T) {
	t.Parallel()
	p := compile(t, account(`columns: {name: 'string(size(data.items.map(i, data.items.map(j, data.items.map(k, i)))))'}`), mapping.Options{})
	_, err := mapEvent(t, p, `{"number": "1", "items": [`+strings.Repeat("1,", 999)+`1]}`)
	e := outcome.Of(err)
	if e == nil || e.Verdict != outcome.Reject || e.Message != "the expression needs more steps than its cost limit allows" {
		t.Errorf("got %v", err)
	}
}

func TestExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ expression, want string }{
		"length":  {`"` + strings.Repeat("x", 4095) + `"`, "the expression is longer than 4096 characters"},
		"nodes":   {"[" + strings.Repeat("1,", 2000) + "1].size() == 1", "expression node count exceeds limit: count 2005, limit 2000"},
		"nesting": {strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100), "expression recursion limit exceeded: 64"},
		"regex":   {`data.a.matches("(((a{50}){20}){1})")`, "regex program size"},
	} {
		ps := problems(t, account("columns: {name: '"+c.expression+"'}"))
		if len(ps) == 0 || !strings.Contains(ps[0].Text, c.want) {
			t.Errorf("%s: got %v, want %s", name, ps, c.want)
		}
	}
	spec, ps := parse(t, account(`columns: {name: 'data.a + "x"'}`))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	_, ps = mapping.Compile(spec, catalog(t), mapping.Options{MaxExpression: 11})
	if len(ps) != 1 || ps[0].Text != "the expression is longer than 11 characters" {
		t.Errorf("a limit of 11 characters gives %v", ps)
	}
}

// secret stands for personal data: it must not appear in any error.
const secret = "Grace.Hopper-4711"

func TestErrorsHoldNothingOfTheEvent(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		"columns: {new_mandatory: data.x}",
		"columns: {numberofemployees: data.x}",
		"columns: {numberofemployees: int(data.x)}",
		"columns: {revenue: double(data.x)}",
		"columns: {donotemail: bool(data.x)}",
		"columns: {lastonholdtime: timestamp(data.x)}",
		"columns: {new_since: isoDate(data.x)}",
		"columns: {new_since: data.x}",
		"columns: {new_externalid: data.x}",
		"columns: {entityimage: data.x}",
		"columns: {new_tags: data.x}",
		"columns: {industrycode: optionset(data.x)}",
		`columns: {statuscode: '{"a": 1}[data.x]'}`,
		"columns: {name: 'data[data.x]'}",
		"columns: {name: 'data.x[0]'}",
		"columns: {name: data.x.y}",
		"columns: {revenue: data.x + 1.0}",
		"columns: {name: 'duration(data.x) == duration(\"1s\") ? \"a\" : \"b\"'}",
		`columns: {name: 'data.x.matches("[") ? "a" : "b"'}`,
		`columns: {name: 'data.bad.matches(data.x + "[") ? "a" : "b"'}`,
		`columns: {name: '"%d".format([data.x])'}`,
		"columns: {name: data.x.substring(99)}",
		"lookups: {primarycontactid: {contact: data.x}}",
		"lookups: {primarycontactid: {contact: {emailaddress1: data.long}}}",
		"lookups: {parentaccountid: {account: {resolve: {name: data.long}}}}",
		"lookups: {parentaccountid: {account: {resolve: {parentaccountid: data.x}}}}",
		"lookups: {parentaccountid: 'resolve(\"account\", {\"numberofemployees\": data.x})'}",
		"lookups: {parentaccountid: 'ref(\"account\", {string(data.x): data.x})'}",
		"lookups: {parentaccountid: 'ref(\"account\", data.x)'}",
		"revision: data.long",
	} {
		spec, ps := parse(t, account(field))
		if len(ps) > 0 {
			t.Errorf("%s: %v", field, ps)
			continue
		}
		p, ps := mapping.Compile(spec, catalog(t), mapping.Options{})
		if len(ps) > 0 {
			if !strings.Contains(field, `"["`) { // a bad constant pattern is found at once
				t.Errorf("%s: %v", field, ps)
			}
			continue
		}
		e := newEvent(t, `{"number": "1", "x": "`+secret+`", "bad": "`+secret+`/", "long": "`+strings.Repeat(secret, 20)+`"}`)
		_, err := mapOne(t.Context(), p, e)
		if strings.HasPrefix(field, "revision") {
			_, err = p.Revision(t.Context(), e)
		}
		if outcome.Of(err) == nil {
			t.Errorf("%s: got %v, want a rejection", field, err)
			continue
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "Hopper") {
			t.Errorf("%s: the error holds the value: %v", field, err)
		}
	}
}

func TestTheSameEventGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	p := compile(t, account(
		`lookups: {primarycontactid: 'ref("contact", {"firstname": data.a, "birthdate": data.d, "lastname": data.b})'}`,
		`columns: {description: data.b, name: data.a}`), mapping.Options{})
	const data = `{"number": "1", "a": "A", "b": "B", "d": "2000-01-02"}`
	const want = `{"description":"B","name":"A","primarycontactid@odata.bind":"/contacts(lastname='B',firstname='A',birthdate=2000-01-02)"}`
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				w, err := mapOne(context.Background(), p, newEvent(t, data))
				if err != nil || string(w.Body) != want {
					t.Errorf("got %v, %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestACompiledSpecCanBeCompiledAgain(t *testing.T) {
	t.Parallel()
	spec, ps := parse(t, account(`columns: {industrycode: 'data.a == null ? null : optionset(data.a)'}`))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	for range 2 {
		p, ps := mapping.Compile(spec, catalog(t), mapping.Options{})
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		w, err := mapEvent(t, p, `{"number": "1", "a": "Insurance"}`)
		if err != nil || string(w.Body) != `{"industrycode":20}` {
			t.Errorf("got %v, %v", w, err)
		}
	}
}

func TestRevisionsSortInTheirOrder(t *testing.T) {
	t.Parallel()
	p := compile(t, account("revision: data.rev"), mapping.Options{})
	revision := func(t interface{ Fatalf(string, ...any) }, json string) string {
		e := newEventOf(`{"number": "1", "rev": ` + json + `}`)
		r, err := p.Revision(context.Background(), e)
		if err != nil {
			t.Fatalf("%s: %v", json, err)
		}
		return r
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Min(0).Draw(t, "a"), rapid.Int64Min(0).Draw(t, "b")
		if (a < b) != (revision(t, fmt.Sprint(a)) < revision(t, fmt.Sprint(b))) {
			t.Fatalf("numbers %d and %d sort wrongly", a, b)
		}
		x, y := time.Unix(a%4e9, a%1e9), time.Unix(b%4e9, b%1e9).In(time.FixedZone("", 7200))
		if x.Before(y) != (revision(t, `"`+x.UTC().Format(time.RFC3339Nano)+`"`) < revision(t, `"`+y.Format(time.RFC3339Nano)+`"`)) {
			t.Fatalf("times %v and %v sort wrongly", x, y)
		}
	})
	if a, b := revision(t, `"10"`), revision(t, "9"); a < b {
		t.Errorf("text 10 sorts as %q, number 9 as %q", a, b)
	}
	if none := revision(t, "null"); none != "" {
		t.Errorf("null gives revision %q", none)
	}
	for _, bad := range []string{"-1", "1.5", `""`, "true", "[]", "1e19"} {
		if r, err := p.Revision(t.Context(), newEvent(t, `{"rev": `+bad+`}`)); outcome.Of(err) == nil {
			t.Errorf("revision %s gives %q, %v, want a rejection", bad, r, err)
		}
	}
}

func TestExtensionsReadTheSameInBothModes(t *testing.T) {
	t.Parallel()
	p := compile(t, account("columns: {name: attributes.sequence, donotemail: 'attributes.flag == \"true\"'}"), mapping.Options{})
	structured, binary := newEvent(t, `{"number": "1"}`), newEvent(t, `{"number": "1"}`)
	structured.SetExtension("sequence", 4711)
	structured.SetExtension("flag", true)
	binary.SetExtension("sequence", "4711")
	binary.SetExtension("flag", "true")
	a, err := mapOne(t.Context(), p, structured)
	if err != nil {
		t.Fatal(err)
	}
	b, err := mapOne(t.Context(), p, binary)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Body) != string(b.Body) || string(a.Body) != `{"name":"4711","donotemail":true}` {
		t.Errorf("structured %s, binary %s", a.Body, b.Body)
	}
}

func TestAttributesAreVariables(t *testing.T) {
	t.Parallel()
	p := compile(t, `
table: account
key: {accountnumber: id}
when: subject == "" && dataschema == "" && datacontenttype == "" && source == "/erp" && type != ""
columns: {name: source, description: type, lastonholdtime: time}
`, mapping.Options{})
	e := newEvent(t, "")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 999, time.UTC))
	if match, err := p.Match(t.Context(), e); err != nil || !match {
		t.Errorf("match %v, %v", match, err)
	}
	w, err := mapOne(t.Context(), p, e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"/erp","description":"com.contoso.erp.customer.changed.v1","lastonholdtime":"2026-01-02T03:04:05Z"}`
	if string(w.Body) != want || w.Path() != "accounts(accountnumber='e-1')" {
		t.Errorf("got %s %s", w.Path(), w.Body)
	}
}
