package mapping_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/mapping"
	"cebridge/schema/outcome"
)

const customerAndSites = `
writes:
- table: account
  key: {accountnumber: data.number}
- for_each: data.sites
  table: account
  key: {accountnumber: item.no}
  columns: {name: data.name}
`

// list makes an event of n sites.
func list(n int, name string) string {
	var sites []string
	for i := range n {
		sites = append(sites, fmt.Sprintf(`{"no": "S%d"}`, i))
	}
	return fmt.Sprintf(`{"number": "A1", "name": %q, "sites": [%s]}`, name, strings.Join(sites, ","))
}

func TestTheWritesOfAnEventAreBounded(t *testing.T) {
	t.Parallel()
	p := compile(t, customerAndSites, mapping.Options{})
	cases := []struct {
		data, problem string
		writes        int
	}{
		{list(999, "x"), "", 1000},
		{list(1000, "x"), "the event asks for more than 1000 writes", 0},
		{list(900, strings.Repeat("x", 100)), "", 901},
	}
	for _, c := range cases {
		writes, err := p.Map(t.Context(), newEvent(t, c.data))
		if c.problem == "" {
			if err != nil || len(writes) != c.writes {
				t.Errorf("%d writes, %v; want %d", len(writes), err, c.writes)
			}
			continue
		}
		if r := outcome.Of(err); r == nil || r.Verdict != outcome.Reject || !strings.Contains(r.Message, c.problem) || !strings.Contains(r.Op, "writes[1]") {
			t.Errorf("got %v, want a rejection: %s", err, c.problem)
		}
	}
}

func TestTheWritesOfAnEventAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	text := strings.Replace(customerAndSites, "name: data.name", "description: data.name", 1) + "  on_create: {columns: {telephone1: '\"1\"'}}\n"
	p := compile(t, text, mapping.Options{})
	long := strings.Repeat("€", 2000) // 6000 bytes, in Body and in OnCreate
	_, err := p.Map(t.Context(), newEvent(t, list(999, long)))
	if r := outcome.Of(err); r == nil || !strings.Contains(r.Message, "8388608 bytes") {
		t.Errorf("got %v", err)
	}
	if _, err := p.Map(t.Context(), newEvent(t, list(600, long))); err != nil {
		t.Errorf("fewer of them: %v", err)
	}
}

func TestARejectedElementIsNamedByItsIndexAndNeverQuoted(t *testing.T) {
	t.Parallel()
	p := compile(t, customerAndSites, mapping.Options{})
	_, err := p.Map(t.Context(), newEvent(t, `{"number": "A1", "name": "x", "sites": [{"no": "S1"}, {"no": ["SECRET"]}]}`))
	r := outcome.Of(err)
	if r == nil || !strings.Contains(r.Message, "index 1 of for_each") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("got %v", err)
	}
}

func TestAnUpdateIsNotFollowedByADeleteOfTheSameRecord(t *testing.T) {
	t.Parallel()
	p := compile(t, `
writes:
- {for_each: data.changed, table: account, operation: update, key: {accountnumber: item}, columns: {name: '"x"'}}
- {for_each: data.gone, table: account, operation: delete, key: {accountnumber: item}}
`, mapping.Options{})
	_, err := p.Map(t.Context(), newEvent(t, `{"changed": ["A1", "A2"], "gone": ["A3", "a2 "]}`))
	if r := outcome.Of(err); r == nil || r.Verdict != outcome.Reject || !strings.Contains(r.Message, "updates a record and then deletes it") {
		t.Errorf("got %v", err)
	}
	writes, err := p.Map(t.Context(), newEvent(t, `{"changed": ["A1"], "gone": ["A3"]}`))
	if err != nil || len(writes) != 2 {
		t.Errorf("%d writes, %v", len(writes), err)
	}
}

func TestSeveralWritesEndWithTheContext(t *testing.T) {
	t.Parallel()
	p := compile(t, strings.Replace(customerAndSites, "data.sites", "data.sites.filter(s, true)", 1), mapping.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Map(ctx, newEvent(t, list(3, "x"))); err == nil || outcome.Of(err) != nil {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestTheTablesAndKeysOfAllWritesAreListed(t *testing.T) {
	t.Parallel()
	spec, ps := parse(t, `
writes:
- {table: account, key: {accountnumber: data.a}, lookups: {new_region: {new_region: {new_code: data.r}}}}
- {for_each: data.l, table: contact, operation: update, key: {emailaddress1: item.m}, columns: {lastname: data.n}}
`)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if diff := cmp.Diff([]string{"account", "contact", "new_region"}, spec.Tables()); diff != "" {
		t.Error(diff)
	}
	var keys []string
	for _, k := range spec.Keys() {
		keys = append(keys, k.Table)
	}
	if diff := cmp.Diff([]string{"account", "new_region", "contact"}, keys); diff != "" {
		t.Error(diff)
	}
	if !spec.Writes("contact") || spec.Writes("new_region") || spec.Table() != "account" {
		t.Error("the written tables are wrong")
	}
	if needs := mapping.KeyNeeds(spec, catalog(t)); len(needs) != 3 {
		t.Errorf("needs %+v", needs)
	}
}

func TestAnExampleIsHeldAgainstTheElementsOfItsList(t *testing.T) {
	t.Parallel()
	text := `
writes:
- for_each: data.sites
  table: account
  key: {accountnumber: item.number}
  columns: {name: item.nmae, revenue: item.size, telephone1: 'data.sites.exists(item, item.any) ? "a" : "b"'}
- {for_each: data.number, table: contact, key: {emailaddress1: item.x}}
- {for_each: data.none, table: contact, key: {emailaddress1: item.x}}
`
	spec, ps := parse(t, text)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	_, ps = mapping.Compile(spec, catalog(t), mapping.Options{Example: []byte(`{"number": "A1", "sites": [{"number": "S1", "name": "x", "size": "big"}], "none": []}`)})
	var got []string
	for _, p := range ps {
		got = append(got, p.Field+": "+p.Text)
	}
	want := []string{
		"routes.r.writes[0].columns.name: the example has no item.nmae; did you mean name?",
		"routes.r.writes[0].columns.revenue: with the example's item.size: column revenue takes a number, not a text",
		"routes.r.writes[1].for_each: with the example's data.number: for_each takes a list, not a text",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The same event gives the same bytes, from several goroutines.
func TestSeveralWritesAreTheSameEveryTime(t *testing.T) {
	t.Parallel()
	p := compile(t, customerAndSites, mapping.Options{})
	render := func() string {
		writes, err := p.Map(context.Background(), newEvent(t, list(20, "x")))
		if err != nil {
			return err.Error()
		}
		var paths []string
		for _, w := range writes {
			paths = append(paths, w.Path()+string(w.Body))
		}
		return strings.Join(paths, "\n")
	}
	want := render()
	if strings.Count(want, "\n") != 20 {
		t.Fatal(want)
	}
	results := make(chan string)
	for range 8 {
		go func() {
			for range 20 {
				results <- render()
			}
		}()
	}
	var got []string
	for range 160 {
		got = append(got, <-results)
	}
	if slices.ContainsFunc(got, func(s string) bool { return s != want }) {
		t.Error("the writes differ")
	}
}

func TestWithARevisionAnEventUpdatesItsRecordOrDeletesIt(t *testing.T) {
	t.Parallel()
	p := compile(t, `
revision: data.revision
writes:
- {when: '!has(data.gone)', table: account, key: {accountnumber: data.id}, columns: {name: data.name}}
- {when: has(data.gone), table: account, operation: delete, key: {accountnumber: data.id}}
- {when: has(data.gone), table: account, operation: delete, key: {accountnumber: data.id}}
`, mapping.Options{})
	for data, want := range map[string]string{
		`{"id": "A1", "name": "Contoso", "revision": 1}`: "[upsert accounts(accountnumber='A1')]",
		`{"id": "A1", "gone": true, "revision": 2}`:      "[delete accounts(accountnumber='A1') delete accounts(accountnumber='A1')]",
	} {
		writes, err := p.Map(t.Context(), newEvent(t, data))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range writes {
			got = append(got, string(w.Operation)+" "+w.Path())
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", data, got, want)
		}
	}
}
