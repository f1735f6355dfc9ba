package sim

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestRulesOfMetadata(t *testing.T) {
	t.Parallel()
	const account = "EntityDefinitions(LogicalName='account')"
	runRules(t, []rule{
		{"7 service document: name, kind and url of each set", Options{}, func(x *ruleCall) {
			x.holds(x.get("").want(x, 200, ""), `{"name":"accounts","kind":"EntitySet","url":"accounts"}`)
		}},
		{"7 $metadata: XML, namespace, alias and lookups; annotations on request", Options{}, func(x *ruleCall) {
			a := x.get("$metadata").want(x, 200, "")
			x.is(strings.HasPrefix(a.header.Get("Content-Type"), "application/xml") && !strings.Contains(a.body, "<Annotation"), "%v", a.header)
			x.holds(a, `Namespace="Microsoft.Dynamics.CRM" Alias="mscrm"`, `<PropertyRef Name="accountid"`, `Name="_primarycontactid_value" Type="Edm.Guid"`, `<ReferentialConstraint Property="_primarycontactid_value" ReferencedProperty="contactid"`)
			x.holds(x.get("$metadata?annotations=true"), "<Annotation")
		}},
		{"7 EntityDefinitions: MetadataId is always returned, no paging", Options{}, func(x *ruleCall) {
			a := x.get("EntityDefinitions?$select=LogicalName", "Prefer: odata.maxpagesize=1").want(x, 200, "")
			x.is(strings.Count(a.body, `"LogicalName"`) > 5 && strings.Count(a.body, `"MetadataId"`) == strings.Count(a.body, `"LogicalName"`) && !strings.Contains(a.body, "nextLink"), "%.300s", a.body)
		}},
		{"7 EntityDefinitions: one by name is an object", Options{}, func(x *ruleCall) {
			x.is(x.row(account + "?$select=EntitySetName")["EntitySetName"] == "accounts", "no object")
		}},
		{"13 EntityDefinitions: by $filter on LogicalName, as Microsoft's SDKs ask", Options{}, func(x *ruleCall) {
			a := x.get("EntityDefinitions?$filter=LogicalName eq 'account'&$select=EntitySetName").want(x, 200, "")
			x.is(strings.Count(a.body, `"EntitySetName"`) == 1, "%s", a.body)
		}},
		{"7 attributes: facts of a type need its cast", Options{}, func(x *ruleCall) {
			x.holds(x.get(account+"/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName,MaxLength").want(x, 200, ""), `"MaxLength":160`)
			x.holds(x.get(account+"/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet,GlobalOptionSet").want(x, 200, ""), `"Options"`)
			x.holds(x.get(account+"/Attributes/Microsoft.Dynamics.CRM.LookupAttributeMetadata?$select=LogicalName,Targets").want(x, 200, ""), `"Targets":["contact"]`)
			x.get(account+"/Attributes?$select=MaxLength").want(x, 400, "")
		}},
		{"7 attributes: filtered by an enumeration", Options{}, func(x *ruleCall) {
			a := x.get(account+"/Attributes?$select=LogicalName&$filter=AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist'").want(x, 200, "")
			x.holds(a, `"industrycode"`)
			x.is(!strings.Contains(a.body, `"telephone1"`), "%s", a.body)
		}},
		{"7 attributes: multi-select is Virtual with its own type name", Options{}, func(x *ruleCall) {
			x.holds(x.get(account+"/Attributes(LogicalName='new_channels')").want(x, 200, ""), `"AttributeType":"Virtual"`, `"MultiSelectPicklistType"`)
		}},
		{"7 relationships: the navigation property of a column and a target", Options{}, func(x *ruleCall) {
			a := x.get("EntityDefinitions(LogicalName='contact')/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName").want(x, 200, "")
			x.holds(a, `"parentcustomerid_account"`, `"parentcustomerid_contact"`)
		}},
		{"7 functions: WhoAmI with and without parentheses", Options{}, func(x *ruleCall) {
			for _, call := range []string{"WhoAmI", "WhoAmI()"} {
				x.holds(x.get(call).want(x, 200, ""), "$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", `"BusinessUnitId"`, `"UserId"`, `"OrganizationId"`)
			}
		}},
		{"7 functions: RetrieveVersion, RetrieveCurrentOrganization with cloud ids online only", Options{}, func(x *ruleCall) {
			const call = "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'"
			x.holds(x.get("RetrieveVersion()").want(x, 200, ""), `"Version":"9.`)
			x.holds(x.get(call).want(x, 200, ""), `"UrlName"`, `"EnvironmentId"`, `"Endpoints"`)
			a := send(x, newTestServer(x, Options{Profile: OnPremises}), "GET", call, "").want(x, 200, "")
			x.is(!strings.Contains(a.body, "EnvironmentId"), "%s", a.body)
		}},
		{"7 rows: annotations stand before their property", Options{}, func(x *ruleCall) {
			x.upsert("accounts("+testID(1)+")", `{"industrycode":1}`)
			x.holds(x.get("accounts("+testID(1)+")?$select=industrycode,_ownerid_value", `Prefer: odata.include-annotations="*"`),
				`"industrycode@`+noteFormatted+`":"Accounting","industrycode":1`, `"_ownerid_value@`+noteTable+`":"systemuser"`)
		}},
		{"7 rows: the primary id and money's currency come with $select", Options{}, func(x *ruleCall) {
			x.upsert("accounts("+testID(1)+")", `{"revenue":5}`)
			x.holds(x.get("accounts("+testID(1)+")?$select=revenue"), `"accountid"`, `"_transactioncurrencyid_value"`)
		}},
	})
}

func TestRulesOfDataTypes(t *testing.T) {
	t.Parallel()
	const key = "accounts(accountnumber='R')"
	// stored writes one column and wants its text in the record.
	stored := func(name, column, raw, want string) rule {
		return rule{"10 type " + name, Options{}, func(x *ruleCall) {
			x.upsert(key, `{"`+column+`":`+raw+`}`)
			x.holds(x.get(key+"?$select="+column), `"`+column+`":`+want)
		}}
	}
	refused := func(name, column, raw, code string) rule {
		return rule{"10 type " + name, Options{}, func(x *ruleCall) {
			x.do("PATCH", key, `{"`+column+`":`+raw+`}`).want(x, 400, code)
		}}
	}
	runRules(t, []rule{
		stored("text: an empty one is null", "name", `""`, `null`),
		refused("text: length over MaxLength", "name", `"`+tooLong+`"`, codeStringTooLong),
		stored("whole number", "numberofemployees", `5`, `5`),
		refused("whole number: range", "numberofemployees", `1000000001`, codeIntegerRange),
		stored("money: four decimals, rounded to its precision", "revenue", `5000000.126`, `5000000.1300`),
		stored("double: rounded by the server", "address1_latitude", `47.639583`, `47.63958`),
		stored("boolean", "creditonhold", `true`, `true`),
		refused("boolean: no number", "creditonhold", `1`, codeInvalidPayload),
		stored("choice: a number", "industrycode", `3`, `3`),
		stored("choice: a number as text", "industrycode", `"3"`, `3`),
		refused("choice: never a label", "industrycode", `"Accounting"`, codeInvalidPayload),
		refused("choice: a value that is no option", "industrycode", `999`, codeOptionValue),
		stored("choices: with or without a blank", "new_channels", `"1, 9"`, `"1,9"`),
		stored("choices: null clears", "new_channels", `null`, `null`),
		stored("date and time: with an offset", "lastonholdtime", `"2025-01-05T12:20:30+02:00"`, `"2025-01-05T10:20:30Z"`),
		stored("date and time: without an offset it is UTC", "lastonholdtime", `"2025-01-05T10:20:30"`, `"2025-01-05T10:20:30Z"`),
		stored("date and time: independent of time zones it has a Z too", "new_opensat", `"2025-01-05T10:20:30Z"`, `"2025-01-05T10:20:30Z"`),
		stored("date only", "lastusedincampaign", `"2025-01-05"`, `"2025-01-05"`),
		refused("date only: no time", "lastusedincampaign", `"2025-01-05T10:20:30Z"`, codeInvalidPayload),
		refused("date: before 1753", "lastonholdtime", `"1752-12-31T00:00:00Z"`, codeInvalidArgument),
		refused("maintained by the server", "createdon", `"2025-01-05T10:20:30Z"`, ""),
		{"10 type decimal: exact, with its trailing zeros", Options{}, func(x *ruleCall) {
			x.holds(x.get("transactioncurrencies?$select=exchangerate").want(x, 200, ""), `"exchangerate":1.0000000000`)
		}},
		{"10 type money: it takes the organization's currency", Options{}, func(x *ruleCall) {
			x.upsert(key, `{"revenue":1}`)
			x.is(x.row(key)["_transactioncurrencyid_value"] == wellKnown.currency.String(), "no currency")
		}},
		{"10 type GUID: lower case", Options{}, func(x *ruleCall) {
			x.upsert("accounts(ABCDEF00-0000-0000-0000-000000000001)", `{}`)
			x.is(x.row("accounts(ABCDEF00-0000-0000-0000-000000000001)")["accountid"] == "abcdef00-0000-0000-0000-000000000001", "upper case")
		}},
		{"10 read: a selected null is there as null", Options{}, func(x *ruleCall) {
			x.upsert(key, `{}`)
			x.holds(x.get(key+"?$select=name"), `"name":null`)
		}},
	})
}

func TestRulesOfWebhooks(t *testing.T) {
	t.Parallel()
	// rung registers a hook that answers as told and returns its calls.
	rung := func(x *ruleCall, body string, answer func(n int, r *http.Request) (*http.Response, error)) []ring {
		e := &endpoint{answer: answer}
		s := hookServer(x.T, e)
		register(x, s, "Create", "account", "")
		send(x, s, "POST", "accounts", body).want(x, 204, "")
		s.WaitWebhooks()
		return e.all()
	}
	runRules(t, []rule{
		{"9 webhook: lower-case headers name organization, table, message and correlation", Options{}, func(x *ruleCall) {
			h := rung(x, `{"name":"n"}`, nil)[0].header
			for _, name := range []string{"organization", "entity-name", "request-name"} {
				x.is(len(h["x-ms-dynamics-"+name]) == 1, "no %s in %v", name, h)
			}
			x.is(len(h["x-ms-correlation-request-id"]) == 1 && h["x-ms-dynamics-entity-name"][0] == "account", "%v", h)
		}},
		{"9 webhook: the body is the execution context", Options{}, func(x *ruleCall) {
			body := rung(x, `{"name":"n"}`, nil)[0].body
			for name, want := range map[string]any{"MessageName": "Create", "PrimaryEntityName": "account", "Stage": 40.0, "Mode": 1.0, "Depth": 1.0} {
				x.is(body[name] == want, "%s is %v", name, body[name])
			}
			x.is(strings.HasPrefix(fmt.Sprint(body["OperationCreatedOn"]), "/Date("), "%v", body["OperationCreatedOn"])
		}},
		{"9 webhook: one retry on 502, 503 and 504 only", Options{}, func(x *ruleCall) {
			for status, calls := range map[int]int{202: 1, 500: 1, 502: 2, 503: 2, 504: 2, 404: 1} {
				got := len(rung(x, `{}`, answerStatus(status)))
				x.is(got == calls, "%d: %d calls", status, got)
			}
		}},
		{"9 webhook: a WebhookKey is the parameter code", Options{}, func(x *ruleCall) {
			x.is(strings.Contains(rung(x, `{}`, nil)[0].query, "code=s3cret+value"), "no key")
		}},
		{"9 webhook: a failed asynchronous call does not undo the write", Options{}, func(x *ruleCall) {
			rung(x, `{}`, answerStatus(500)) // wants 204
		}},
		{"9 webhook: authvalue cannot be read", Options{}, func(x *ruleCall) {
			register(x, x.s, "Create", "account", "")
			x.is(x.row("serviceendpoints(" + testID(900) + ")")["authvalue"] == nil, "the secret is shown")
		}},
	})
}
