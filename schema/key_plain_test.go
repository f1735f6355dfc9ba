package schema

import (
	"encoding/json"
	"testing"
)

// A text is taken without a parser only where that makes no difference.
func FuzzAPlainTextIsWhatTheParserReads(f *testing.F) {
	for _, raw := range []string{`"A-1"`, `""`, `"`, `"a\"b"`, `"a\u0041"`, `"ä"`, "\"\t\"", `"a" `, ` "a"`, `"a"b"`, "\"\x7f\"", `12`, `null`} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := plainString(raw)
		if !ok {
			return
		}
		var want string
		if err := json.Unmarshal(raw, &want); err != nil || got != want {
			t.Fatalf("%q: taken as %q, the parser reads %q, %v", raw, got, want, err)
		}
	})
}
