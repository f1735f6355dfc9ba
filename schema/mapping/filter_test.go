package mapping

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
)

var filterColumns = []string{"accountid", "name", "revenue", "numberofemployees", "statecode", "primarycontactid", "createdon", "creditonhold", "big"}

func filterTable() *schema.Table {
	return &schema.Table{LogicalName: "account", PrimaryID: "accountid", Columns: []schema.Column{
		{LogicalName: "accountid", Type: schema.TypeUniqueID},
		{LogicalName: "name", Type: schema.TypeString},
		{LogicalName: "revenue", Type: schema.TypeMoney},
		{LogicalName: "numberofemployees", Type: schema.TypeInteger},
		{LogicalName: "statecode", Type: schema.TypeState},
		{LogicalName: "primarycontactid", Type: schema.TypeLookup},
		{LogicalName: "createdon", Type: schema.TypeDateTime},
		{LogicalName: "creditonhold", Type: schema.TypeBoolean},
		{LogicalName: "big", Type: schema.TypeBigInt},
		{LogicalName: "telephone1", Type: schema.TypeString},
	}}
}

// compileFilter parses and compiles the filter of a table as it stands in a file.
func compileFilter(t testing.TB, text string) (*Filter, schema.Problems) {
	t.Helper()
	f, err := yamlparser.ParseBytes([]byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	node, ok := f.Docs[0].Body.(*ast.MappingNode)
	if !ok {
		t.Fatalf("not a mapping: %T", f.Docs[0].Body)
	}
	spec, ps := ParseFilter("bridge.yaml", "outbound.tables.account", node)
	if len(ps) > 0 {
		return nil, ps
	}
	if spec == nil {
		t.Fatal("no filter was found")
	}
	return CompileFilter(spec, filterTable(), filterColumns)
}

const filterRow = `{"accountid":"5531d753-95af-e711-a94e-000d3a11e605","name":"Fabrikam","revenue":1500.5000,"numberofemployees":40,` +
	`"statecode":0,"_primarycontactid_value":null,"createdon":"2026-03-04T05:06:07Z","creditonhold":false,"big":9007199254740993,"versionnumber":9}`

const emptyRow = `{"accountid":"5531d753-95af-e711-a94e-000d3a11e605","name":null,"revenue":null,"numberofemployees":null,` +
	`"statecode":1,"_primarycontactid_value":null,"createdon":"2026-03-04T05:06:07Z","creditonhold":null,"big":null}`

func TestAFilterJudgesTheRowAsItWasSent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{ // for the full row, for the empty one
		`record.statecode == 0`: {true, false},
		`record.statecode == 0 && record.?revenue.orValue(0.0) > 1000.0`:   {true, false},
		`record.?revenue.orValue(0.0) > 1000.0`:                            {true, false},
		`record.?numberofemployees.orValue(0) >= 40`:                       {true, false},
		`record.name == null`:                                              {false, true},
		`record.name != null && record.name.startsWith("Fab")`:             {true, false},
		`has(record.name)`:                                                 {true, false},
		`!has(record._primarycontactid_value)`:                             {true, true},
		`record["name"] == "Fabrikam"`:                                     {true, false},
		`record[?"name"].orValue("") in ["Fabrikam", "Contoso"]`:           {true, false},
		`record.?name.hasValue()`:                                          {true, false},
		`record.?revenue.orValue(0.0) * 2.0 > 3000.0`:                      {true, false},
		`timestamp(record.createdon) > timestamp("2026-01-01T00:00:00Z")`:  {true, true},
		`!record.?creditonhold.orValue(true)`:                              {true, false},
		`record.?big.orValue(0) == 9007199254740993`:                       {true, false},
		`record.?big.orValue(0) == 9007199254740992`:                       {false, false},
		`record.?name.orValue("") == "Fabrikam" || record.statecode == 1`:  {true, true},
		`record.?revenue.optMap(r, r > 1000.0).orValue(false)`:             {true, false},
		`record.accountid == "5531d753-95af-e711-a94e-000d3a11e605"`:       {true, true},
		`string(record.?numberofemployees.orValue(0)).matches("^[0-9]+$")`: {true, true},
	} {
		f, ps := compileFilter(t, "filter: |-\n  "+text)
		if len(ps) > 0 {
			t.Errorf("%s: %v", text, ps)
			continue
		}
		for i, row := range []string{filterRow, emptyRow} {
			if got, err := f.Keep([]byte(row)); err != nil || got != want[i] {
				t.Errorf("%s of row %d: %v, %v", text, i, got, err)
			}
		}
	}
}

func TestWhatIsWrongWithAFilterIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`filter: record.statecod == 0`:             "bridge.yaml:1:15: outbound.tables.account.filter: table account has no column statecod; did you mean statecode?",
		`filter: record.telephone1 != null`:        "bridge.yaml:1:15: outbound.tables.account.filter: column telephone1 is not read: add it to the table's columns",
		`filter: record.primarycontactid != null`:  "bridge.yaml:1:15: outbound.tables.account.filter: the lookup primarycontactid is read as record._primarycontactid_value",
		`filter: record.size() > 3`:                "bridge.yaml:1:9: outbound.tables.account.filter: name a column: record.<column>",
		`filter: record[record.name] == 1`:         "bridge.yaml:1:9: outbound.tables.account.filter: name a column: record.<column>",
		`filter: data.statecode == 0`:              "bridge.yaml:1:9: outbound.tables.account.filter: unknown name data",
		`filter: record.statecode ==`:              "bridge.yaml:1:28: outbound.tables.account.filter: Syntax error: mismatched input '<EOF>'",
		`filter: record.statecode + 1`:             "bridge.yaml:1:26: outbound.tables.account.filter: numbers of a record are doubles: write 2.0 for 2, or convert the other side with int()",
		`filter: size(string(record.name))`:        "bridge.yaml:1:9: outbound.tables.account.filter: a filter must be true or false",
		`filter: '1 == 1'`:                         "bridge.yaml:1:9: outbound.tables.account.filter: the filter names no column of record, so it is the same for all of them",
		`filter: true`:                             "bridge.yaml:1:9: outbound.tables.account.filter: a filter is a condition on record, such as record.statecode == 0",
		`filter: [a]`:                              "bridge.yaml:1:9: outbound.tables.account.filter: expected an expression, found a list",
		`filter: has(record.nam)`:                  "bridge.yaml:1:12: outbound.tables.account.filter: table account has no column nam; did you mean name?",
		`filter: record.?statecod.orValue(0) == 0`: "bridge.yaml:1:15: outbound.tables.account.filter: table account has no column statecod; did you mean statecode?",
		`filter: record.?revenue.orValue(0.0)`:     "",
		`filter: record.statecode == 0 && omit()`:  "bridge.yaml:1:38: outbound.tables.account.filter: unknown name omit",
		`filter: rekord.statecode == 0`:            "bridge.yaml:1:9: outbound.tables.account.filter: unknown name rekord; did you mean record?",
	} {
		_, ps := compileFilter(t, text)
		got := ""
		if len(ps) > 0 {
			got = ps[0].Error()
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestAFilterThatCannotBeComputedFailsWithoutAValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`filter: record.revenue > 1000.0`: "an empty column is null",
		`filter: record.name`:             "not true or false",
		`filter: int(record.name) > 3`:    "",
		`filter: record.statecode / 0.0 > 1.0 || timestamp(record.name) > timestamp("2026-01-01T00:00:00Z")`: "",
	} {
		f, ps := compileFilter(t, text)
		if len(ps) > 0 {
			t.Fatalf("%s: %v", text, ps)
		}
		row := strings.Replace(filterRow, `"revenue":1500.5000`, `"revenue":null`, 1)
		row = strings.Replace(row, "Fabrikam", "private text", 1)
		_, err := f.Keep([]byte(row))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "private") {
			t.Errorf("%s: error %v", text, err)
		}
		if err != nil && !strings.Contains(err.Error(), "bridge.yaml:1:9") {
			t.Errorf("%s: error without a place: %v", text, err)
		}
	}
	f, _ := compileFilter(t, `filter: record.statecode == 0`)
	for _, row := range []string{``, `[]`, `{`, `{"name":1}`, `{"statecode":`, `{"statecode":1e999}`} {
		if keep, err := f.Keep([]byte(row)); err == nil {
			t.Errorf("row %q: %v and no error", row, keep)
		}
	}
}

func TestATableWithoutAFilterHasNone(t *testing.T) {
	t.Parallel()
	f, err := yamlparser.ParseBytes([]byte("columns: [name]\npoll: 5s"), 0)
	if err != nil {
		t.Fatal(err)
	}
	spec, ps := ParseFilter("f.yaml", "x", f.Docs[0].Body.(*ast.MappingNode))
	if spec != nil || len(ps) > 0 {
		t.Errorf("%v, %v", spec, ps)
	}
	if spec, ps = ParseFilter("f.yaml", "x", nil); spec != nil || len(ps) > 0 {
		t.Errorf("of nothing: %v, %v", spec, ps)
	}
}

func TestAFilterReadsOnlyTheMembersItNames(t *testing.T) {
	t.Parallel()
	f, ps := compileFilter(t, `filter: record.name == "x" && record.?revenue.orValue(0.0) > 1.0`)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	record, err := f.decode([]byte(`{"other":{"deep":[1,2]},"revenue":2,"name":"x","rest is not even read`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"revenue": number("2"), "name": "x"}, record); diff != "" {
		t.Error(diff)
	}
}

func FuzzAFilterNeverPanics(f *testing.F) {
	f.Add(`record.statecode == 0`, filterRow)
	f.Add(`record.?name.orValue("") == ""`, emptyRow)
	f.Fuzz(func(t *testing.T, text, row string) {
		spec := &FilterSpec{&expression{text: text}}
		filter, ps := CompileFilter(spec, filterTable(), filterColumns)
		if (filter == nil) == (len(ps) == 0) {
			t.Fatalf("%q: filter %v, problems %v", text, filter, ps)
		}
		if filter != nil {
			_, _ = filter.Keep([]byte(row))
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	f, ps := compileFilter(b, `filter: record.statecode == 0 && record.?revenue.orValue(0.0) > 1000.0`)
	if len(ps) > 0 {
		b.Fatal(ps)
	}
	row := []byte(filterRow)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Keep(row); err != nil {
			b.Fatal(err)
		}
	}
}
