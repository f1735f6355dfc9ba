package mapping_test

import (
	"context"
	"strings"
	"testing"

	"cebridge/schema/mapping"
)

// tenColumns is a mapping of ten columns: half of them places, half expressions.
const tenColumns = `
when: type.endsWith(".v1")
table: account
key: {accountnumber: data.customer.number}
columns:
  name: data.customer.name
  telephone1: data.customer.?phone.orValue(omit())
  description: data.customer.notes
  revenue: data.totals.revenue
  new_rate: data.totals.rate
  numberofemployees: int(data.totals.employees)
  donotemail: '!data.customer.mail'
  industrycode: '{"A": 1, "C": 7}[data.customer.industry]'
  new_since: isoDate(data.customer.since)
  new_mandatory: data.customer.name.lowerAscii().replace(" ", "").substring(0, 5)
`

func BenchmarkMapTenColumns(b *testing.B) {
	p := compile(b, tenColumns, mapping.Options{})
	data := `{"customer":{"number":"ABC123","name":"Contoso Ltd","phone":"+49 30 123456","notes":"` + strings.Repeat("n", 600) +
		`","mail":true,"industry":"C","since":"2026-02-28T10:00:00Z"},"totals":{"revenue":5000000.0000,"rate":0.19,"employees":4711},` +
		`"lines":[{"sku":"A-1","quantity":1},{"sku":"A-2","quantity":2},{"sku":"A-3","quantity":3}],"region":"NW","owner":"user@contoso.com"}`
	e := newEventOf(data)
	ctx := context.Background()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if match, err := p.Match(ctx, e); err != nil || !match {
			b.Fatal(match, err)
		}
		if _, err := p.Map(ctx, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	tables := catalog(b)
	root := node(b, tenColumns)
	for b.Loop() {
		spec, ps := mapping.Parse("f.yaml", "r", root)
		if len(ps) > 0 {
			b.Fatal(ps)
		}
		if _, ps = mapping.Compile(spec, tables, mapping.Options{}); len(ps) > 0 {
			b.Fatal(ps)
		}
	}
}
