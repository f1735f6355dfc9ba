package schema_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cebridge/schema"
)

// keyTable has one column of every type that can be part of a key, and one that
// cannot.
var keyTable = &schema.Table{LogicalName: "account", Columns: []schema.Column{
	{LogicalName: "text", Type: schema.TypeString},
	{LogicalName: "memo", Type: schema.TypeMemo},
	{LogicalName: "whole", Type: schema.TypeInteger},
	{LogicalName: "big", Type: schema.TypeBigInt},
	{LogicalName: "choice", Type: schema.TypePicklist},
	{LogicalName: "decimal", Type: schema.TypeDecimal},
	{LogicalName: "lookup", Type: schema.TypeLookup},
	{LogicalName: "owner", Type: schema.TypeOwner},
	{LogicalName: "guid", Type: schema.TypeUniqueID},
	{LogicalName: "date", Type: schema.TypeDateTime},
	{LogicalName: "flag", Type: schema.TypeBoolean},
}}

func part(column, value string) schema.KeyPart {
	return schema.KeyPart{Column: column, Value: json.RawMessage(value)}
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string cannot fail
	return string(b)
}

func TestKeyLiteralsFollowTheURLSyntax(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ column, value, want string }{
		{"text", `"ABC123"`, "text='ABC123'"},
		{"text", `"O'Neil"`, "text='O''Neil'"},
		{"text", `"'"`, "text=''''"},
		{"text", `"a b"`, "text='a%20b'"},
		{"text", `"a,b(c)=d"`, "text='a%2Cb%28c%29%3Dd'"},
		{"text", `"Süd@x.y"`, "text='S%C3%BCd%40x.y'"},
		{"text", `"\u0041"`, "text='A'"},
		{"text", `4711`, "text='4711'"},
		{"text", `4.711e3`, "text='4711'"},
		{"text", `9223372036854775807`, "text='9223372036854775807'"},
		{"memo", `"x"`, "memo='x'"},
		{"whole", `-12`, "whole=-12"},
		{"whole", `"12"`, "whole=12"},
		{"whole", `12.0`, "whole=12"},
		{"big", `9223372036854775807`, "big=9223372036854775807"},
		{"choice", `1`, "choice=1"},
		{"decimal", `5000000.0000`, "decimal=5000000.0000"},
		{"lookup", `"0000000A-0000-0000-0000-00000000000B"`, "_lookup_value=0000000a-0000-0000-0000-00000000000b"},
		{"owner", `"0000000a-0000-0000-0000-00000000000b"`, "_owner_value=0000000a-0000-0000-0000-00000000000b"},
		{"guid", `"0000000a-0000-0000-0000-00000000000b"`, "guid=0000000a-0000-0000-0000-00000000000b"},
		{"date", `"2026-02-28"`, "date=2026-02-28"},
	} {
		got, err := schema.KeyPredicate(keyTable, []schema.KeyPart{part(c.column, c.value)})
		if err != nil || got != c.want {
			t.Errorf("%s = %s gives %q, %v, want %s", c.column, c.value, got, err, c.want)
		}
	}
}

func TestKeyPartsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	got, err := schema.KeyPredicate(keyTable, []schema.KeyPart{part("whole", "1"), part("text", `"a"`)})
	if err != nil || got != "whole=1,text='a'" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestValuesThatCannotAddressARecordAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ column, value, want string }{
		{"text", `null`, "null"},
		{"text", ``, "null"},
		{"text", `""`, "empty"},
		{"text", `"  \t"`, "empty"},
		{"text", `true`, "neither a text nor a number"},
		{"text", `{}`, "neither a text nor a number"},
		{"text", `"a`, "unexpected end"},
		{"text", `"a\u0000"`, "control character"},
		{"text", `"a\r\nb"`, "control character"},
		{"text", "\"\xff\"", "control character"},
		{"text", quoted(strings.Repeat("ä", 451)), "longer than 450 characters"},
		{"whole", `1.5`, "not a whole number"},
		{"whole", `"12 or 1 eq 1"`, "not a whole number"},
		{"whole", `"0x10"`, "not a whole number"},
		{"whole", `1e30`, "not a whole number"},
		{"whole", `-`, "not a JSON number"},
		{"decimal", `"1,5"`, "not a decimal number"},
		{"lookup", `"{0000000a-0000-0000-0000-00000000000b}"`, "not a GUID"},
		{"guid", `"x"`, "not a GUID"},
		{"date", `"28.02.2026"`, "not a date"},
		{"flag", `true`, "neither a text nor a number"},
		{"flag", `"true"`, "cannot be part of a key"},
		{"nothing", `1`, "no column nothing"},
	} {
		got, err := schema.KeyPredicate(keyTable, []schema.KeyPart{part(c.column, c.value)})
		if !errors.Is(err, schema.ErrKeyValue) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %s gives %q, %v, want %q", c.column, c.value, got, err, c.want)
		}
		if errors.Is(err, schema.ErrKeyCharacters) {
			t.Errorf("%s = %s counts as characters: %v", c.column, c.value, err)
		}
	}
	if _, err := schema.KeyPredicate(keyTable, nil); !errors.Is(err, schema.ErrKeyValue) {
		t.Errorf("no parts give %v", err)
	}
}

func TestForbiddenCharactersHaveTheirOwnError(t *testing.T) {
	t.Parallel()
	for _, r := range schema.ForbiddenKeyCharacters {
		_, err := schema.KeyPredicate(keyTable, []schema.KeyPart{part("text", quoted("a"+string(r)+"b"))})
		if !errors.Is(err, schema.ErrKeyCharacters) || !errors.Is(err, schema.ErrKeyValue) {
			t.Errorf("%q gives %v", r, err)
		}
	}
	_, err := schema.KeyPredicate(keyTable, []schema.KeyPart{part("date", `"2026-02-28T10:00:00Z"`)})
	if !errors.Is(err, schema.ErrKeyCharacters) {
		t.Errorf("a date with a time gives %v", err)
	}
}

// parsePredicate reads a key predicate as a server does: decode the path, then
// split it. It knows nothing of how predicates are written.
func parsePredicate(encoded string) (map[string]string, bool) {
	s, err := url.PathUnescape(encoded)
	if err != nil {
		return nil, false
	}
	out := map[string]string{}
	for {
		name, rest, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, false
		}
		var text strings.Builder
		if quotedRest, isText := strings.CutPrefix(rest, "'"); isText {
			for {
				before, after, closed := strings.Cut(quotedRest, "'")
				if !closed {
					return nil, false
				}
				text.WriteString(before)
				if !strings.HasPrefix(after, "'") {
					rest = after
					break
				}
				text.WriteByte('\'')
				quotedRest = after[1:]
			}
		} else {
			end := strings.IndexByte(rest+",", ',')
			text.WriteString(rest[:end])
			rest = rest[end:]
		}
		out[name] = text.String()
		if rest == "" {
			return out, true
		}
		if s, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, false
		}
	}
}

// checkText holds one text against the promise: it is refused, or a server reads
// back exactly that text, whatever stands beside it in the key.
func checkText(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string,
) {
	t.Helper()
	raw := quoted(text)
	got, err := schema.KeyPredicate(keyTable, []schema.KeyPart{part("whole", "7"), part("text", raw), part("guid", `"0000000a-0000-0000-0000-00000000000b"`)})
	usable := utf8.ValidString(text) && strings.TrimSpace(text) != "" && utf8.RuneCountInString(text) <= schema.MaxKeyText &&
		!strings.ContainsAny(text, schema.ForbiddenKeyCharacters) && !strings.ContainsFunc(text, unicode.IsControl) && !strings.ContainsRune(text, utf8.RuneError)
	if usable != (err == nil) {
		t.Fatalf("%q: usable %v, error %v", text, usable, err)
	}
	if err != nil {
		if !errors.Is(err, schema.ErrKeyValue) {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	if i := strings.IndexFunc(got, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"#/?\<>*&:+`, r) }); i >= 0 {
		t.Fatalf("%q becomes %q, which cannot stand in a URL", text, got)
	}
	parsed, ok := parsePredicate(got)
	want := map[string]string{"whole": "7", "text": text, "guid": "0000000a-0000-0000-0000-00000000000b"}
	if diff := cmp.Diff(want, parsed); !ok || diff != "" {
		t.Fatalf("%q becomes %q: %s", text, got, diff)
	}
}

func TestARenderedKeyReadsBackAsTheSameText(t *testing.T) {
	t.Parallel()
	hostile := rapid.StringOfN(rapid.SampledFrom([]rune(`'"(),=;@$!~-_.|[]{}^ aZ9äß€😀`)), 0, 30, -1)
	rapid.Check(t, func(t *rapid.T) {
		checkText(t, rapid.OneOf(rapid.String(), hostile).Draw(t, "text"))
	})
}

func FuzzKeyPredicate(f *testing.F) {
	for _, s := range []string{"ABC123", "O'Neil", "''", ")', b='", "a%2Fb", "..", "\u202e", "é", strings.Repeat("x", 451), "\xff", " a "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkText(t, text) })
}

func TestWholeNumbersKeepEveryDigit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		digits := strconv.FormatInt(n, 10)
		for _, raw := range []string{digits, quoted(digits)} {
			got, err := schema.KeyPredicate(keyTable, []schema.KeyPart{part("big", raw)})
			if err != nil || got != "big="+digits {
				t.Fatalf("%s gives %q, %v", raw, got, err)
			}
		}
	})
}

func TestOnlyGUIDsAreGUIDs(t *testing.T) {
	t.Parallel()
	const id = "01234567-89ab-CDEF-0123-456789abcdef"
	if !schema.IsGUID(id) {
		t.Errorf("%s is refused", id)
	}
	for _, s := range []string{"", "{" + id + "}", id[1:], id + "0", strings.ReplaceAll(id, "-", ""), id + "\n", "g" + id[1:]} {
		if schema.IsGUID(s) {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestFoldedKeysAreEqualWhenTheDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{{`"ABC"`, `"abc"`}, {`"abc  "`, `"abc"`}, {`"ÄÖ"`, `"äö"`}, {`4711`, `"4711"`}, {`4711.0`, `4.711e3`}} {
		a, b := schema.FoldKey("account", []schema.KeyPart{part("text", same[0])}), schema.FoldKey("account", []schema.KeyPart{part("text", same[1])})
		if a != b {
			t.Errorf("%s and %s fold to %q and %q", same[0], same[1], a, b)
		}
	}
	if schema.FoldKey("account", []schema.KeyPart{part("text", `" abc"`)}) == schema.FoldKey("account", []schema.KeyPart{part("text", `"abc"`)}) {
		t.Error("a leading blank is folded away")
	}
}

func TestFoldedKeysOfDifferentRecordsDiffer(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[a-z][a-z0-9_]{0,3}`)
	text := rapid.StringOfN(rapid.SampledFrom([]rune("aAbB 1,='")), 1, 4, -1)
	key := rapid.Custom(func(t *rapid.T) []schema.KeyPart {
		var parts []schema.KeyPart
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			parts = append(parts, part(name.Draw(t, "column"), quoted(text.Draw(t, "value"))))
		}
		return parts
	})
	type folded struct {
		Table  string
		Column []string
		Value  []string
	}
	fold := func(table string, parts []schema.KeyPart) folded {
		f := folded{Table: table}
		for _, p := range parts {
			var s string
			if err := json.Unmarshal(p.Value, &s); err != nil {
				panic(err)
			}
			f.Column = append(f.Column, p.Column)
			f.Value = append(f.Value, strings.ToLower(strings.TrimRight(s, " ")))
		}
		return f
	}
	rapid.Check(t, func(t *rapid.T) {
		t1, t2 := name.Draw(t, "table"), name.Draw(t, "table")
		k1, k2 := key.Draw(t, "key"), key.Draw(t, "key")
		same := cmp.Equal(fold(t1, k1), fold(t2, k2))
		if same != (schema.FoldKey(t1, k1) == schema.FoldKey(t2, k2)) {
			t.Fatalf("%s %+v and %s %+v: same %v", t1, k1, t2, k2, same)
		}
	})
}

func TestAWriteNamesItsPathAndLane(t *testing.T) {
	t.Parallel()
	byKey := &schema.Write{Table: "account", EntitySet: "accounts", Key: []schema.KeyPart{part("text", `"Ab "`)}, Predicate: "text='Ab%20'"}
	other := &schema.Write{Table: "account", EntitySet: "accounts", Key: []schema.KeyPart{part("text", `"aB"`)}, Predicate: "text='aB'"}
	if byKey.Path() != "accounts(text='Ab%20')" {
		t.Errorf("path %s", byKey.Path())
	}
	if byKey.Lane() != other.Lane() {
		t.Error("two spellings of one key have two lanes")
	}
	byID := &schema.Write{Table: "account", EntitySet: "accounts", ID: "0000000a-0000-0000-0000-00000000000b", Predicate: "0000000a-0000-0000-0000-00000000000b"}
	if byID.Lane() == byKey.Lane() || !strings.Contains(byID.Lane(), byID.ID) {
		t.Errorf("lane %q", byID.Lane())
	}
}

func TestKeysThatSomeCollationTakesForOneShareALane(t *testing.T) {
	t.Parallel()
	lane := func(text string) (lane, identity string) {
		w := &schema.Write{Table: "account", Key: []schema.KeyPart{part("text", quoted(text))}}
		return w.Lane(), w.Identity()
	}
	for _, same := range [][2]string{
		{"M\u00fcller", "Mu\u0308ller"}, {"Müller", "muller "}, {"STRASSE", "straße"}, {"Ａ１", "a1"}, {"カナ", "かな"}, {"Ægir", "aegir"},
		{"İx", "ix"}, {"a\u00adb", "ab"}, {"ΣΑΣ", "σας"}, {"ABC", "abc"},
	} {
		a, _ := lane(same[0])
		b, _ := lane(same[1])
		if a != b {
			t.Errorf("%q and %q have the lanes %q and %q", same[0], same[1], a, b)
		}
	}
	for _, other := range [][2]string{{"abc", "abd"}, {" abc", "abc"}, {"Ö1", "Ö2"}, {"a b", "ab"}} {
		a, _ := lane(other[0])
		b, _ := lane(other[1])
		if a == b {
			t.Errorf("%q and %q share a lane", other[0], other[1])
		}
	}
	// What may be two records is not taken for one where something would be dropped.
	if _, a := lane("Müller"); true {
		if _, b := lane("Muller"); a == b {
			t.Error("an accent does not count in the identity")
		}
	}
}

// Whatever is one record is one lane.
func TestOneRecordIsOneLane(t *testing.T) {
	t.Parallel()
	text := rapid.StringOfN(rapid.SampledFrom([]rune("aAäÄßẞsSİıiIΣσςﬁf\u0308 ")), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		a := &schema.Write{Table: "account", Key: []schema.KeyPart{part("text", quoted(text.Draw(t, "one")))}}
		b := &schema.Write{Table: "account", Key: []schema.KeyPart{part("text", quoted(text.Draw(t, "other")))}}
		if a.Identity() == b.Identity() && a.Lane() != b.Lane() {
			t.Fatalf("%s and %s: one record, two lanes", a.Key[0].Value, b.Key[0].Value)
		}
	})
}
