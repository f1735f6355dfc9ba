package sim

import (
	"net/url"
	"strings"
	"testing"

	"cebridge/schema"
)

func TestKeyedURLs(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id := mustInsert(t, s, "account", map[string]any{"accountnumber": "O'Neil, (1) #2"})
	product := mustInsert(t, s, "sample_product", map[string]any{"sample_productcode": "P1"})
	cases := []struct {
		path   string
		status int
		code   string
	}{
		{"accounts(" + id + ")", 200, ""},
		{"accounts(" + strings.ToUpper(id) + ")", 200, ""},
		{"accounts(accountid=" + id + ")", 200, ""},
		{"accounts%28" + id + "%29", 200, ""},
		{"accounts(accountnumber='O''Neil, (1) %232')", 200, ""},
		{"accounts(accountnumber='o%27%27neil%2C%20(1)%20%232%20')", 200, ""},
		{"accounts(accountnumber='unknown')", 404, codeNotFoundByKey},
		{"accounts(accountnumber='" + strings.Repeat("x", 200) + "')", 404, codeNotFoundByKey},
		{"accounts(" + testID(1) + ")", 404, codeNotFound},
		{"accounts(name='x')", 400, "0x0"},
		{"accounts(accountnumber='x',name='y')", 400, "0x0"},
		{"accounts(accountnumber='x',accountnumber='x')", 400, "0x0"},
		{"accounts(accountnumber=null)", 400, "0x0"},
		{"accounts(accountnumber=5)", 400, "0x0"},
		{"accounts(nothing='x')", 400, "0x0"},
		{"accounts('x')", 400, codeInvalidRequest},
		{"accounts()", 400, codeInvalidRequest},
		{"accounts(accountnumber='x)", 400, codeInvalidRequest},
		{"accounts(accountnumber='x'", 400, codeInvalidRequest},
		{"nothings(" + id + ")", 404, codeInvalidRequest},
		{"sample_products(sample_productcode='p1')", 200, ""},
		{"sample_products(" + product + ")", 200, ""},
	}
	for _, c := range cases {
		send(t, s, "GET", c.path, "").want(t, c.status, c.code)
	}
}

func TestForbiddenKeyCharactersAnswerAPageOfTheWebServer(t *testing.T) {
	t.Parallel()
	online, premises := newTestServer(t, Options{}), newTestServer(t, Options{Profile: OnPremises})
	for _, c := range schema.ForbiddenKeyCharacters {
		path := "accounts(accountnumber='a" + url.PathEscape(string(c)) + "b')"
		if c == '+' {
			path = "accounts(accountnumber='a%2Bb')"
		}
		for _, s := range []*Server{online, premises} {
			a := send(t, s, "GET", path, "")
			if c == '#' || s == premises && strings.ContainsRune("/?+", c) {
				a.want(t, 404, codeNotFoundByKey)
				continue
			}
			a.want(t, 400, "")
			if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || a.header.Get("OData-Version") != "" {
				t.Errorf("%q: the answer is OData: %s", c, a.body)
			}
		}
	}
	send(t, online, "GET", "accounts(accountnumber='a/b')", "").want(t, 400, "")
}

func TestOnlyActiveKeysAddress(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"accountnumber": "K"})
	setStatus := func(status schema.KeyStatus) error {
		return s.AlterTable("account", false, func(t *schema.Table) error {
			t.Key([]string{"accountnumber"}).Status = status
			return nil
		})
	}
	for _, status := range []schema.KeyStatus{schema.KeyPending, schema.KeyInProgress, schema.KeyFailed} {
		if err := setStatus(status); err != nil {
			t.Fatal(err)
		}
		send(t, s, "GET", "accounts(accountnumber='K')", "").want(t, 400, "0x0")
	}
	mustInsert(t, s, "account", map[string]any{"accountnumber": "k"})
	if err := setStatus(schema.KeyActive); err == nil {
		t.Fatal("a key became active over duplicates")
	}
	id, _ := s.Insert("account", map[string]any{"accountnumber": "L"})
	if err := s.Delete("account", id); err != nil {
		t.Fatal(err)
	}
	var ids []string
	if err := s.Rows("account", func(id string, _ map[string]any) bool { ids = append(ids, id); return true }); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("account", ids[1]); err != nil {
		t.Fatal(err)
	}
	if err := setStatus(schema.KeyActive); err != nil {
		t.Fatal(err)
	}
	send(t, s, "GET", "accounts(accountnumber='K')", "").want(t, 200, "")
}

func TestCaseSensitiveKeysFlip(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{Assumptions: Assumptions{CaseSensitiveKeys: true}})
	mustInsert(t, s, "account", map[string]any{"accountnumber": "K"})
	send(t, s, "GET", "accounts(accountnumber='k')", "").want(t, 404, codeNotFoundByKey)
	mustInsert(t, s, "account", map[string]any{"accountnumber": "k"})
}

func TestKeysOfSeveralColumnsAndLookups(t *testing.T) {
	t.Parallel()
	tables, err := DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if table.LogicalName == "account" {
			table.Keys = append(table.Keys, schema.AlternateKey{LogicalName: "new_pair", Columns: []string{"primarycontactid", "numberofemployees"}, Status: schema.KeyActive})
		}
	}
	s := newTestServer(t, Options{Tables: tables})
	person := mustInsert(t, s, "contact", map[string]any{"lastname": "Lee"})
	nobody := "accounts(numberofemployees=7,_primarycontactid_value=00000000-0000-0000-0000-0000000000ff)"
	send(t, s, "PATCH", nobody, `{"name":"n"}`).want(t, 404, codeNotFound)
	send(t, s, "PATCH", nobody, `{"name":"n","primarycontactid@odata.bind":null}`).want(t, 204, "")
	path := "accounts(numberofemployees=7,_primarycontactid_value=" + person + ")"
	send(t, s, "PATCH", path, `{"name":"n"}`).want(t, 204, "")
	id, ok := s.FindByKey("account", map[string]any{"_primarycontactid_value": person, "numberofemployees": 7})
	if !ok {
		t.Fatal("the lookup of the key was not copied into the record")
	}
	send(t, s, "POST", "accounts", `{"numberofemployees":7,"primarycontactid@odata.bind":"/contacts(`+person+`)"}`).want(t, 412, codeDuplicateKey)
	send(t, s, "PATCH", path, `{"numberofemployees":8,"primarycontactid@odata.bind":null}`).want(t, 204, "")
	if row := mustRow(t, s, "account", id); row["_primarycontactid_value"] != person {
		t.Error("a column of the key changed through the key")
	}
	send(t, s, "GET", "accounts(numberofemployees='7',_primarycontactid_value="+person+")", "").want(t, 400, "0x0")
}

// FuzzKeyedPath: no path makes the server panic or answer with a record other
// than the one it names.
func FuzzKeyedPath(f *testing.F) {
	for _, seed := range []string{"accounts(accountnumber='A1')", "accounts(accountnumber='a''')", "accounts(%27", "accounts(name=')", "accounts(accountnumber='A1')/name/$ref", "accounts()", "a/b/c"} {
		f.Add(seed)
	}
	s := newTestServer(f, Options{})
	mustInsert(f, s, "account", map[string]any{"accountnumber": "A1"})
	f.Fuzz(func(t *testing.T, path string) {
		if len(path) > 1000 {
			return
		}
		res, e := s.parseResource(path)
		if e != nil {
			if e.Status < 400 || e.Status > 599 {
				t.Fatalf("status %d", e.Status)
			}
			return
		}
		if res.key != nil && !res.key.byID {
			for i, lit := range res.key.literals {
				if lit == "" || lit == "null" {
					t.Fatalf("part %d of %q is null", i, path)
				}
			}
			if r := s.findRow(res); r != nil && !strings.Contains(strings.ToLower(res.key.literals[0]), "a1") {
				t.Fatalf("%q found a record", path)
			}
		}
	})
}
