package mapping_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"cebridge/schema/mapping"
	"cebridge/schema/outcome"
)

// FuzzMapping: no YAML and no data make Parse, Compile or Map panic; what comes
// out is a write with valid JSON, or a rejection.
func FuzzMapping(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), `{"customerNumber": "1", "no": "1", "n": 1e3}`)
	}
	f.Add(seed, seedData)
	f.Add(account(`columns: {name: data.?a[0].b.orValue(null), revenue: data.n * 2.0}`), `{"number": 1, "n": 0.1}`)
	f.Add("writes:\n- {for_each: 'data.l.filter(x, x.n > 1.0)', when: item.n < 3.0, table: account, key: {accountnumber: 'string(item.n) + string(index)'}}\n"+
		"- {operation: delete, table: contact, key: {emailaddress1: data.m}}\n", `{"l": [{"n": 1}, {"n": 2}], "m": "x"}`)
	tables := catalog(f)
	f.Fuzz(func(t *testing.T, text, data string) {
		parsed, err := parser.ParseBytes([]byte(text), 0)
		if err != nil || len(parsed.Docs) == 0 {
			return
		}
		root, ok := parsed.Docs[0].Body.(*ast.MappingNode)
		if !ok {
			return
		}
		for _, kv := range root.Values {
			if m, ok := kv.Value.(*ast.MappingNode); ok && kv.Key.String() == "mapping" {
				root = m
				break
			}
		}
		spec, ps := mapping.Parse("f.yaml", "r", root)
		spec.Tables()
		spec.Keys()
		p, compiled := mapping.Compile(spec, tables, mapping.Options{CostLimit: 1000})
		if (p == nil) != (len(compiled) > 0) {
			t.Fatalf("program %v with problems %v", p, compiled)
		}
		if p == nil || len(ps) > 0 {
			return
		}
		e := newEventOf(data)
		ctx := context.Background()
		if _, err := p.Match(ctx, e); err != nil && outcome.Of(err) == nil {
			t.Fatalf("match gives %v", err)
		}
		if _, err := p.Revision(ctx, e); err != nil && outcome.Of(err) == nil {
			t.Fatalf("revision gives %v", err)
		}
		writes, err := p.Map(ctx, e)
		if err != nil {
			if r := outcome.Of(err); r == nil || r.Verdict != outcome.Reject {
				t.Fatalf("map gives %v", err)
			}
			return
		}
		for _, w := range writes {
			for _, body := range []json.RawMessage{w.Body, w.OnCreate, w.KeyMembers} {
				if body != nil && !json.Valid(body) {
					t.Fatalf("invalid JSON %s", body)
				}
			}
		}
	})
}

// FuzzEvent: whatever the data of an event, the seed mapping gives a write that
// is valid JSON and addresses one record, or a rejection.
func FuzzEvent(f *testing.F) {
	f.Add(seedData)
	f.Add(`{"customerNumber": "O'Neil\u0000", "name": null, "region": 7, "contact": {"email": "a%2Fb"}, "owner": "😀"}`)
	f.Add(`{"customerNumber": -0.0e1, "name": "x", "region": "x", "contact": [], "owner": []}`)
	p := compile(f, seed, mapping.Options{})
	f.Fuzz(func(t *testing.T, data string) {
		w, err := mapOne(context.Background(), p, newEventOf(data))
		if err != nil {
			if r := outcome.Of(err); r == nil || r.Verdict != outcome.Reject {
				t.Fatalf("map gives %v", err)
			}
			return
		}
		var body map[string]any
		if err := json.Unmarshal(w.Body, &body); err != nil || len(body) != 6 {
			t.Fatalf("body %s: %v", w.Body, err)
		}
		if (w.Predicate == "") == (w.Search == nil) || len(w.Key) != 1 {
			t.Fatalf("write addresses %q", w.Path())
		}
	})
}
