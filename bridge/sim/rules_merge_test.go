package sim

import "testing"

func TestRulesOfMerge(t *testing.T) {
	t.Parallel()
	record := func(n int) string {
		return `{"accountid":"` + testID(n) + `","@odata.type":"Microsoft.Dynamics.CRM.account"}`
	}
	merge := func(x *ruleCall, target, subordinate, more string) answer {
		return x.do("POST", "Merge", `{"Target":`+target+`,"Subordinate":`+subordinate+more+`}`)
	}
	const plain = `,"PerformParentingChecks":false`
	two := func(x *ruleCall) {
		x.upsert("accounts("+testID(1)+")", `{"name":"One","accountnumber":"1"}`)
		x.upsert("accounts("+testID(2)+")", `{"name":"Two","accountnumber":"2"}`)
	}
	runRules(t, []rule{
		{"merge: the subordinate is inactive, merged, and names its master, which takes the content", Options{}, func(x *ruleCall) {
			two(x)
			merge(x, record(1), record(2), plain+`,"UpdateContent":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"00000000-0000-0000-0000-000000000000","fax":"7"}`).want(x, 204, "")
			x.holds(x.get("accounts(accountnumber='2')?$select=merged,_masterid_value,statecode,statuscode").want(x, 200, ""),
				`"merged":true`, `"_masterid_value":"`+testID(1)+`"`, `"statecode":1`, `"statuscode":2`)
			x.holds(x.get("accounts("+testID(1)+")?$select=merged,_masterid_value,statecode,fax"),
				`"merged":false`, `"_masterid_value":null`, `"statecode":0`, `"fax":"7"`)
		}},
		{"merge: what is merged, inactive, missing, the same or of another table is refused and changes nothing", Options{}, func(x *ruleCall) {
			two(x)
			merge(x, record(1), record(3), plain).want(x, 404, codeNotFound)
			merge(x, record(1), record(1), plain).want(x, 400, codeInvalidArgument)
			merge(x, record(1), `{"@odata.type":"Microsoft.Dynamics.CRM.systemuser"}`, plain).want(x, 400, codeInvalidArgument)
			merge(x, record(1), record(2), "").want(x, 400, "")
			merge(x, record(1), record(2), `,"PerformParentingChecks":true`).want(x, 501, "")
			merge(x, record(1), record(2), plain+`,"UpdateContent":{"name":"`+tooLong+`"}`).want(x, 400, "")
			x.holds(x.get("accounts("+testID(2)+")?$select=merged,statecode"), `"merged":false`, `"statecode":0`)
			merge(x, record(1), record(2), plain).want(x, 204, "")
			merge(x, record(1), record(2), plain).want(x, 400, codeInvalidArgument)
			merge(x, record(2), record(1), plain).want(x, 400, codeInvalidArgument)
		}},
		{"merge: nobody else writes merged and masterid", Options{}, func(x *ruleCall) {
			two(x)
			x.do("PATCH", "accounts("+testID(1)+")", `{"merged":true}`).want(x, 400, codeInvalidArgument)
		}},
	})
}

func TestAServerMergesInProcessAsOverHTTP(t *testing.T) {
	t.Parallel()
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var ids []string
	for _, n := range []string{"1", "2"} {
		id, err := s.Insert("account", map[string]any{"accountnumber": n})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := s.Merge("account", ids[0], ids[1]); err != nil {
		t.Fatal(err)
	}
	row, _ := s.Row("account", ids[1])
	if row["merged"] != true || row["_masterid_value"] != ids[0] {
		t.Errorf("%v", row)
	}
	for _, bad := range []error{s.Merge("account", ids[0], ids[0]), s.Merge("systemuser", ids[0], ids[1]), s.Merge("account", ids[0], ids[1]), s.Merge("x", "", "")} {
		if bad == nil {
			t.Error("taken")
		}
	}
}
