package schema_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cebridge/schema"
)

// searchTable is keyTable with what only a filter can compare.
func searchTable() *schema.Table {
	t := *keyTable
	t.EntitySet, t.PrimaryID = "accounts", "accountid"
	t.Columns = append([]schema.Column{
		{LogicalName: "state", Type: schema.TypeState}, {LogicalName: "status", Type: schema.TypeStatus},
		{LogicalName: "note", Type: schema.TypeMultiSelect}, {LogicalName: "customer", Type: schema.TypeCustomer},
	}, t.Columns...)
	t.Navigations = []schema.Navigation{
		{Column: "lookup", Target: "contact", Name: "Lookup"},
		{Column: "customer", Target: "account", Name: "customer_account"}, {Column: "customer", Target: "contact", Name: "customer_contact"},
	}
	return &t
}

func TestSearchesFollowTheFilterSyntax(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ column, value, want string }{
		{"text", `"A/B"`, "text eq 'A/B'"},
		{"text", `"O'Neil & Söhne #1 100%"`, "text eq 'O''Neil & Söhne #1 100%'"},
		{"text", `4711`, "text eq '4711'"},
		{"text", `"0012345678"`, "text eq '0012345678'"},
		{"whole", `"12"`, "whole eq 12"},
		{"choice", `1`, "choice eq 1"},
		{"decimal", `1.50`, "decimal eq 1.50"},
		{"lookup", `"0000000A-0000-0000-0000-00000000000B"`, "_lookup_value eq 0000000a-0000-0000-0000-00000000000b"},
		{"date", `"2026-02-28T10:00:00Z"`, "date eq 2026-02-28T10:00:00Z"},
		{"date", `"2026-02-28"`, "date eq 2026-02-28"},
		{"flag", `false`, "flag eq false"},
		{"state", `0`, "state eq 0"},
		{"status", `2`, "status eq 2"},
	} {
		got, err := schema.NewSearch(searchTable(), []schema.KeyPart{part(c.column, c.value)})
		if err != nil || got.Filter != c.want {
			t.Errorf("%s = %s gives %+v, %v, want %s", c.column, c.value, got, err, c.want)
		}
	}
}

func TestASearchOfSeveralColumnsNeedsThemAll(t *testing.T) {
	t.Parallel()
	s, err := schema.NewSearch(searchTable(), []schema.KeyPart{part("text", `"a' or text eq 'b"`), part("state", "0")})
	if err != nil {
		t.Fatal(err)
	}
	const want = "accounts?$select=accountid&$filter=text%20eq%20%27a%27%27%20or%20text%20eq%20%27%27b%27%20and%20state%20eq%200&$top=2"
	if s.Query() != want {
		t.Errorf("got  %s\nwant %s", s.Query(), want)
	}
}

func TestValuesThatFindNothingAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ column, value, want string }{
		{"text", `null`, "null"},
		{"text", `""`, "empty"},
		{"text", `"a\u0000"`, "control character"},
		{"text", quoted(strings.Repeat("ä", 451)), "longer than 450 characters"},
		{"whole", `"1 or 1 eq 1"`, "not a whole number"},
		{"flag", `"true"`, "not true or false"},
		{"date", `"yesterday"`, "not a date"},
		{"note", `"1"`, "cannot be part of a key"},
		{"nothing", `1`, "no column nothing"},
	} {
		_, err := schema.NewSearch(searchTable(), []schema.KeyPart{part(c.column, c.value)})
		if !errors.Is(err, schema.ErrKeyValue) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %s gives %v, want %q", c.column, c.value, err, c.want)
		}
	}
	if _, err := schema.NewSearch(searchTable(), nil); !errors.Is(err, schema.ErrKeyValue) {
		t.Errorf("no columns give %v", err)
	}
}

// Whatever the text, the query has three parameters, and the filter says what was meant.
func checkFilter(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string) {
	t.Helper()
	s, err := schema.NewSearch(searchTable(), []schema.KeyPart{part("text", quoted(text)), part("whole", "7")})
	if err != nil {
		if !errors.Is(err, schema.ErrKeyValue) || errors.Is(err, schema.ErrKeyCharacters) {
			t.Fatalf("%q gives %v", text, err)
		}
		return
	}
	set, query, _ := strings.Cut(s.Query(), "?")
	values, err := url.ParseQuery(query)
	if err != nil || set != "accounts" || len(values) != 3 || strings.ContainsAny(s.Query(), " \"<>#") {
		t.Fatalf("%q gives %s: %v", text, s.Query(), err)
	}
	filter := values.Get("$filter")
	inner, ok := strings.CutPrefix(filter, "text eq '")
	inner, ok2 := strings.CutSuffix(inner, "' and whole eq 7")
	if !ok || !ok2 || strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") || strings.ReplaceAll(inner, "''", "'") != text {
		t.Fatalf("%q gives the filter %s", text, filter)
	}
}

func TestEveryTextIsSearchedForAsItIs(t *testing.T) {
	t.Parallel()
	hostile := rapid.StringOfN(rapid.SampledFrom([]rune(`aB1 ',=()/<>*%&:\?+#$@;"äß€`+"\u202e\u0000\n")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) { checkFilter(t, rapid.OneOf(hostile, rapid.String()).Draw(t, "text")) })
}

func FuzzSearch(f *testing.F) {
	for _, s := range []string{"A/B", "a&$top=9", "' or 1 eq 1", "100%25", "a+b#c", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkFilter(t, text) })
}

func TestKeyMembersAreTheColumnsOfANewRecord(t *testing.T) {
	t.Parallel()
	catalog := schema.NewCatalog(&schema.Table{LogicalName: "contact", EntitySet: "contacts"})
	for _, c := range []struct{ column, value, want string }{
		{"text", `"A/B"`, `{"text":"A/B"}`},
		{"text", `4711`, `{"text":"4711"}`},
		{"text", `"0012345678"`, `{"text":"0012345678"}`},
		{"big", `"9223372036854775807"`, `{"big":9223372036854775807}`},
		{"decimal", `"1.50"`, `{"decimal":1.50}`},
		{"date", `"2026-02-28T10:00:00Z"`, `{"date":"2026-02-28T10:00:00Z"}`},
		{"lookup", `"0000000A-0000-0000-0000-00000000000B"`, `{"Lookup@odata.bind":"/contacts(0000000a-0000-0000-0000-00000000000b)"}`},
	} {
		got, err := schema.KeyMembers(catalog, searchTable(), []schema.KeyPart{part(c.column, c.value)})
		if err != nil || string(got) != c.want {
			t.Errorf("%s = %s gives %s, %v, want %s", c.column, c.value, got, err, c.want)
		}
	}
	for _, column := range []string{"customer", "owner"} {
		if _, err := schema.KeyMembers(catalog, searchTable(), []schema.KeyPart{part(column, `"0000000a-0000-0000-0000-00000000000b"`)}); !errors.Is(err, schema.ErrKeyValue) {
			t.Errorf("%s gives %v", column, err)
		}
	}
	two, err := schema.KeyMembers(catalog, searchTable(), []schema.KeyPart{part("text", `"a"`), part("whole", "1")})
	if err != nil || string(two) != `{"text":"a","whole":1}` {
		t.Errorf("two columns give %s, %v", two, err)
	}
}

func TestAReferenceIsBoundInItsPlaceAndNowhereElse(t *testing.T) {
	t.Parallel()
	s, err := schema.NewSearch(searchTable(), []schema.KeyPart{part("text", `"A/B"`)})
	if err != nil {
		t.Fatal(err)
	}
	r := schema.Reference{Search: *s, Property: "parent@odata.bind"}
	decoy, _ := json.Marshal(string(r.Member()))
	body := json.RawMessage(`{"name":` + string(decoy) + `,` + string(r.Member()) + `}`)
	got := r.Bind(body, "0000000a-0000-0000-0000-00000000000b")
	want := `{"name":` + string(decoy) + `,"parent@odata.bind":"/accounts(0000000a-0000-0000-0000-00000000000b)"}`
	if string(got) != want || !json.Valid(got) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.Bind(nil, "x") != nil {
		t.Error("no body became one")
	}
}

func TestAWriteToSearchForNamesItsQuery(t *testing.T) {
	t.Parallel()
	s, _ := schema.NewSearch(searchTable(), []schema.KeyPart{part("text", `"A/B"`)})
	w := schema.Write{EntitySet: "accounts", Search: s}
	if w.Path() != s.Query() {
		t.Errorf("got %s", w.Path())
	}
}
