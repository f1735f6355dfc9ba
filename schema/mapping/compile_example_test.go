package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/mapping"
)

const exampleData = `{"number": "1", "name": "Contoso", "phone2": "1", "contact": {"email": "a@b.c", "born": null},
	"items": [{"sku": "x"}], "revenue": "12.50", "employees": 10}`

func TestAMappingIsHeldAgainstAnExample(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, line string
		want       []string
	}{
		{"everything there", "columns: {name: data.name, description: 'data.contact.email + data.items[0].sku', numberofemployees: data.employees}", nil},
		{"an optional place may be absent", "columns: {description: data.?remarks.orValue(omit())}", nil},
		{"nothing is known below null and beyond a list", "columns: {description: 'data.contact.born.year + data.items[5].name'}", nil},
		{"a misspelled member", "columns: {name: data.nmae}", []string{"bridge.yaml:3:21: routes.r.columns.name: the example has no data.nmae; did you mean name?"}},
		{"a missing member", "columns: {name: data.zzz + data.contact.qqq}", []string{
			"bridge.yaml:3:21: routes.r.columns.name: the example has no data.zzz",
			"bridge.yaml:3:40: routes.r.columns.name: the example has no data.contact.qqq",
		}},
		{"a missing parent is named once", "columns: {name: data.zzz.a.b}", []string{"bridge.yaml:3:21: routes.r.columns.name: the example has no data.zzz"}},
		{"an optional place that is likely misspelled", "columns: {telephone1: data.?phone.orValue(omit())}", []string{
			"bridge.yaml:3:27: routes.r.columns.telephone1: the example has no data.phone; did you mean phone2?",
		}},
		{"a place that is read on a condition may be absent",
			`columns: {description: 'has(data.remarks) && data.remarks != "" ? data.remarks : data.contact.email'}`, nil},
		{"a condition reads its places always", `columns: {description: 'data.zzz == "" ? "a" : "b"'}`, []string{
			"bridge.yaml:3:29: routes.r.columns.description: the example has no data.zzz",
		}},
		{"a member of a text", "columns: {name: data.name.first}", []string{"bridge.yaml:3:26: routes.r.columns.name: data.name is a text in the example, which has no members"}},
		{"a value of the wrong kind", "columns: {revenue: data.revenue}", []string{"bridge.yaml:3:20: routes.r.columns.revenue: with the example's data.revenue: column revenue takes a number, not a text"}},
		{"a key of the wrong kind", "lookups: {primarycontactid: {contact: {emailaddress1: data.contact}}}", []string{
			"bridge.yaml:3:55: routes.r.lookups.primarycontactid.contact.emailaddress1: with the example's data.contact: the key column emailaddress1 takes a text or a number, not an object",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec, ps := parse(t, account(c.line))
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			_, ps = mapping.Compile(spec, catalog(t), mapping.Options{Example: []byte(exampleData)})
			var got []string
			for _, p := range ps {
				got = append(got, p.Error())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnExampleMustBeJSON(t *testing.T) {
	t.Parallel()
	spec, _ := parse(t, account())
	_, ps := mapping.Compile(spec, catalog(t), mapping.Options{Example: []byte(`{"a":`)})
	if len(ps) != 1 || ps[0].Text != "the example of an event: the event's data is not valid JSON at byte 5" {
		t.Errorf("got %v", ps)
	}
}
