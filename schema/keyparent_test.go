package schema_test

import (
	"strings"
	"testing"

	"cebridge/schema"
)

func lineTable() *schema.Table {
	return &schema.Table{
		LogicalName: "new_line", EntitySet: "new_lines", PrimaryID: "new_lineid",
		Columns: []schema.Column{
			{LogicalName: "new_accountid", Type: schema.TypeLookup, Targets: []string{"account"}},
			{LogicalName: "new_other", Type: schema.TypeLookup, Targets: []string{"account"}},
			{LogicalName: "new_code", Type: schema.TypeString},
		},
		Navigations: []schema.Navigation{
			{Column: "new_accountid", Target: "account", Name: "new_AccountId"},
			{Column: "new_other", Target: "account", Name: "new_Other"},
		},
	}
}

func parentTable() *schema.Table {
	return &schema.Table{LogicalName: "account", EntitySet: "accounts", PrimaryID: "accountid", Columns: []schema.Column{
		{LogicalName: "accountnumber", Type: schema.TypeString}, {LogicalName: "new_site", Type: schema.TypeString},
	}}
}

// below is a part of a key that names an account.
func below(t *testing.T, column, property string, key ...schema.KeyPart) schema.KeyPart {
	t.Helper()
	s, err := schema.NewSearch(parentTable(), key)
	if err != nil {
		t.Fatal(err)
	}
	return schema.KeyPart{Column: column, Parent: &schema.KeyParent{Key: key, Reference: schema.Reference{Search: *s, Property: property + "@odata.bind"}}}
}

const (
	firstID  = "0000000a-0000-0000-0000-000000000001"
	secondID = "0000000a-0000-0000-0000-000000000002"
)

func TestTheGUIDsOfParentsTakeThePlaceOfTheirQueries(t *testing.T) {
	t.Parallel()
	first := below(t, "new_accountid", "new_AccountId", part("accountnumber", `"A'1"`))
	second := below(t, "new_other", "new_Other", part("accountnumber", `"A"`), part("new_site", `"B"`))
	// What a value says of itself is no marker, however much it looks like one.
	tricky := part("new_code", `"x {`+first.Parent.Query()+`} '"`)
	plain := part("new_code", `"7"`)

	w := &schema.Write{Table: "new_line", EntitySet: "new_lines", Key: []schema.KeyPart{first, second, plain}}
	var err error
	if w.Predicate, err = schema.KeyPredicate(lineTable(), w.Key); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.Path(), "_new_accountid_value={accounts?$select=accountid&$filter=accountnumber%20eq%20%27A%27%271%27&$top=2},") {
		t.Errorf("the path is %s", w.Path())
	}
	lane := w.Lane()
	got := w.WithParents([]string{firstID, secondID})
	if want := "new_lines(_new_accountid_value=" + firstID + ",_new_other_value=" + secondID + ",new_code='7')"; got.Path() != want {
		t.Errorf("found %s, want %s", got.Path(), want)
	}
	if got.Lane() != lane || !strings.Contains(w.Predicate, "{") {
		t.Error("the lane or the write itself changed")
	}

	w = &schema.Write{Table: "new_line", EntitySet: "new_lines", Key: []schema.KeyPart{tricky, first, second}}
	if w.Search, err = schema.NewSearch(lineTable(), w.Key); err != nil {
		t.Fatal(err)
	}
	if w.KeyMembers, err = schema.KeyMembers(schema.NewCatalog(parentTable()), lineTable(), w.Key); err != nil {
		t.Fatal(err)
	}
	before := w.Search.Filter
	got = w.WithParents([]string{firstID, secondID})
	if want := "new_code eq 'x {" + first.Parent.Query() + "} ''' and _new_accountid_value eq " + firstID + " and _new_other_value eq " + secondID; got.Search.Filter != want {
		t.Errorf("the filter is %s, want %s", got.Search.Filter, want)
	}
	if want := `"new_AccountId@odata.bind":"/accounts(` + firstID + `)","new_Other@odata.bind":"/accounts(` + secondID + `)"}`; !strings.HasSuffix(string(got.KeyMembers), want) {
		t.Errorf("the members are %s", got.KeyMembers)
	}
	if w.Search.Filter != before {
		t.Error("the write itself changed")
	}
}

func TestAParentStandsForALookupAlone(t *testing.T) {
	t.Parallel()
	wrong := below(t, "new_code", "x", part("accountnumber", `"A"`))
	if _, err := schema.KeyPredicate(lineTable(), []schema.KeyPart{wrong}); err == nil {
		t.Error("a text named a record")
	}
}

func TestRecordsShareALaneWhenTheirParentsHaveOneName(t *testing.T) {
	t.Parallel()
	lane := func(parts ...schema.KeyPart) (string, string) {
		w := &schema.Write{Table: "new_line", Key: append(parts, part("new_code", `"7"`))}
		return w.Lane(), w.Identity()
	}
	named := func(number, site string) schema.KeyPart {
		return below(t, "new_accountid", "n", part("accountnumber", number), part("new_site", site))
	}
	turned := below(t, "new_accountid", "n", part("new_site", `"b"`), part("accountnumber", `"a1"`))
	base, baseID := lane(named(`"a1"`, `"b"`))
	for name, c := range map[string]struct {
		part           schema.KeyPart
		lane, identity bool
	}{
		"the same":                {named(`"a1"`, `"b"`), true, true},
		"in other cases":          {named(`"A1 "`, `"B"`), true, true},
		"in another order":        {turned, true, true},
		"with an accent":          {named(`"á1"`, `"b"`), true, false},
		"another":                 {named(`"a2"`, `"b"`), false, false},
		"parts that run together": {named(`"a"`, `"1b"`), false, false},
		"by a GUID":               {part("new_accountid", `"`+firstID+`"`), false, false},
	} {
		got, id := lane(c.part)
		if (got == base) != c.lane || (id == baseID) != c.identity {
			t.Errorf("%s: lane %q, identity %q, against %q, %q", name, got, id, base, baseID)
		}
	}
}
