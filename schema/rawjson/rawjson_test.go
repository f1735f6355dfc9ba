package rawjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cebridge/schema/rawjson"
)

// walked is the members of text, one a line.
func walked(text string) (string, error) {
	var list strings.Builder
	o := rawjson.Walk([]byte(text))
	for o.Next() {
		fmt.Fprintf(&list, "%s=%s\n", o.Name, o.Value)
	}
	return list.String(), o.Err()
}

func TestMembersAreTheBytesThatStandThere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:                              "",
		" \r\n\t{ \n} ":                   "",
		`{"a":1}`:                         "a=1\n",
		`{"a" : 5000000.0000 , "b":"x" }`: "a=5000000.0000\nb=\"x\"\n",
		`{"a":-0,"b":1e400,"c":-1.5E-7,"d":9007199254740993,"e":0.10}`: "a=-0\nb=1e400\nc=-1.5E-7\nd=9007199254740993\ne=0.10\n",
		`{"a":true,"b":false,"c":null,"":""}`:                          "a=true\nb=false\nc=null\n=\"\"\n",
		`{"n\u0061me":"\u0061"}`:                                       "name=\"\\u0061\"\n",
		`{"a":"\"}],{","b":"\\"}`:                                      "a=\"\\\"}],{\"\nb=\"\\\\\"\n",
		`{"a":{"b":[1, {"c":[]}]},"d":[ ]}`:                            "a={\"b\":[1, {\"c\":[]}]}\nd=[ ]\n",
		`{"a":"\ud800"}`:                                               "a=\"\\ud800\"\n",
		`{"a":1,"a":2}`:                                                "a=1\na=2\n",
		`{"größe":"weiß, ` + "\u2028\x7f" + `"}`:                       "größe=\"weiß, \u2028\x7f\"\n",
		`{"a":"` + strings.Repeat("x", 1000) + `"}`:                    `a="` + strings.Repeat("x", 1000) + "\"\n",
	} {
		if got, err := walked(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestWhatIsNotOneValidObjectIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "null", "[]", "1", `"a"`, "{", `{"a"`, `{"a"}`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`,
		`{"a" 1}`, `{a:1}`, `{'a':1}`, `{"a":1}{`, `{"a":1} x`, `{"a":1 "b":2}`, `{"a":1;"b":2}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":-}`, `{"a":+1}`, `{"a":1e}`, `{"a":1e+}`, `{"a":0x1}`, `{"a":NaN}`, `{"a":--1}`,
		`{"a":tru}`, `{"a":True}`, `{"a":nul`, `{"a":nulll}`, `{"a":falsy}`,
		`{"a":[1,]}`, `{"a":[,]}`, `{"a":[1}}`, `{"a":{]}`, `{"a":[1 2]}`, `{"a":{"b"}}`, `{"a":{"b":}}`, `{"a":{b:1}}`, `{"a":[1;2]}`,
		`{"a":"`, `{"a":"\`, `{"a":"\q"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\u`, "{\"a\":\"\x01\"}", "{\"a\":\"tab\tis one\"}",
		"{\"a\":\"\xff\"}", "{\"\xc3\":1}", "{\"a\":\"12345678\n\"}", `{"\ud800":1}`, "\xef\xbb\xbf{}",
	} {
		if got, err := walked(text); !errors.Is(err, rawjson.ErrSyntax) {
			t.Errorf("%q: %q, %v, want a refusal", text, got, err)
		}
	}
}

func TestErrorsTellWhereAndNotWhat(t *testing.T) {
	t.Parallel()
	_, err := walked(`{"secret":"hidden","other":}`)
	if err == nil || !strings.Contains(err.Error(), "at byte 27 of 28") {
		t.Fatalf("%v", err)
	}
	for _, word := range []string{"secret", "hidden", "other"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%q tells %s", err, word)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}" }
	if _, err := walked(deep(rawjson.MaxDepth)); err != nil {
		t.Error(err)
	}
	if _, err := walked(deep(rawjson.MaxDepth + 1)); !errors.Is(err, rawjson.ErrSyntax) {
		t.Errorf("%v, want a refusal", err)
	}
	if _, err := walked(`{"a":` + strings.Repeat("[", 1<<20)); !errors.Is(err, rawjson.ErrSyntax) {
		t.Errorf("%v, want a refusal", err)
	}
}

func TestAMemberDoesNotReachIntoTheNext(t *testing.T) {
	t.Parallel()
	text := []byte(`{"a":1,"b":2}`)
	before := string(text)
	o := rawjson.Walk(text)
	for o.Next() {
		_, _ = append(o.Name, "overwritten"...), append(o.Value, "overwritten"...)
	}
	if string(text) != before {
		t.Errorf("appending to a member changed the text: %s", text)
	}
	if o.Next() || o.Name != nil || o.Value != nil {
		t.Error("there is a member behind the end")
	}
}

// Every byte that ends the run of plain ones is found at every place of a word.
func TestTextsEndWhereTheyDo(t *testing.T) {
	t.Parallel()
	for length := range 40 {
		for _, filler := range []string{"x", "\x7f", "\x20", "!", "#", "[", "]"} {
			inner := strings.Repeat(filler, length)
			if got, err := walked(`{"a":"` + inner + `"}`); err != nil || got != `a="`+inner+"\"\n" {
				t.Fatalf("%q: %q, %v", inner, got, err)
			}
			for c := range 0x20 {
				if _, err := walked(`{"a":"` + inner + string(rune(c)) + `xxxxxxxx"}`); err == nil {
					t.Fatalf("control character %d after %d bytes passed", c, length)
				}
			}
			if got, err := walked(`{"a":"` + inner + `\n"}`); err != nil || got != `a="`+inner+"\\n\"\n" {
				t.Fatalf("%q with an escape: %q, %v", inner, got, err)
			}
		}
	}
}

func TestWalkingAllocatesNothing(t *testing.T) {
	text := []byte(`{"accountid":"x","versionnumber":5,"nested":{"a":[1,2]},"name":"` + strings.Repeat("n", 300) + `"}`)
	if n := testing.AllocsPerRun(100, func() {
		o := rawjson.Walk(text)
		for o.Next() {
		}
		if o.Err() != nil {
			t.Fatal(o.Err())
		}
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// FuzzWalk holds the walk against a decoder of full strength.
func FuzzWalk(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":"x\n\u00e9","c":[{}],"d":-1.5e+3,"e":null}`))
	f.Add([]byte(` {"\u0061":{"b":[true,false]}} `))
	f.Add([]byte(`{"a":"12345678\"`))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		var names []string
		var values [][]byte
		o := rawjson.Walk(text)
		for o.Next() {
			names, values = append(names, string(o.Name)), append(values, o.Value)
		}
		if !bytes.Equal(before, text) {
			t.Fatal("the text was changed")
		}
		// Lone surrogates and duplicates pass here and nowhere else.
		valid := utf8.Valid(text) && jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) &&
			jsontext.Value(text).Kind() == '{'
		if !valid {
			if o.Err() == nil {
				t.Fatalf("accepted: %q", text)
			}
			return
		}
		if o.Err() != nil {
			depth, most := 0, 0
			for _, c := range text { // brackets in texts count too: a bound, not the depth
				if c == '{' || c == '[' {
					depth++
					most = max(most, depth)
				}
			}
			var plain map[string]json.RawMessage
			if most <= rawjson.MaxDepth && json.Unmarshal(text, &plain) == nil && !bytes.Contains(text, []byte(`\u`)) {
				t.Fatalf("refused: %q: %v", text, o.Err())
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		last := map[string][]byte{}
		for i, name := range names {
			last[name] = values[i]
		}
		for name, v := range last {
			if !bytes.Equal(v, want[name]) {
				t.Fatalf("member %q is %q, want %q", name, v, want[name])
			}
		}
		if len(last) != len(want) {
			t.Fatalf("%d members, want %d", len(last), len(want))
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	for _, size := range []int{400, 2048} {
		var text strings.Builder
		text.WriteString(`{"versionnumber":8734651`)
		for i := 0; text.Len() < size-30; i++ {
			fmt.Fprintf(&text, `,"column%02d":"a value of it"`, i)
		}
		text.WriteString("}")
		row := []byte(text.String())
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(row)))
			for b.Loop() {
				o := rawjson.Walk(row)
				for o.Next() {
				}
				if o.Err() != nil {
					b.Fatal(o.Err())
				}
			}
		})
	}
}
