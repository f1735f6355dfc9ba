package mapping_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"cebridge/schema"
	"cebridge/schema/mapping"
)

func catalog(t testing.TB) schema.Catalog {
	t.Helper()
	text, err := os.ReadFile("testdata/catalog.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tables []*schema.Table
	if err := yaml.UnmarshalWithOptions(text, &tables, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return schema.NewCatalog(tables...)
}

// node parses the YAML of a route.
func node(t testing.TB, text string) *ast.MappingNode {
	t.Helper()
	f, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		t.Fatalf("the test's YAML: %v", err)
	}
	m, ok := f.Docs[0].Body.(*ast.MappingNode)
	if !ok {
		t.Fatalf("the test's YAML is %T", f.Docs[0].Body)
	}
	return m
}

func parse(t testing.TB, text string) (*mapping.Spec, schema.Problems) {
	t.Helper()
	return mapping.Parse("bridge.yaml", "routes.r", node(t, text))
}

// problems parses and, when that finds nothing, compiles.
func problems(t testing.TB, text string) schema.Problems {
	t.Helper()
	spec, ps := parse(t, text)
	if len(ps) > 0 {
		return ps
	}
	_, ps = mapping.Compile(spec, catalog(t), mapping.Options{})
	return ps
}

func compile(t testing.TB, text string, o mapping.Options) *mapping.Program {
	t.Helper()
	spec, ps := parse(t, text)
	if len(ps) > 0 {
		t.Fatalf("parse:\n%v", ps)
	}
	p, ps := mapping.Compile(spec, catalog(t), o)
	if len(ps) > 0 {
		t.Fatalf("compile:\n%v", ps)
	}
	return p
}

// account is a mapping of table account with the lines given, indented by two.
func account(lines ...string) string {
	return "table: account\nkey: {accountnumber: data.number}\n" + strings.Join(lines, "\n") + "\n"
}

func newEvent(t testing.TB, data string) *cloudevent.Event {
	t.Helper()
	return newEventOf(data)
}

// newEventOf makes an event whose data are those bytes, JSON or not.
func newEventOf(data string) *cloudevent.Event {
	e := cloudevent.New()
	e.SetID("e-1")
	e.SetSource("/erp")
	e.SetType("com.contoso.erp.customer.changed.v1")
	if data != "" {
		e.SetDataContentType("application/json")
		e.DataEncoded = []byte(data)
	}
	return &e
}

func mapEvent(t testing.TB, p *mapping.Program, data string) (*schema.Write, error) {
	t.Helper()
	return mapOne(context.Background(), p, newEvent(t, data))
}

// mapOne maps an event with a mapping that makes one write.
func mapOne(ctx context.Context, p *mapping.Program, e *cloudevent.Event) (*schema.Write, error) {
	writes, err := p.Map(ctx, e)
	if err != nil {
		return nil, err
	}
	if len(writes) != 1 {
		return nil, fmt.Errorf("%d writes, want one", len(writes))
	}
	return writes[0], nil
}
