package sim

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
)

func defaultCatalog(t *testing.T) schema.Catalog {
	t.Helper()
	tables, err := DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	return schema.NewCatalog(tables...)
}

func TestDefaultSchemaHasTheTablesAndActiveKeysThatIntegrationsUse(t *testing.T) {
	t.Parallel()
	catalog := defaultCatalog(t)
	keys := map[string][][]string{
		"account": {{"accountnumber"}, {"new_erpnumber"}}, "contact": {{"emailaddress1"}, {"new_personno"}},
		"systemuser": {{"domainname"}, {"internalemailaddress"}}, "team": {{"name"}}, "businessunit": {{"name"}},
		"equipment": {{"name"}}, "new_region": {{"new_code"}}, "sample_product": {{"sample_productcode"}},
		"sample_book": {{"sample_bookcode"}}, "transactioncurrency": {{"isocurrencycode"}},
		"serviceendpoint": {}, "sdkmessage": {}, "sdkmessagefilter": {}, "sdkmessageprocessingstep": {}, "asyncoperation": {},
	}
	if len(catalog) != len(keys) {
		t.Errorf("%d tables, want %d", len(catalog), len(keys))
	}
	for name, want := range keys {
		table := catalog[name]
		if table == nil {
			t.Errorf("no table %s", name)
			continue
		}
		for _, columns := range want {
			key := table.Key(columns)
			if key == nil || key.Status != schema.KeyActive {
				t.Errorf("%s has no active key over %v", name, columns)
				continue
			}
			for _, c := range columns {
				// An index entry holds 900 bytes, two a character.
				if n := table.Column(c).MaxLength; n > 450 {
					t.Errorf("%s.%s is %d characters long: too long for a key", name, c, n)
				}
			}
		}
	}
	for name, tracked := range map[string]bool{"account": true, "contact": true, "new_region": true, "sample_product": true, "sample_book": true, "equipment": false} {
		if catalog[name].ChangeTracking != tracked {
			t.Errorf("change tracking of %s is %v", name, !tracked)
		}
	}
}

func TestDefaultSchemaSpellsTheFactsOfTheEntityReference(t *testing.T) {
	t.Parallel()
	catalog := defaultCatalog(t)
	nav := func(table, column, target string) string {
		if n := catalog[table].Navigation(column, target); n != nil {
			return n.Name
		}
		return ""
	}
	for _, c := range []struct{ table, column, target, want string }{
		{"account", "primarycontactid", "contact", "primarycontactid"},
		{"account", "new_region", "new_region", "new_Region"},
		{"account", "ownerid", "systemuser", "ownerid"},
		{"account", "ownerid", "team", "ownerid"},
		{"contact", "parentcustomerid", "account", "parentcustomerid_account"},
		{"contact", "parentcustomerid", "contact", "parentcustomerid_contact"},
		{"systemuser", "parentsystemuserid", "systemuser", "parentsystemuserid"},
		{"team", "businessunitid", "businessunit", "businessunitid"},
	} {
		if got := nav(c.table, c.column, c.target); got != c.want {
			t.Errorf("%s.%s -> %s binds through %q, want %q", c.table, c.column, c.target, got, c.want)
		}
	}
	account := catalog["account"]
	for name, want := range map[string]int{"name": 160, "accountnumber": 20, "telephone1": 50, "emailaddress1": 100, "description": 2000} {
		if got := account.Column(name).MaxLength; got != want {
			t.Errorf("account.%s holds %d characters, want %d", name, got, want)
		}
	}
	one, two := int64(1), int64(2)
	want := []schema.Option{{Value: 0, Label: "Active", DefaultStatus: &one}, {Value: 1, Label: "Inactive", DefaultStatus: &two}}
	if diff := cmp.Diff(want, account.Column("statecode").Options); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if b := account.Column("lastusedincampaign").Behavior; b != schema.BehaviorDateOnly {
		t.Errorf("lastusedincampaign has behavior %s", b)
	}
	if !catalog["contact"].Column("fullname").ReadOnly {
		t.Error("contact.fullname can be written")
	}
}

func TestDefaultSchemaGivesEveryCallerTablesOfItsOwn(t *testing.T) {
	t.Parallel()
	first, second := defaultCatalog(t), defaultCatalog(t)
	first["account"].Columns[1].MaxLength = 1
	if second["account"].Columns[1].MaxLength == 1 {
		t.Error("two calls share a table")
	}
}

const smallSchema = `tables:
  - logicalName: thing
    entitySet: things
    primaryId: thingid
    primaryName: name
    columns:
      - {logicalName: thingid, type: Uniqueidentifier}
      - {logicalName: name, type: String, maxLength: 10}
      - {logicalName: seen, type: DateTime}
      - {logicalName: parentid, type: Lookup, targets: [thing]}
      - {logicalName: statecode, type: State, options: [{value: 0, label: Active}]}
      - {logicalName: statuscode, type: Status, options: [{value: 1, label: Active, state: 0}]}
    keys:
      - {logicalName: namekey, columns: [name]}
    navigations:
      - {column: parentid, target: thing, name: ParentId}
`

func TestLoadSchemaFillsInWhatMayBeLeftOut(t *testing.T) {
	t.Parallel()
	tables, err := LoadSchema([]byte(smallSchema))
	if err != nil {
		t.Fatal(err)
	}
	thing := tables[0]
	if thing.SchemaName != "thing" || thing.Ownership != schema.NotOwned ||
		thing.Column("seen").Behavior != schema.BehaviorUserLocal ||
		thing.Column("name").SchemaName != "name" || thing.Keys[0].Status != schema.KeyActive {
		t.Errorf("not filled in: %+v", thing)
	}
}

func TestLoadSchemaReadsJSON(t *testing.T) {
	t.Parallel()
	tables, err := LoadSchema([]byte(`{"tables":[{"logicalName":"a","entitySet":"as","primaryId":"aid","columns":[{"logicalName":"aid","type":"Uniqueidentifier"}]}]}`))
	if err != nil || len(tables) != 1 || tables[0].EntitySet != "as" {
		t.Errorf("got %v, %v", tables, err)
	}
}

func TestLoadSchemaNamesTheFaultAndItsPlace(t *testing.T) {
	t.Parallel()
	change := func(old, repl string) string { return strings.Replace(smallSchema, old, repl, 1) }
	for name, c := range map[string]struct{ file, want string }{
		"empty":                  {"", "the file is empty"},
		"no tables":              {"tables: []\n", "no table"},
		"null table":             {"tables: [null]\n", "the table is null"},
		"two documents":          {smallSchema + "---\ntables: []\n", "2 documents"},
		"not YAML":               {"tables: [", "1:"},
		"unknown field":          {change("primaryName", "primaryNam"), "5:5: "},
		"repeated field":         {change("    primaryName: name", "    primaryName: name\n    primaryName: name"), "6:5: "},
		"wrong type":             {change("maxLength: 10", "maxLength: ten"), "8:"},
		"deep nesting":           {"tables: " + strings.Repeat("[", 100), "nested too deeply"},
		"deep nesting by dashes": {"tables:\n  " + strings.Repeat("- ", 100), "nested too deeply"},
		"alias":                  {"tables: [&a {x: 1}, *a]", "1:10: anchors and aliases"},
		"no entity set":          {change("entitySet: things", "entitySet: ''"), "has no entitySet"},
		"upper-case table":       {change("logicalName: thing", "logicalName: Thing"), "lower-case name"},
		"upper-case column":      {change("logicalName: seen", "logicalName: Seen"), "lower-case name"},
		"unknown ownership":      {change("primaryName: name", "ownership: Mine"), `unknown ownership "Mine"`},
		"primary id missing":     {change("primaryId: thingid", "primaryId: nope"), `primaryId "nope" is not a column`},
		"primary id of a text":   {change("primaryId: thingid", "primaryId: name"), "has type String"},
		"primary name missing":   {change("primaryName: name", "primaryName: nope"), `primaryName "nope"`},
		"column twice":           {change("logicalName: seen", "logicalName: name"), "column name is listed twice"},
		"unknown type":           {change("type: DateTime", "type: Date"), `unknown type "Date"`},
		"unknown behavior":       {change("type: DateTime", "type: DateTime, behavior: Local"), `unknown behavior "Local"`},
		"text without length":    {change(", maxLength: 10", ""), "8:9: tables[0].columns[1]: column name needs a maxLength"},
		"min above max":          {change("type: DateTime", "type: Integer, min: 2, max: 1"), "min is above max"},
		"choice without options": {change("options: [{value: 0, label: Active}]", "options: []"), "needs options"},
		"option twice":           {change("[{value: 0, label: Active}]", "[{value: 0, label: A}, {value: 0, label: B}]"), "option 0 twice"},
		"status without state":   {change(", state: 0", ""), "status 1 of statuscode belongs to no state"},
		"status of a lost state": {change("state: 0", "state: 7"), "belongs to no state"},
		"lookup without targets": {change(", targets: [thing]", ""), "has no targets"},
		"lookup out of the file": {change("targets: [thing]", "targets: [thing, other]"), "table other, which is not in the file"},
		"lookup without a path":  {change("{column: parentid, target: thing, name: ParentId}", "{column: parentid, target: thing, name: ''}"), "has no name"},
		"no navigation":          {change("\n    navigations:\n      - {column: parentid, target: thing, name: ParentId}", ""), "no navigation to thing"},
		"navigation of a text":   {change("{column: parentid,", "{column: name,"), "name is not a lookup"},
		"navigation off target":  {change("target: thing, name", "target: else, name"), "else is not a target"},
		"navigation twice":       {smallSchema + "      - {column: parentid, target: thing, name: Other}\n", "two navigations"},
		"key without columns":    {change("columns: [name]", "columns: []"), "has no columns"},
		"key of a lost column":   {change("columns: [name]", "columns: [nope]"), "nope is not a column"},
		"key of a state":         {change("columns: [name]", "columns: [statecode]"), "cannot be part of a key"},
		"key names one twice":    {change("columns: [name]", "columns: [name, name]"), "names column name twice"},
		"key status":             {change("columns: [name]}", "columns: [name], status: Ready}"), `unknown status "Ready"`},
		"two keys alike":         {change("columns: [name]}", "columns: [name]}\n      - {logicalName: two, columns: [name]}"), "has the columns of key namekey"},
		"key names alike":        {change("columns: [name]}", "columns: [name]}\n      - {logicalName: namekey, columns: [seen]}"), "name of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadSchema([]byte(c.file))
			var problems schema.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want it to contain %q", err, c.want)
			}
		})
	}
}

func TestLoadSchemaReportsAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	bad := strings.NewReplacer("primaryId: thingid", "primaryId: nope", ", maxLength: 10", "", "columns: [name]", "columns: [gone]").Replace(smallSchema)
	_, err := LoadSchema([]byte(bad))
	var problems schema.Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
	for _, p := range problems {
		if p.Line == 0 || p.Column == 0 {
			t.Errorf("no place: %v", p)
		}
	}
}

func TestLoadSchemaRefusesAFileBeyondItsLimit(t *testing.T) {
	t.Parallel()
	_, err := LoadSchema([]byte("# " + strings.Repeat("x", MaxSchemaBytes)))
	if err == nil || !strings.Contains(err.Error(), "allowed") {
		t.Errorf("got %v", err)
	}
}

func FuzzLoadSchema(f *testing.F) {
	f.Add([]byte(smallSchema))
	f.Add([]byte("tables:\n  - logicalName: a\n    columns: [{logicalName: &x a}, *x]\n"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tables, err := LoadSchema(data)
		if err != nil {
			return
		}
		for _, table := range tables {
			if table.Column(table.PrimaryID) == nil {
				t.Errorf("accepted a table without its primary id: %+v", table)
			}
			for i := range table.Columns {
				c := &table.Columns[i]
				for _, target := range c.Targets {
					if c.IsLookup() && table.Navigation(c.LogicalName, target) == nil {
						t.Errorf("accepted lookup %s without a navigation to %s", c.LogicalName, target)
					}
				}
			}
		}
	})
}
