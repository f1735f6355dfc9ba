package mapping

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pathText draws expressions that name a place, some optional with a default.
var pathText = rapid.Custom(func(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("data")
	optional := false
	for range rapid.IntRange(0, 4).Draw(t, "steps") {
		name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0, 1:
			b.WriteString("." + name)
		case 2:
			b.WriteString(".?" + name)
			optional = true
		case 3:
			b.WriteString(`["` + name + `"]`)
		case 4:
			fmt.Fprintf(&b, "[%d]", rapid.IntRange(0, 2).Draw(t, "index"))
		case 5:
			fmt.Fprintf(&b, `[?"%s"]`, name)
			optional = true
		}
	}
	if optional {
		b.WriteString(rapid.SampledFrom([]string{`.orValue("none")`, ".orValue(null)", ".orValue(omit())", ".orValue(data.a)"}).Draw(t, "default"))
	}
	return b.String()
})

// jsonText draws small documents in which those paths often lead somewhere.
func jsonText(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 8).Draw(t, "kind")
		if depth == 0 && kind > 4 {
			kind = 0
		}
		switch kind {
		case 0:
			return "null"
		case 1:
			return "12"
		case 2:
			return `"text"`
		case 3:
			return "true"
		case 4:
			return "[]"
		case 5:
			return "[" + jsonText(depth-1).Draw(t, "e") + "," + jsonText(depth-1).Draw(t, "e") + "]"
		}
		var members []string
		for _, name := range []string{"a", "b", "c"} {
			if rapid.Bool().Draw(t, name) {
				members = append(members, `"`+name+`":`+jsonText(depth-1).Draw(t, name))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	})
}

func testCompiler(t interface{ Fatal(...any) }) *compiler {
	env, err := newEnv(&language{zones: zones{}})
	if err != nil {
		t.Fatal(err)
	}
	return &compiler{env: env, options: Options{CostLimit: defaultCostLimit, MaxExpression: defaultMaxExpression, language: &language{zones: zones{}}}}
}

func testEvent(data string) *cloudevent.Event {
	e := cloudevent.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	e.SetDataContentType("application/json")
	e.DataEncoded = []byte(data)
	return &e
}

func TestAPathMeansWhatCELMeans(t *testing.T) {
	t.Parallel()
	c := testCompiler(t)
	rapid.Check(t, func(t *rapid.T) {
		text := pathText.Draw(t, "path")
		data := jsonText(3).Draw(t, "data")
		x := &expression{text: text}
		p := c.program(x, "")
		if p == nil {
			t.Fatalf("%s: %v", text, c.problems)
		}
		if p.path == nil {
			t.Fatalf("%s is not seen as a path", text)
		}
		run, err := c.env.PlanProgram(p.tree, cel.CostLimit(defaultCostLimit), cel.InterruptCheckFrequency(interruptCheckInterval))
		if err != nil {
			t.Fatal(err)
		}
		through := *p
		through.path, through.fallback, through.run = nil, nil, run
		got, gotErr := p.eval(context.Background(), &view{event: testEvent(data)})
		want, wantErr := through.eval(context.Background(), &view{event: testEvent(data)})
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("%s on %s: path %v, CEL %v", text, data, gotErr, wantErr)
		}
		if gotErr == nil && !cmp.Equal(got, want, cmp.AllowUnexported(value{}, reference{})) {
			t.Fatalf("%s on %s: path %+v, CEL %+v", text, data, got, want)
		}
	})
}

func TestAPathCopiesNumbersDigitByDigit(t *testing.T) {
	t.Parallel()
	c := testCompiler(t)
	bare, optional := c.program(&expression{text: "data.n"}, ""), c.program(&expression{text: "data.?n.orValue(omit())"}, "")
	rapid.Check(t, func(t *rapid.T) {
		s := numberText.Draw(t, "s")
		for _, p := range []*program{bare, optional} {
			got, err := p.eval(context.Background(), &view{event: testEvent(`{"n":` + s + `}`)})
			if err != nil || got.kind != isNumber || got.text != s {
				t.Fatalf("%s: %s became %+v, %v", p.text, s, got, err)
			}
		}
	})
}

func TestOnlyPlacesArePaths(t *testing.T) {
	t.Parallel()
	c := testCompiler(t)
	for _, text := range []string{"data.a + data.b", "has(data.a)", "data.a[data.b]", "data.a()", "[data][0]", "data.a[-1]", "string(data.a)"} {
		tree, issues := c.env.Parse(text)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		if p, ok := pathOf(tree.NativeRep().Expr()); ok {
			t.Errorf("%s is taken for the path %s", text, p)
		}
	}
}

func TestDecodedDataMatchesTheStandardLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := jsonText(4).Draw(t, "json")
		got, err := decodeData([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, plainData(got)); diff != "" {
			t.Fatalf("%s: %s", text, diff)
		}
	})
}

// plainData replaces number by float64.
func plainData(v any) any {
	switch x := v.(type) {
	case number:
		f, _ := x.float()
		return f
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = plainData(x[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range x {
			out[k] = plainData(x[k])
		}
		return out
	}
	return v
}

func TestDataIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ data, want string }{
		"depth":      {strings.Repeat("[", 66) + strings.Repeat("]", 66), "the event's data is nested deeper than 64 levels"},
		"values":     {"[" + strings.Repeat("0,", maxDataValues) + "0]", "the event's data holds more than 262144 values"},
		"bytes":      {`"` + strings.Repeat("x", maxDataBytes) + `"`, "the event's data is larger than 67108864 bytes"},
		"truncated":  {`{"a":`, "the event's data is not valid JSON at byte 5"},
		"utf-8":      {"\"\xff\"", "the event's data is not valid JSON at byte 1"},
		"surrogate":  {`"\ud800"`, "the event's data is not valid JSON at byte 1"},
		"byte order": {"\ufeff{}", "the event's data is not valid JSON at byte 0"},
	} {
		if _, err := decodeData([]byte(c.data)); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
