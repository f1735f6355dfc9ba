package yamltree

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(vars map[string]string, files map[string]string) Environment {
	return Environment{
		Lookup: func(n string) (string, bool) { v, ok := vars[n]; return v, ok },
		ReadFile: func(p string) ([]byte, error) {
			if s, ok := files[p]; ok {
				return []byte(s), nil
			}
			return nil, errors.New("no such file")
		},
	}
}

func problems(d *Doc) []string {
	var out []string
	for _, p := range d.Problems() {
		out = append(out, p.Error())
	}
	return out
}

func TestEveryFaultIsReportedAtOnceWithItsPlace(t *testing.T) {
	d := Parse("c.yaml", []byte(`org: 12
intervall: 5s
poll: soon
size: 12x
flag: yes
count: 3.5
mode: fast
list: {a: 1}
inner:
  nmae: x
  nmae: y
when: 2026-13-01
`), Environment{})
	m := d.Root
	m.String("org", "")
	m.Duration("interval", time.Second, 0, time.Hour)
	m.Duration("poll", time.Second, 0, time.Hour)
	m.Bytes("size", 1, 0)
	m.Bool("flag", false)
	m.Int("count", 1, 0, 10)
	m.Choice("mode", "slow", "slow", "fat")
	m.Strings("list")
	inner := m.Map("inner")
	inner.String("name", "")
	inner.Done()
	m.Time("when")
	m.Done()
	want := []string{
		`c.yaml:1:6: org: expected a text, found a number; put it in quotes`,
		`c.yaml:2:1: intervall: unknown field; did you mean interval?`,
		`c.yaml:3:7: poll: expected a length of time such as 30s or 5m, found "soon"`,
		`c.yaml:4:7: size: expected a size such as 10GiB, found "12x"`,
		`c.yaml:5:7: flag: expected true or false`,
		`c.yaml:6:8: count: expected a whole number, found "3.5"`,
		`c.yaml:7:7: mode: "fast" is not one of slow, fat; did you mean fat?`,
		`c.yaml:8:1: list: expected a list of texts, found a mapping`,
		`c.yaml:10:3: inner.nmae: unknown field; did you mean name?`,
		`c.yaml:11:3: inner.nmae: the name stands twice; keep one`,
		`c.yaml:12:7: when: expected a time such as 2026-01-31T08:00:00Z, found "2026-13-01"`,
	}
	if diff := cmp.Diff(want, problems(d)); diff != "" {
		t.Error(diff)
	}
}

func TestReferencesExpandInTheTreeNotInTheText(t *testing.T) {
	vars := map[string]string{"PASS": "a: #b\nc: ${x}", "EMPTY": ""}
	d := Parse("c.yaml", []byte(`
secret: ${PASS}
mixed: "user-${PASS}-x"
dflt: ${NOPE:-fall back}
empty: ${EMPTY:-used}
file: ${file:/run/s}
literal: $${PASS}
`), env(vars, map[string]string{"/run/s": "from file\r\n"}))
	got := map[string]string{}
	for _, n := range d.Root.Names() {
		got[n] = d.Root.String(n, "")
	}
	want := map[string]string{
		"secret": "a: #b\nc: ${x}", "mixed": "user-a: #b\nc: ${x}-x", "dflt": "fall back",
		"empty": "used", "file": "from file", "literal": "${PASS}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if ps := problems(d); ps != nil {
		t.Error(ps)
	}
}

func TestReferencesThatLeadNowhereAreProblems(t *testing.T) {
	d := Parse("c.yaml", []byte("a: ${NOPE}\nb: x ${file:/none}\nc: ${bad name}\nd: ${open\n"), env(nil, nil))
	want := []string{
		"c.yaml:1:4: a: the environment variable NOPE is not set",
		"c.yaml:2:4: b: cannot read the file of ${file:...}: no such file",
		"c.yaml:3:4: c: ${bad name} is not a variable name; use ${NAME}, ${NAME:-default} or ${file:/path}",
		"c.yaml:4:4: d: ${ without a closing }; write $${ for a literal one",
	}
	if diff := cmp.Diff(want, problems(d)); diff != "" {
		t.Error(diff)
	}
}

func TestASecretMustComeFromOutside(t *testing.T) {
	d := Parse("c.yaml", []byte("good: ${S}\nbad: hunter2\nhalf: pre${S}\ndef: ${NOPE:-hunter2}\n"), env(map[string]string{"S": "s"}, nil))
	if got := d.Root.Secret("good"); got != "s" {
		t.Errorf("good = %q", got)
	}
	for _, n := range []string{"bad", "half", "def"} {
		d.Root.Secret(n)
	}
	ps := problems(d)
	if len(ps) != 3 {
		t.Fatalf("problems: %v", ps)
	}
	for _, p := range ps {
		if !strings.Contains(p, "must not stand in the file") || strings.Contains(p, "hunter2") {
			t.Error(p)
		}
	}
}

func TestHostileFilesAreRefused(t *testing.T) {
	deep := strings.Repeat("a: {", 40) + "b: 1" + strings.Repeat("}", 40)
	for name, c := range map[string]struct{ text, want string }{
		"empty":     {"", "the file is empty"},
		"comment":   {"# nothing\n", "the file is empty"},
		"list":      {"- a\n", "must hold a mapping"},
		"scalar":    {"hello\n", "must hold a mapping"},
		"two":       {"a: 1\n---\nb: 2\n", "second document"},
		"anchor":    {"a: &x 1\nb: *x\n", "anchors and aliases"},
		"bomb":      {"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "anchors and aliases"},
		"merge":     {"a: {x: 1}\nb:\n  <<: {y: 2}\n", "merge keys"},
		"tag":       {"a: !!binary aGk=\n", "tags are not accepted"},
		"deep":      {deep, "nested deeper"},
		"syntax":    {"a: [1\nb: 2\n", "not valid YAML"},
		"indent":    {"a: 1\n b: 2\n", "not valid YAML"},
		"oversized": {"a: " + strings.Repeat("x", MaxBytes), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Parse("c.yaml", []byte(c.text), env(nil, nil))
			ps := problems(d)
			if len(ps) == 0 || !strings.Contains(strings.Join(ps, "\n"), c.want) {
				t.Errorf("got %q, want one with %q", ps, c.want)
			}
		})
	}
}

func TestARefusedValueIsReportedOnceAndNotAsMissingToo(t *testing.T) {
	for _, text := range []string{"a: &x text\n", "a: !!str text\n"} {
		d := Parse("c.yaml", []byte(text), env(nil, nil))
		if d.Root.String("a", "") == "" {
			d.Root.Note("a", "required")
		}
		if ps := problems(d); len(ps) != 1 || !strings.Contains(ps[0], "not accepted") {
			t.Errorf("%q: got %q, want the refusal alone", text, ps)
		}
	}
}

func TestAByteOrderMarkAndWindowsLineEndsAreAccepted(t *testing.T) {
	d := Parse("c.yaml", []byte("\xef\xbb\xbfa: x\r\nb: y\r\n"), env(nil, nil))
	if a, b := d.Root.String("a", ""), d.Root.String("b", ""); a != "x" || b != "y" || d.Problems() != nil {
		t.Errorf("a=%q b=%q %v", a, b, d.Problems())
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	for _, s := range []string{"a: 1", "a:\n  - b\n  - c: d", "a: ${X}", "? x\n: y", "a: |\n  t", "{a: [1, {b: c}]}", "a: &x *x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := Parse("f", []byte(s), env(map[string]string{"X": "1"}, nil))
		for _, n := range d.Root.Names() {
			d.Root.String(n, "")
			d.Root.Strings(n)
			d.Root.Int(n, 0, 0, 10)
			d.Root.Map(n).Done()
		}
		d.Root.Done()
		d.Problems()
	})
}
