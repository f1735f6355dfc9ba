package event

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPercentEncodeFollowsTheBinding(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                   "",
		"plain/~!'()*":       "plain/~!'()*",
		"Zürich 100%":        "Z%C3%BCrich%20100%25",
		`say "hi"`:           "say%20%22hi%22",
		"a\r\nX: y":          "a%0D%0AX:%20y",
		"\x7f\x00":           "%7F%00",
		"\U0001F600":         "%F0%9F%98%80",
		"back\\slash, comma": "back\\slash,%20comma",
	} {
		if got := percentEncode(raw); got != want {
			t.Errorf("percentEncode(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestPercentDecodeReadsLaxProducers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"encoded", "Z%C3%BCrich%20100%25", "Zürich 100%"},
		{"lower-case digits", "Z%c3%bcrich", "Zürich"},
		{"raw text with a lone percent sign", "Zürich 100%", "Zürich 100%"},
		{"percent sign before one digit", "50%2", "50%2"},
		{"percent sign before other characters", "100% of it", "100% of it"},
		{"one round only", "%2541", "%41"},
		{"yields no UTF-8, so raw", "%FF%FE", "%FF%FE"},
		{"quoted string", `"a b"`, "a b"},
		{"quoted string with escapes", `"a \"b\" \\"`, `a "b" \`},
		{"quotes within are no quoted string", `"a"b"`, `"a"b"`},
		{"unfinished escape", `"a\"`, `"a\"`},
		{"one quote", `"`, `"`},
		{"quoted and encoded", `"a%20b"`, "a b"},
	} {
		if got := percentDecode(tc.in); got != tc.want {
			t.Errorf("%s: percentDecode(%q) = %q, want %q", tc.name, tc.in, got, tc.want)
		}
	}
}

func TestPercentDecodeUndoesEncode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		encoded := percentEncode(s)
		for i := range len(encoded) {
			if encoded[i] <= ' ' || encoded[i] > '~' {
				t.Fatalf("byte %#x in a header value", encoded[i])
			}
		}
		if got := percentDecode(encoded); utf8.ValidString(s) && got != s {
			t.Fatalf("got %q, want %q", got, s)
		}
	})
}

func TestCheckTextRefusesWhatTheSpecificationExcludes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		ok         bool
	}{
		{"ordinary", "Fabrikam, Inc. \"A\" 100% \\ ü", true},
		{"empty", "", true},
		{"at the bound", strings.Repeat("a", MaxAttribute), true},
		{"beyond the bound", strings.Repeat("a", MaxAttribute+1), false},
		{"carriage return", "a\rb", false},
		{"line feed", "a\nb", false},
		{"NUL", "a\x00b", false},
		{"tab", "a\tb", false},
		{"delete", "a\x7fb", false},
		{"C1 control", "a\u0085b", false},
		{"invalid UTF-8", "a\xffb", false},
	} {
		if err := checkText("x", tc.text); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestShortCutsForeignTexts(t *testing.T) {
	t.Parallel()
	if got := short(strings.Repeat("x", 1000)); len(got) > 80 {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	if got := short("a\nb"); strings.Contains(got, "\n") {
		t.Errorf("a line break got through: %q", got)
	}
}
