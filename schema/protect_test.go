package schema_test

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cebridge/schema"
)

const sum = "ZR_mVBd5UK1xwtOSdg1QLb-27j3NlSUQoQqi30-qARQ"

func TestTheSchemaDescribesProtectedColumnsAsTheyStandInEvents(t *testing.T) {
	columns := []string{"name", "staff", "ownerid"}
	plain, before, err := schema.JSONSchema(sampleTable(), columns, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc, after, err := schema.JSONSchema(sampleTable(), columns, nil, map[string]schema.Protection{
		"name": schema.ProtectMask, "staff": schema.ProtectHash, "ownerid": schema.ProtectHash})
	if err != nil {
		t.Fatal(err)
	}
	if before == after || string(plain) == string(doc) {
		t.Error("the version does not tell that the shape changed")
	}
	s := compileSchema(t, doc)
	for text, ok := range map[string]bool{
		`{"record":{"name":"***","staff":"hmac-sha256:` + sum + `","_ownerid_value":"hmac-sha256:` + sum + `"}}`: true,
		`{"record":{"name":null,"staff":null,"_ownerid_value":null}}`:                                            true,
		`{"previous":{"name":"***"}}`:                                          true,
		`{"record":{"name":"abc"}}`:                                            false,
		`{"record":{"staff":3}}`:                                               false,
		`{"record":{"staff":"hmac-sha256:short"}}`:                             false,
		`{"record":{"_ownerid_value":"a1b2c3d4-0000-0000-0000-000000000001"}}`: false,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAProtectedFormIsToldFromAValue(t *testing.T) {
	for text, want := range map[string][2]bool{ // hash, mask
		"***":                        {false, true},
		"hmac-sha256:" + sum:         {true, false},
		"hmac-sha256:" + sum[1:]:     {false, false},
		"hmac-sha256:!" + sum[1:]:    {false, false},
		"Fabrikam":                   {false, false},
		"":                           {false, false},
		"x hmac-sha256:" + sum + " ": {false, false},
	} {
		if got := [2]bool{schema.ProtectHash.Is(text), schema.ProtectMask.Is(text)}; got != want {
			t.Errorf("%q: hash and mask %v, want %v", text, got, want)
		}
	}
}
