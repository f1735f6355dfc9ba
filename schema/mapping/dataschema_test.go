package mapping_test

import (
	"strings"
	"testing"

	"cebridge/schema"
	"cebridge/schema/mapping"
)

// customerSchema is a schema as contracts of events have them.
const customerSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"$defs": {
		"address": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": ["string", "null"]}}, "required": ["city"]},
		"tree": {"type": "object", "properties": {"name": {"type": "string"}, "child": {"$ref": "#/$defs/tree"}}},
		"base": {"properties": {"number": {"type": "string"}}, "required": ["number"]}
	},
	"type": "object",
	"allOf": [{"$ref": "#/$defs/base"}],
	"properties": {
		"name": {"type": "string"},
		"phone": {"type": "string"},
		"employees": {"type": "integer"},
		"kind": {"enum": [1, 2]},
		"wrong": {"enum": ["1", "x"]},
		"vip": {"type": "boolean", "nullable": true},
		"address": {"$ref": "#/$defs/address"},
		"billing": {"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}]},
		"either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
		"contacts": {"type": "array", "items": {"type": "object", "properties": {"mail": {"type": "string"}, "age": {"type": "number"}}, "required": ["mail"]}},
		"tree": {"$ref": "#/$defs/tree"},
		"extra": {"type": "object", "additionalProperties": {"type": "string"}},
		"open": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true},
		"closed": {"type": "object", "additionalProperties": false},
		"free": {"type": "object"},
		"foreign": {"$ref": "https://contoso.example/other.json"},
		"Customer No": {"type": "string"}
	},
	"required": ["name", "employees", "kind", "wrong", "vip", "address", "billing", "either", "contacts", "tree", "extra", "open", "closed", "free", "foreign"]
}`

// against are the problems of a mapping whose events have that schema.
func against(t *testing.T, text, schema, part string) string {
	t.Helper()
	spec, ps := parse(t, text)
	if len(ps) > 0 {
		t.Fatalf("%s: %v", text, ps)
	}
	_, ps = mapping.Compile(spec, catalog(t), mapping.Options{Schema: []byte(schema), SchemaPart: part})
	if len(ps) == 0 {
		return ""
	}
	for _, p := range ps {
		if p.Line == 0 || p.Column == 0 {
			t.Errorf("%s: a problem without a place: %v", text, p)
		}
	}
	return ps.Error()
}

func TestAMappingIsHeldAgainstTheSchemaOfItsEvents(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"columns: {name: data.name}":                                              "",
		"columns: {name: data.address.city}":                                      "",
		"columns: {name: data.billing.city}":                                      "",
		"columns: {name: data.tree.?child.child.child.child.name.orValue(null)}":  "",
		"columns: {name: data.extra.anything}":                                    "",
		"columns: {name: data.open.b}":                                            "",
		"columns: {name: data.free.b.c}":                                          "",
		"columns: {name: data.foreign.b}":                                         "",
		"columns: {name: data.either}":                                            "",
		"columns: {name: 'data.contacts[0].mail'}":                                "",
		"columns: {name: 'data.contacts.map(c, c.mail)[0]'}":                      "",
		"columns: {name: data.?phone.orValue(omit())}":                            "",
		`columns: {name: 'data[?"Customer No"].orValue(null)'}`:                   "",
		`columns: {name: 'has(data.phone) ? data.phone : "none"'}`:                "",
		"when: has(data.phone)\ncolumns: {name: data.phone}":                      "",
		"when: data.vip\ncolumns: {name: data.name}":                              "",
		"columns: {numberofemployees: data.employees}":                            "",
		"columns: {name: data.nmae}":                                              "bridge.yaml:3:21: routes.r.columns.name: the schema has no data.nmae; did you mean name?",
		"columns: {name: data.address.town}":                                      "the schema has no data.address.town",
		"columns: {name: data.?address.?ctiy.orValue(null)}":                      "the schema has no data.address.ctiy; did you mean city?",
		"columns: {name: data.closed.b}":                                          "the schema has no data.closed.b",
		"columns: {name: data.extra.a.b}":                                         "data.extra.a is a text in the schema, which has no members",
		"columns: {name: data.name.first}":                                        "data.name is a text in the schema, which has no members",
		"columns: {name: data.contacts.mail}":                                     "data.contacts is a list in the schema, which has no members",
		"columns: {name: 'data.name[0]'}":                                         "data.name is a text in the schema, not a list",
		"columns: {name: 'data.contacts[0].mial'}":                                "the schema has no data.contacts[0].mial; did you mean mail?",
		"columns: {name: data.phone}":                                             "data.phone may be missing, as the schema does not require it: write data.?phone.orValue(omit()), or another default",
		`columns: {name: 'data["Customer No"]'}`:                                  `write data[?"Customer No"].orValue(omit())`,
		`columns: {name: 'data.phone + "x"'}`:                                     "data.phone may be missing",
		"columns: {name: data.address.zip}":                                       "data.address.zip may be missing",
		"columns: {name: 'has(data.adress) ? \"a\" : \"b\"'}":                     "the schema has no data.adress; did you mean address?",
		"when: data.phone == \"1\"\ncolumns: {name: data.phone}":                  "bridge.yaml:3:11: routes.r.when: data.phone may be missing",
		"when: data.name\ncolumns: {name: data.name}":                             "with the schema's data.name: when must be true or false, not a text",
		"columns: {name: data.employees}":                                         "with the schema's data.employees: column name",
		"columns: {numberofemployees: data.name}":                                 "with the schema's data.name: column numberofemployees",
		"columns: {numberofemployees: data.wrong}":                                "with a value that the schema lists for data.wrong: column numberofemployees",
		"columns: {numberofemployees: data.kind}":                                 "",
		"columns: {name: data.kind}":                                              "with a value that the schema lists for data.kind: column name",
		"lookups: {primarycontactid: {contact: {emailaddress1: data.contacts}}}":  "with the schema's data.contacts: a key takes a text or a number, not a list",
		"lookups: {primarycontactid: {contact: {resolve: {lastname: data.vip}}}}": "with the schema's data.vip: a record is found by a text or a number, not true or false",
	} {
		got := against(t, account(line), customerSchema, "")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", line, got, want)
		}
	}
}

func TestTheElementsOfAListAreHeldAgainstTheSchema(t *testing.T) {
	t.Parallel()
	entry := func(lines string) string {
		return "writes:\n  - table: contact\n    key: {emailaddress1: item.mail}\n" + lines
	}
	for text, want := range map[string]string{
		entry("    for_each: data.contacts\n    columns: {lastname: item.mail}\n"):                                 "",
		entry("    for_each: data.contacts\n    columns: {lastname: item.mial}\n"):                                 "the schema has no item.mial; did you mean mail?",
		entry("    for_each: data.contacts\n    columns: {lastname: item.age}\n"):                                  "item.age may be missing",
		entry("    for_each: data.contacts\n    when: has(item.age)\n    columns: {lastname: string(item.age)}\n"): "",
		entry("    for_each: data.name\n    columns: {lastname: item.mail}\n"):                                     "for_each takes a list; data.name is a text in the schema",
		entry("    for_each: data.contacts.filter(c, c.mail != \"\")\n    columns: {lastname: item.x}\n"):          "",
		"writes:\n  - {table: account, key: {accountnumber: data.number}, when: has(data.phone), columns: {name: data.phone}}\n" +
			"  - {table: account, key: {accountnumber: data.number}, columns: {name: data.phone}}\n": "bridge.yaml:3:77: routes.r.writes[1].columns.name: data.phone may be missing",
	} {
		got := against(t, text, customerSchema, "")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestASchemaIsReadFromItsPlaceInADocument(t *testing.T) {
	t.Parallel()
	const doc = `{"components": {"schemas": {"a/b": {"type": "object", "properties": {"number": {"$ref": "#/components/schemas/n"}}}, "n": {"type": "string"}}}}`
	for part, want := range map[string]string{
		"#/components/schemas/a~1b": "the schema has no data.name",
		"/components/schemas/a~1b":  "the schema has no data.name",
		"#/components/schemas/nope": "the schema of the events: the schema has no #/components/schemas/nope",
		"#/components/schemas/n":    "data is a text in the schema, which has no members",
		"":                          "",
		"components":                "the schema has no components",
	} {
		got := against(t, account("columns: {name: data.name}"), doc, part)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", part, got, want)
		}
	}
	for schema, want := range map[string]string{
		`{"a": `:         "the schema of the events: the schema is not",
		`[1]`:            "a schema is an object, not a list",
		`true`:           "",
		`false`:          "",
		`{"a":1,"a":2}`:  "a member occurs twice in the schema",
		`{"type": "uh"}`: "",
		`{"$ref": "#"}`:  "",
		`{"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"properties": {"x": {}}}]}`: "",
	} {
		if got := against(t, account("columns: {name: data.name}"), schema, ""); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", schema, got, want)
		}
	}
}

// Whatever a schema says, reading it ends, and what it says of a place does not panic.
func FuzzSchemasOfEvents(f *testing.F) {
	f.Add(customerSchema)
	f.Add(`{"allOf": [{"$ref": "#"}, {"anyOf": [{"$ref": "#"}, {"oneOf": [{"$ref": "#"}, {}]}]}]}`)
	f.Add(`{"properties": {"name": {"enum": []}}, "items": [{}], "required": [1], "type": ["x", null]}`)
	spec, ps := parse(f, account("columns: {name: 'data.name.a[0].b'}"))
	if len(ps) > 0 {
		f.Fatal(ps)
	}
	tables := catalog(f)
	f.Fuzz(func(t *testing.T, schema string) {
		for _, p := range second(mapping.Compile(spec, tables, mapping.Options{Schema: []byte(schema)})) {
			if p.Line == 0 {
				t.Errorf("a problem without a place: %v", p)
			}
		}
	})
}

func second(_ *mapping.Program, ps schema.Problems) schema.Problems { return ps }
