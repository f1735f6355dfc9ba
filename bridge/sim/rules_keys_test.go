package sim

import (
	"fmt"
	"strings"
	"testing"
)

func TestRulesOfAlternateKeys(t *testing.T) {
	t.Parallel()
	atOnce := Options{KeyJobDelay: -1}
	runRules(t, []rule{
		{"2 keys: created by POST, answered 204 with the URL of the key", atOnce, func(x *ruleCall) {
			a := x.do("POST", accountKeys, keyBody("new_FaxKey", "fax")).want(x, 204, "")
			x.is(strings.Contains(a.header.Get("OData-EntityId"), "/EntityDefinitions(") && strings.Contains(a.header.Get("OData-EntityId"), ")/Keys("), "%v", a.header)
			x.upsert("accounts(fax='1')", `{}`)
		}},
		{"2 keys: read by name and listed with columns and status", Options{}, func(x *ruleCall) {
			x.holds(x.get(accountKeys+"(LogicalName='new_erpkey')", "Consistency: Strong").want(x, 200, ""),
				`"EntityKeyIndexStatus":"Active"`, `"KeyAttributes":["new_erpnumber"]`, `"SchemaName":"new_ErpKey"`)
			x.holds(x.get(accountKeys+"?$select=SchemaName,LogicalName,KeyAttributes,EntityKeyIndexStatus").want(x, 200, ""), "new_accountnumberkey", "new_erpkey")
		}},
		{"2 keys: deleted, they address nothing any more", Options{}, func(x *ruleCall) {
			x.do("DELETE", accountKeys+"(LogicalName='new_erpkey')", "").want(x, 204, "")
			x.get("accounts(new_erpnumber='1')").want(x, 400, "0x0")
		}},
		{"2 keys: duplicates make the index job fail; ReactivateEntityKey is for failed jobs only", atOnce, func(x *ruleCall) {
			x.upsert("accounts("+testID(1)+")", `{"fax":"1"}`)
			x.upsert("accounts("+testID(2)+")", `{"fax":"1"}`)
			x.do("POST", accountKeys, keyBody("new_FaxKey", "fax")).want(x, 204, "")
			x.holds(x.get(accountKeys+"(LogicalName='new_faxkey')"), `"EntityKeyIndexStatus":"Failed"`)
			x.get("accounts(fax='1')").want(x, 400, "0x0")
			x.upsert("accounts("+testID(2)+")", `{"fax":null}`)
			again := func(key string) answer {
				return x.do("POST", "ReactivateEntityKey", `{"EntityLogicalName":"account","EntityKeyLogicalName":"`+key+`"}`)
			}
			again("new_faxkey").want(x, 204, "")
			x.get("accounts(fax='1')").want(x, 200, "")
			again("new_faxkey").want(x, 400, "0x80060897")
		}},
		{"2 limits: ten keys a table online", atOnce, func(x *ruleCall) {
			for i, c := range []string{"name", "telephone1", "telephone2", "fax", "emailaddress1", "websiteurl", "address1_city", "address1_country"} {
				x.do("POST", accountKeys, keyBody(fmt.Sprint("new_K", i), c)).want(x, 204, "")
			}
			x.do("POST", accountKeys, keyBody("new_K9", "address1_postalcode")).want(x, 400, "")
		}},
		{"2 limits: five keys a table on premises", Options{Profile: OnPremises, KeyJobDelay: -1}, func(x *ruleCall) {
			for i, c := range []string{"name", "telephone1", "telephone2"} {
				x.do("POST", accountKeys, keyBody(fmt.Sprint("new_K", i), c)).want(x, 204, "")
			}
			x.do("POST", accountKeys, keyBody("new_K9", "fax")).want(x, 400, "")
		}},
		{"2 limits: 900 bytes a key", atOnce, func(x *ruleCall) {
			x.do("POST", accountKeys, keyBody("new_Long", "address1_line1", "address1_line2")).want(x, 400, "0x80060895")
		}},
		{"2 limits: no memo or money in a key; numbers, choices, lookups and dates are taken", atOnce, func(x *ruleCall) {
			x.do("POST", accountKeys, keyBody("new_A", "description")).want(x, 400, "")
			x.do("POST", accountKeys, keyBody("new_B", "revenue")).want(x, 400, "")
			x.do("POST", accountKeys, keyBody("new_C", "numberofemployees", "industrycode", "primarycontactid", "lastonholdtime")).want(x, 204, "")
		}},
		{"2 limits: names and sets of columns clash", atOnce, func(x *ruleCall) {
			x.do("POST", accountKeys, keyBody("new_ErpKey", "fax")).want(x, 400, "0x80060893")
			x.do("POST", accountKeys, keyBody("new_Other", "new_erpnumber")).want(x, 400, "0x80060894")
		}},
		{"2 characters: those of the web server are refused with a page, encoded or not", Options{}, func(x *ruleCall) {
			for _, c := range []string{"%2F", "%3C", "%3E", "*", "%2A", "%25", "&", "%26", ":", "%3A", "%5C", "%3F", "%2B"} {
				a := x.get("accounts(accountnumber='A"+c+"B')").want(x, 400, "")
				x.is(strings.HasPrefix(a.header.Get("Content-Type"), "text/html"), "%s: %v", c, a.header)
			}
		}},
		{"2 characters: %23 and %20 are taken", Options{}, func(x *ruleCall) {
			x.upsert("accounts(accountnumber='A%23 1')", `{}`)
			x.is(x.row("accounts(accountnumber='A%23 1')")["accountnumber"] == "A# 1", "key")
		}},
		{"2 URL: quotes are doubled", Options{}, func(x *ruleCall) {
			x.upsert("accounts(accountnumber='O''Neil')", `{}`)
			x.is(x.row("accounts(accountnumber='O''Neil')")["accountnumber"] == "O'Neil", "key")
		}},
		{"2 URL: a lookup in a key is _column_value=GUID", atOnce, func(x *ruleCall) {
			x.do("POST", accountKeys, keyBody("new_Lookup", "primarycontactid", "industrycode")).want(x, 204, "")
			x.upsert("contacts("+testID(1)+")", `{"lastname":"Lee"}`)
			x.upsert("accounts("+testID(2)+")", `{"industrycode":3,"primarycontactid@odata.bind":"/contacts(`+testID(1)+`)"}`)
			x.is(x.row("accounts(_primarycontactid_value=" + testID(1) + ",industrycode=3)")["accountid"] == testID(2), "not found by its lookup")
		}},
		{"2 URL: GUID alone or as the primary column", Options{}, func(x *ruleCall) {
			x.upsert("accounts("+testID(1)+")", `{}`)
			x.get("accounts(accountid="+testID(1)+")").want(x, 200, "")
		}},
		{"2 URL: the named key of users and teams is ownerid", Options{}, func(x *ruleCall) {
			x.get("systemusers(ownerid="+wellKnown.user.String()+")").want(x, 200, "")
			x.get("systemusers(systemuserid="+wellKnown.user.String()+")").want(x, 400, "0x0")
		}},
		{"2 URL: columns that are no key are refused with the text of the server", Options{}, func(x *ruleCall) {
			x.holds(x.get("accounts(name='x')").want(x, 400, "0x0"), "The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.account'. Ensure that the names and number of key properties match the declared or alternate key properties")
		}},
		{"2 null: records without a value of the key are not unique", Options{}, func(x *ruleCall) {
			for range 2 {
				x.do("POST", "accounts", `{"name":"n","accountnumber":null}`).want(x, 204, "")
			}
		}},
		{"2 comparison: without case and trailing blanks", Options{}, func(x *ruleCall) {
			x.upsert("accounts(accountnumber='Ab')", `{}`)
			x.get("accounts(accountnumber='aB ')").want(x, 200, "")
		}},
	})
}

func TestRulesOfUpsert(t *testing.T) {
	t.Parallel()
	const key = "accounts(accountnumber='R')"
	const whole = "Prefer: return=representation"
	runRules(t, []rule{
		{"3 upsert: 204 for created and updated, OData-EntityId echoes the key", Options{}, func(x *ruleCall) {
			for range 2 {
				got := x.upsert(key, `{"name":"n"}`).header.Get("OData-EntityId")
				x.is(got == x.base+"/api/data/v9.1/"+key, "%s", got)
			}
		}},
		{"3 upsert: return=representation tells 201 created from 200 updated, with etag and $select", Options{}, func(x *ruleCall) {
			for _, status := range []int{201, 200} {
				a := x.do("PATCH", key+"?$select=accountid", `{"name":"n"}`, whole).want(x, status, "")
				x.is(a.header.Get("ETag") != "" && a.header.Get("Preference-Applied") == "return=representation", "%v", a.header)
				x.holds(a, `"@odata.etag"`, `"accountid"`)
				x.is(!strings.Contains(a.body, `"name"`), "%s", a.body)
			}
		}},
		{"3 upsert: If-Match: * on an absent record is 404", Options{}, func(x *ruleCall) {
			x.do("PATCH", key, `{}`, "If-Match: *").want(x, 404, codeNotFoundByKey)
			x.get(key).want(x, 404, "")
		}},
		{"3 upsert: If-None-Match: * on a present record is 412", Options{}, func(x *ruleCall) {
			x.upsert(key, `{"name":"old"}`, "If-None-Match: *")
			x.holds(x.do("PATCH", key, `{"name":"new"}`, "If-None-Match: *").want(x, 412, ""), "A record with matching key values already exists.")
			x.is(x.row(key)["name"] == "old", "the record was changed")
		}},
		{"3 upsert: a stale etag is 412 with the text of the guide", Options{}, func(x *ruleCall) {
			tag := x.do("PATCH", key, `{}`, whole).header.Get("ETag")
			x.upsert(key, `{"name":"n"}`, "If-Match: "+tag)
			x.holds(x.do("PATCH", key, `{"name":"m"}`, "If-Match: "+tag).want(x, 412, codeConcurrency), "The version of the existing record doesn't match the RowVersion property provided.")
		}},
		{"3 upsert: PATCH by an absent GUID creates under it", Options{}, func(x *ruleCall) {
			x.upsert("accounts("+testID(1)+")", `{}`)
			x.get("accounts("+testID(1)+")").want(x, 200, "")
		}},
		{"3 key in the body: on update the values are dropped", Options{}, func(x *ruleCall) {
			x.upsert(key, `{}`)
			x.upsert(key, `{"accountnumber":"OTHER","name":"n"}`)
			x.is(x.row(key)["name"] == "n", "not updated")
		}},
		{"3 key in the body: on create the body wins, else the URL's values are copied", Options{}, func(x *ruleCall) {
			x.upsert(key, `{"accountnumber":"OTHER"}`)
			x.get(key).want(x, 404, "")
			x.get("accounts(accountnumber='OTHER')").want(x, 200, "")
			x.upsert("accounts(accountnumber='COPIED')", `{}`)
			x.is(x.row("accounts(accountnumber='COPIED')")["accountnumber"] == "COPIED", "not copied")
		}},
		{"3 duplicates: a write that violates another key is 412 0x80060892", Options{}, func(x *ruleCall) {
			x.upsert(key, `{"new_erpnumber":"E"}`)
			x.do("PATCH", "accounts(accountnumber='S')", `{"new_erpnumber":"E"}`).want(x, 412, codeDuplicateKey)
		}},
		{"3 races: the loser meets 412, the same PATCH again updates", Options{}, func(x *ruleCall) {
			addRule(x, x.s, Rule{Kind: FaultDuplicateRace, Table: "account", Times: 1})
			x.do("PATCH", key, `{"name":"n"}`).want(x, 412, "")
			x.upsert(key, `{"name":"n"}`)
			wantFaults(x, x.s, FaultDuplicateRace, 1)
		}},
		{"3 bind: by key or GUID, with or without a slash, also as an absolute URL", Options{}, func(x *ruleCall) {
			x.upsert("contacts("+testID(1)+")", `{"lastname":"Lee","new_personno":"77"}`)
			for _, target := range []string{"/contacts(new_personno='77')", "contacts(new_personno='77')", "/contacts(" + testID(1) + ")", x.base + "/api/data/v9.2/contacts(" + testID(1) + ")"} {
				x.upsert(key, `{"primarycontactid":null}`)
				x.upsert(key, `{"primarycontactid@odata.bind":"`+target+`"}`)
				x.is(x.row(key)["_primarycontactid_value"] == testID(1), "%s", target)
			}
		}},
		{"3 bind: the name is the navigation property, case-sensitive", Options{}, func(x *ruleCall) {
			x.upsert("new_regions(new_code='N')", `{"new_name":"North"}`)
			x.do("PATCH", key, `{"new_region@odata.bind":"/new_regions(new_code='N')"}`).want(x, 400, codeInvalidPayload)
			x.upsert(key, `{"new_Region@odata.bind":"/new_regions(new_code='N')"}`)
		}},
		{"3 bind: a missing target is 404 and names the looked-up table, by key and by GUID", Options{}, func(x *ruleCall) {
			x.holds(x.do("PATCH", key, `{"primarycontactid@odata.bind":"/contacts(new_personno='0')"}`).want(x, 404, codeNotFoundByKey), "in contact entity")
			x.holds(x.do("PATCH", key, `{"primarycontactid@odata.bind":"/contacts(`+testID(9)+`)"}`).want(x, 404, codeNotFound), "contact With Id = "+testID(9)+" Does Not Exist")
			x.get(key).want(x, 404, "")
		}},
		{"3 bind: one property for each target, setting one clears the others", Options{}, func(x *ruleCall) {
			x.upsert(key, `{"name":"Firm"}`)
			x.upsert("contacts("+testID(1)+")", `{"lastname":"Boss"}`)
			x.upsert("contacts("+testID(2)+")", `{"parentcustomerid_account@odata.bind":"/`+key+`"}`)
			x.upsert("contacts("+testID(2)+")", `{"parentcustomerid_contact@odata.bind":"/contacts(`+testID(1)+`)"}`)
			row := x.row("contacts("+testID(2)+")", `Prefer: odata.include-annotations="*"`)
			x.is(row["_parentcustomerid_value"] == testID(1) && row["_parentcustomerid_value@"+noteTable] == "contact", "%v", row)
		}},
		{"3 bind: an owner is a user or a team", Options{}, func(x *ruleCall) {
			x.upsert("teams("+testID(3)+")", `{"name":"Sales","businessunitid@odata.bind":"/businessunits(`+wellKnown.businessUnit.String()+`)"}`)
			for _, owner := range []string{"teams(" + testID(3) + ")", "systemusers(" + wellKnown.user.String() + ")"} {
				x.upsert(key, `{"ownerid@odata.bind":"/`+owner+`"}`)
				x.is(strings.Contains(owner, fmt.Sprint(x.row(key)["_ownerid_value"])), "%s", owner)
			}
		}},
		{"3 clear: bind null, plain null, DELETE $ref", Options{}, func(x *ruleCall) {
			x.upsert("contacts("+testID(1)+")", `{"lastname":"Lee"}`)
			for _, clear := range []func(){
				func() { x.upsert(key, `{"primarycontactid@odata.bind":null}`) },
				func() { x.upsert(key, `{"primarycontactid":null}`) },
				func() { x.do("DELETE", key+"/primarycontactid/$ref", "").want(x, 204, "") },
			} {
				x.upsert(key, `{"primarycontactid@odata.bind":"/contacts(`+testID(1)+`)"}`)
				clear()
				x.is(x.row(key)["_primarycontactid_value"] == nil, "still bound")
			}
		}},
		{"3 clear: a column by null or DELETE, not one that is required", Options{}, func(x *ruleCall) {
			for _, clear := range []func(){
				func() { x.upsert(key, `{"description":null}`) },
				func() { x.do("DELETE", key+"/description", "").want(x, 204, "") },
			} {
				x.upsert(key, `{"description":"d"}`)
				clear()
				x.is(x.row(key)["description"] == nil, "still there")
			}
			x.do("PATCH", key, `{"statecode":null}`).want(x, 400, "")
		}},
		{"3 write: _column_value is read-only", Options{}, func(x *ruleCall) {
			x.do("PATCH", key, `{"_primarycontactid_value":"`+testID(1)+`"}`).want(x, 400, codeInvalidPayload)
		}},
		{"3 write: return=representation ignores $expand", Options{}, func(x *ruleCall) {
			a := x.do("PATCH", key+"?$select=name&$expand=primarycontactid", `{"name":"n"}`, whole).want(x, 201, "")
			x.is(!strings.Contains(a.body, `"primarycontactid"`), "%s", a.body)
		}},
		{"3 write: nested records are refused, not half done", Options{}, func(x *ruleCall) {
			x.do("POST", "accounts", `{"name":"n","primarycontactid":{"lastname":"Lee"}}`).want(x, 501, "")
		}},
		{"3 multiples: @odata.type is needed; one transaction; 200 with Ids, or 204", Options{}, func(x *ruleCall) {
			x.do("POST", multiplePath("CreateMultiple"), `{"Targets":[{"name":"n"}]}`).want(x, 400, "")
			x.holds(x.do("POST", multiplePath("CreateMultiple"), `{"Targets":[{`+accountType+`,"accountnumber":"1"}]}`).want(x, 200, ""), `"Ids":["`)
			x.do("POST", multiplePath("UpsertMultiple"), `{"Targets":[{`+accountType+`,"@odata.id":"accounts(accountnumber='2')"}]}`).want(x, 204, "")
			x.do("POST", multiplePath("UpsertMultiple"), `{"Targets":[{`+accountType+`,"@odata.id":"accounts(accountnumber='3')"},{`+accountType+`,"@odata.id":"accounts(accountnumber='4')","name":"`+tooLong+`"}]}`).want(x, 400, codeStringTooLong)
			x.get("accounts(accountnumber='3')").want(x, 404, "")
		}},
		{"3 multiples: the key in both places fails to create with 0x80040216, and updates", Options{}, func(x *ruleCall) {
			body := `{"Targets":[{` + accountType + `,"@odata.id":"` + key + `","accountnumber":"R"}]}`
			x.do("POST", multiplePath("UpsertMultiple"), body).want(x, 400, "0x80040216")
			x.upsert(key, `{}`)
			x.do("POST", multiplePath("UpsertMultiple"), body).want(x, 204, "")
		}},
		{"3 multiples: unknown on premises", Options{Profile: OnPremises}, func(x *ruleCall) {
			x.do("POST", multiplePath("UpsertMultiple"), `{"Targets":[]}`).want(x, 404, "")
		}},
		{"3 headers: MSCRMCallerID and CallerObjectId act as another user", Options{}, func(x *ruleCall) {
			x.upsert("systemusers("+testID(5)+")", `{"firstname":"Ann","businessunitid@odata.bind":"/businessunits(`+wellKnown.businessUnit.String()+`)"}`)
			x.upsert(key, `{}`, "MSCRMCallerID: "+testID(5))
			x.is(x.row(key)["_modifiedby_value"] == testID(5), "%v", x.row(key)["_modifiedby_value"])
			x.do("PATCH", key, `{}`, "CallerObjectId: "+testID(6)).want(x, 403, codeUserUnknown)
		}},
		{"3 headers: those for plug-ins and caches, and ?tag=, change nothing", Options{}, func(x *ruleCall) {
			x.upsert(key+"?tag=bridge", `{}`, "MSCRM.BypassCustomPluginExecution: true", "MSCRM.SuppressDuplicateDetection: false", "Consistency: Strong")
		}},
		{"3 echo: a write comes back through change tracking with its author", Options{}, func(x *ruleCall) {
			link := x.get("accounts?$select=_modifiedby_value", track).page(x).Delta
			x.upsert(key, `{}`)
			p := x.get(link).page(x)
			x.is(len(p.Value) == 1 && p.Value[0]["_modifiedby_value"] == wellKnown.user.String(), "%+v", p.Value)
		}},
		{"4 update: statecode with statuscode in one PATCH; a state alone takes its default status", Options{}, func(x *ruleCall) {
			x.upsert(key, `{}`)
			x.upsert(key, `{"statecode":1,"statuscode":2,"name":"n"}`)
			x.holds(x.get(key+"?$select=statecode,statuscode"), `"statecode":1,"statuscode":2`)
			x.upsert(key, `{"statecode":0}`)
			x.holds(x.get(key+"?$select=statecode,statuscode"), `"statecode":0,"statuscode":1`)
		}},
		{"4 update: a create that is inactive is refused", Options{}, func(x *ruleCall) {
			x.do("PATCH", key, `{"statecode":1,"statuscode":2}`).want(x, 400, "")
			x.get(key).want(x, 404, "")
		}},
		{"4 update: a business unit's parent and a user's unit are ordinary updates", Options{}, func(x *ruleCall) {
			root := "/businessunits(" + wellKnown.businessUnit.String() + ")"
			x.upsert("businessunits("+testID(7)+")", `{"name":"West","parentbusinessunitid@odata.bind":"`+root+`"}`)
			x.upsert("systemusers("+wellKnown.user.String()+")", `{"businessunitid@odata.bind":"/businessunits(`+testID(7)+`)"}`)
			x.holds(x.get("WhoAmI"), `"BusinessUnitId":"`+testID(7)+`"`)
		}},
		{"4 actions: closing and winning stay actions, which are not offered", Options{}, func(x *ruleCall) {
			x.do("POST", "CloseIncident", `{}`).want(x, 501, "")
		}},
	})
}
