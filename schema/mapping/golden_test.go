package mapping_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
	"cebridge/schema/mapping"
	"cebridge/schema/outcome"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenEvent is one event of a golden file.
type goldenEvent struct {
	Type        string            `yaml:"type"`
	Subject     string            `yaml:"subject"`
	Time        time.Time         `yaml:"time"`
	ContentType string            `yaml:"contenttype"`
	Extensions  map[string]string `yaml:"extensions"`
	Data        string            `yaml:"data"`
}

func (g goldenEvent) event(t *testing.T) *cloudevent.Event {
	e := newEvent(t, "")
	if g.Type != "" {
		e.SetType(g.Type)
	}
	if g.Subject != "" {
		e.SetSubject(g.Subject)
	}
	if !g.Time.IsZero() {
		e.SetTime(g.Time)
	}
	for k, v := range g.Extensions {
		e.SetExtension(k, v)
	}
	if g.ContentType == "" {
		g.ContentType = "application/json"
	}
	if g.Data != "" {
		e.SetDataContentType(g.ContentType)
		e.DataEncoded = []byte(g.Data)
	}
	return e
}

// TestGolden holds the whole output of mappings against files that a person has
// read: each event's write, or why there is none.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d golden files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := renderGolden(t, file, text)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("output differs (-want +got); run with -update after reading it:\n%s", diff)
			}
		})
	}
}

func renderGolden(t *testing.T, file string, text []byte) string {
	t.Helper()
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var route *ast.MappingNode
	for _, kv := range parsed.Docs[0].Body.(*ast.MappingNode).Values {
		if kv.Key.GetToken().Value == "mapping" {
			route = kv.Value.(*ast.MappingNode)
		}
	}
	var content struct {
		Events []goldenEvent `yaml:"events"`
	}
	if err := yaml.Unmarshal(text, &content); err != nil {
		t.Fatal(err)
	}
	spec, ps := mapping.Parse(filepath.Base(file), "m", route)
	if len(ps) > 0 {
		t.Fatalf("parse:\n%v", ps)
	}
	p, ps := mapping.Compile(spec, catalog(t), mapping.Options{})
	if len(ps) > 0 {
		t.Fatalf("compile:\n%v", ps)
	}
	var out bytes.Buffer
	for i, g := range content.Events {
		if i > 0 {
			out.WriteString("\n")
		}
		renderEvent(t, &out, p, g.event(t))
	}
	return out.String()
}

func renderEvent(t *testing.T, out *bytes.Buffer, p *mapping.Program, e *cloudevent.Event) {
	t.Helper()
	fmt.Fprintf(out, "event %s\n", e.Data())
	match, err := p.Match(t.Context(), e)
	if err != nil || !match {
		fmt.Fprintf(out, "match %v %s\n", match, rejection(t, err))
	}
	if revision, err := p.Revision(t.Context(), e); err != nil || revision != "" {
		fmt.Fprintf(out, "revision %s%s\n", revision, rejection(t, err))
	}
	writes, err := p.Map(t.Context(), e)
	if err != nil {
		fmt.Fprintf(out, "%s\n", rejection(t, err))
		return
	}
	if len(writes) == 0 {
		fmt.Fprintln(out, "no writes")
	}
	for _, w := range writes {
		renderWrite(t, out, w)
	}
}

func renderWrite(t *testing.T, out *bytes.Buffer, w *schema.Write) {
	t.Helper()
	fmt.Fprintf(out, "%s %s\n", w.Operation, w.Path())
	for _, body := range []struct {
		name string
		json json.RawMessage
	}{{"body", w.Body}, {"on create", w.OnCreate}, {"key members", w.KeyMembers}} {
		if body.json != nil {
			if !json.Valid(body.json) {
				t.Errorf("%s is not JSON: %s", body.name, body.json)
			}
			fmt.Fprintf(out, "%s %s\n", body.name, body.json)
		}
	}
}

// rejection renders an error, which must be a verdict about the event.
func rejection(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e := outcome.Of(err)
	if e == nil || e.Verdict != outcome.Reject {
		t.Fatalf("error %v is no rejection", err)
	}
	return fmt.Sprintf("%s: %v", e.Verdict, err)
}
