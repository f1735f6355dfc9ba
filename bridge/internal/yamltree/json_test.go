package yamltree

import (
	"strings"
	"testing"
)

func TestAMappingIsReadAsJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: {z: 1, b: two, c: [true, null, ~, 'x']}":  `{"z":1,"b":"two","c":[true,null,null,"x"]}`,
		"a: {n: 12345678901234567890.50, m: -0.10}":   `{"n":12345678901234567890.50,"m":-0.10}`,
		"a: {n: 0x10, m: 1_000, e: 1.5e3, f: .5}":     `{"n":16,"m":1000,"e":1.5e3,"f":0.5}`,
		"a: {no: no, 1: on, d: 2026-01-31, q: '007'}": `{"no":"no","1":"on","d":"2026-01-31","q":"007"}`,
		"a:\n  t: |\n    x\n    \"y\"\n  e:\n":        `{"t":"x\n\"y\"\n","e":null}`,
		"a: {env: '${HERE}', plain: '$${HERE}'}":      `{"env":"there","plain":"${HERE}"}`,
		"a: {}":                                       `{}`,
		"b: {}":                                       ``,
		"a: {x: .inf}":                                `! a.x: .inf is no number of JSON`,
	} {
		d := Parse("t.yaml", []byte(text), Environment{Lookup: func(name string) (string, bool) { return "there", name == "HERE" }})
		got := string(d.Root.JSON("a"))
		if ps := d.Problems(); len(ps) > 0 {
			got = "! " + ps[0].Field + ": " + ps[0].Text
		}
		if got != want {
			t.Errorf("%s: %s, want %s", strings.ReplaceAll(text, "\n", `\n`), got, want)
		}
	}
}
