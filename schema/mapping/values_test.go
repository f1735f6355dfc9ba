package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/mapping"
	"cebridge/schema/outcome"
)

// refused marks an expression that is not even compiled.
const refused = "refused at compile time"

// TestWhatAnExpressionYieldsIsChecked maps {"number": "1", "x": <data>} with one
// more field and holds the body, or the reason of the rejection.
func TestWhatAnExpressionYieldsIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, x, want string }{
		{`columns: {name: 'data.x == omit() ? "a" : "b"'}`, `1`, `{"name":"b"}`},
		{`columns: {name: 'omit() == dyn(omit()) ? "a" : data.x'}`, `1`, `{"name":"a"}`},
		{`columns: {name: 'dyn(omit()) == data.x ? "a" : null'}`, `1`, `{"name":null}`},
		{`columns: {name: 'string(type(data.x) == double)'}`, `1`, `{"name":"true"}`},
		{`columns: {name: '[data.x, data.x].map(v, string(v)).join(" ")'}`, `2.50`, `{"name":"2.5 2.5"}`},
		{`columns: {numberofemployees: 'data.x > 1 ? uint(data.x) : 0u'}`, `7`, `{"numberofemployees":7}`},
		{`columns: {numberofemployees: 'data.x in [1, 2] ? 1 : 0'}`, `2`, `{"numberofemployees":1}`},
		{`columns: {new_tags: 'data.x.filter(v, v > 5)'}`, `[1, 9, 12]`, `{"new_tags":"9,12"}`},
		{`columns: {new_tags: 'data.x.filter(v, v > 50)'}`, `[1, 9, 12]`, `{"new_tags":null}`},
		{`columns: {new_since: 'timestamp(data.x)'}`, `"2026-01-01T00:30:00+01:00"`, `{"new_since":"2025-12-31"}`},
		{`columns: {new_since: 'isoDate(data.x)'}`, `"2026-01-01T00:30:00+01:00"`, `{"new_since":"2026-01-01"}`},
		{`columns: {new_since: 'isoDate(timestamp(data.x))'}`, `"2026-01-01T00:30:00+01:00"`, `{"new_since":"2025-12-31"}`},
		{`columns: {lastonholdtime: 'timestamp(data.x) + duration("1h")'}`, `"2026-01-01T00:30:00.9Z"`, `{"lastonholdtime":"2026-01-01T01:30:00Z"}`},
		{`columns: {name: 'data.x ? "a" : dyn(b"")'}`, `false`, "the expression yields bytes, which no column takes"},
		{`columns: {name: 'dyn(duration("1s"))'}`, `1`, refused},
		{`columns: {name: 'data.x == 1 ? dyn({"a": 1}) : "b"'}`, `1`, "column name takes a text, not an object"},
		{`columns: {name: 'data.x == 1 ? dyn([1]) : "b"'}`, `1`, "column name takes a text, not a list"},
		{`columns: {name: 'data.x == 1 ? dyn(true) : "b"'}`, `1`, "column name takes a text, not true or false"},
		{`columns: {name: 'data.x == 1 ? time : "b"'}`, `1`, refused},
		{`columns: {name: 'dyn(data.?x)'}`, `1`, "the expression yields an optional value: end it with .orValue(omit())"},
		{`columns: {revenue: 'data.x / 0.0'}`, `1`, "the expression yields a number that has no exact digits (beyond 2^53, or not a number)"},
		{`columns: {revenue: 'data.x + 1.0'}`, `12345678901234567.5`, "a number has more digits than an expression can hold exactly: copy it by its path alone"},
		{`columns: {revenue: 'data.x'}`, `12345678901234.56`, `{"revenue":12345678901234.56}`},
		{`columns: {numberofemployees: '1 / int(data.x)'}`, `0`, "the expression divides by zero"},
		{`columns: {numberofemployees: '9223372036854775807 + int(data.x)'}`, `1`, "a number in the expression grows beyond its range"},
		{`columns: {name: 'data.x[3] + ""'}`, `["a"]`, "a list in the event is shorter than the expression expects"},
		{`columns: {name: 'data.x.y + "z"'}`, `{}`, "y is missing in the event"},
		{`columns: {new_since: 'isoDate(data.x)'}`, `"20260230"`, "isoDate() takes yyyy-MM-dd, yyyyMMdd or a time that begins with yyyy-MM-ddT"},
		{`when: data.x`, `"true"`, "when must be true or false, not a text"},
		{`lookups: {parentaccountid: 'data.x == 1 ? "a" : omit()'}`, `1`, "a lookup takes ref(), resolve(), null or omit(), not a text"},
		{`lookups: {parentaccountid: 'data.x == 1 ? dyn("a") : omit()'}`, `1`, "a lookup takes ref(), resolve(), null or omit(), not a text"},
		{`lookups: {parentaccountid: 'ref("account", data.x)'}`, `{"accountnumber": "2"}`, `{"parentaccountid@odata.bind":"/accounts(accountnumber='2')"}`},
		{`lookups: {parentaccountid: 'ref("account", data.x)'}`, `{"name": "2"}`, "ref() gives columns that are no active alternate key of account"},
		{`lookups: {parentaccountid: 'ref("account", data.x)'}`, `{"new_externalid": "0000000a-0000-0000-0000-00000000000b"}`, "ref() gives columns that are no active alternate key of account"},
		{`lookups: {primarycontactid: {contact: {lastname: data.x, firstname: data.x, birthdate: '"2000-01-02"'}}}`, `1.0`, `{"primarycontactid@odata.bind":"/contacts(lastname='1',firstname='1',birthdate=2000-01-02)"}`},
		{`lookups: {primarycontactid: {contact: {lastname: '"a"', firstname: '"b"', birthdate: data.x}}}`, `"2000-02-30"`, "the key column birthdate takes a date and time that exist"},
		{`lookups: {primarycontactid: {contact: {lastname: '"a"', firstname: '"b"', birthdate: timestamp(data.x)}}}`, `"2000-02-28T23:00:00Z"`, `{"primarycontactid@odata.bind":"/contacts(lastname='a',firstname='b',birthdate=2000-02-28)"}`},
	} {
		spec, ps := parse(t, account(c.field))
		if len(ps) > 0 {
			t.Errorf("%s: %v", c.field, ps)
			continue
		}
		p, ps := mapping.Compile(spec, catalog(t), mapping.Options{})
		if len(ps) > 0 {
			if c.want != refused {
				t.Errorf("%s: %v", c.field, ps)
			}
			continue
		}
		e := newEvent(t, `{"number": "1", "x": `+c.x+`}`)
		got := ""
		if _, err := p.Match(t.Context(), e); err != nil {
			got = outcome.Of(err).Message
		} else if w, err := mapOne(t.Context(), p, e); err != nil {
			got = outcome.Of(err).Message
		} else {
			got = string(w.Body)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s with %s (-want +got):\n%s", c.field, c.x, diff)
		}
	}
}

func TestAProgramKnowsItsTable(t *testing.T) {
	t.Parallel()
	p := compile(t, account("columns: {name: data.x}"), mapping.Options{})
	if p.Table().LogicalName != "account" {
		t.Errorf("table %s", p.Table().LogicalName)
	}
}
