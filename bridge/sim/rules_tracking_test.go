package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// accounts makes records with ids and numbers from 1 on.
func (x *ruleCall) accounts(n int) {
	x.Helper()
	for i := range n {
		x.upsert(fmt.Sprintf("accounts(%s)", testID(i+1)), fmt.Sprintf(`{"name":"old","accountnumber":"A-%d"}`, i+1))
	}
}

func TestRulesOfChangeTracking(t *testing.T) {
	t.Parallel()
	const query = "accounts?$select=name,versionnumber"
	const paged = "Prefer: odata.track-changes,odata.maxpagesize=2"
	runRules(t, []rule{
		{"1 discover: EntityDefinitions by ChangeTrackingEnabled", Options{}, func(x *ruleCall) {
			a := x.get("EntityDefinitions?$select=LogicalName,EntitySetName&$filter=ChangeTrackingEnabled eq true").want(x, 200, "")
			x.holds(a, `"LogicalName":"account"`)
			x.is(!strings.Contains(a.body, `"LogicalName":"equipment"`), "a table without tracking: %s", a.body)
		}},
		{"1 discover: the annotation ChangeTracking in $metadata", Options{}, func(x *ruleCall) {
			x.holds(x.get("$metadata?annotations=true").want(x, 200, ""), `Term="Org.OData.Capabilities.V1.ChangeTracking"`)
		}},
		{"1 enable: PUT of the definition, in force after PublishAllXml", Options{}, func(x *ruleCall) {
			x.get("equipments", track).want(x, 400, codeTrackingOff)
			def := x.row("EntityDefinitions(LogicalName='equipment')")
			def["ChangeTrackingEnabled"] = true
			x.do("PUT", fmt.Sprint("EntityDefinitions(", def["MetadataId"], ")"), string(marshal(def)), "MSCRM.MergeLabels: true").want(x, 204, "")
			x.get("equipments", track).want(x, 400, codeTrackingOff)
			x.do("POST", "PublishAllXml", "").want(x, 204, "")
			x.get("equipments", track).want(x, 200, "")
		}},
		{"1 load: everything as new, with etag and a delta link, no deletes", Options{}, func(x *ruleCall) {
			x.accounts(2)
			x.do("DELETE", "accounts("+testID(2)+")", "").want(x, 204, "")
			p := x.get(query, track).page(x)
			x.is(len(p.Value) == 1 && p.Value[0]["@odata.etag"] != nil && p.Delta != "" && p.Next == "", "%+v", p)
			x.is(strings.HasSuffix(p.Context, "$metadata#accounts(name,versionnumber)"), "context %s", p.Context)
		}},
		{"1 token: row version, !, UTC time with lower-case escapes", Options{}, func(x *ruleCall) {
			link := x.get(query, track).page(x).Delta
			x.is(strings.HasSuffix(link, "%2108%2f22%2f2025%2008%3a10%3a44"), "link %s", link)
		}},
		{"1 token: accepted however a client re-encodes it", Options{}, func(x *ruleCall) {
			link := x.get(query, track).page(x).Delta
			for _, form := range []string{link, strings.ReplaceAll(link, "%20", "+"), strings.ReplaceAll(link, "%2f", "%2F"), strings.ReplaceAll(link, "%21", "!")} {
				x.get(form).want(x, 200, "")
			}
		}},
		{"1 paging: maxpagesize, the same Prefer on each page, the delta link on the last page only", Options{}, func(x *ruleCall) {
			x.accounts(3)
			first := x.get(query, paged).page(x)
			x.is(len(first.Value) == 2 && first.Next != "" && first.Delta == "", "first %+v", first)
			last := x.get(first.Next, paged).page(x)
			x.is(len(last.Value) == 1 && last.Next == "" && last.Delta != "", "last %+v", last)
			x.is(strings.Contains(first.Next, "istracking=%22True%22"), "next %s", first.Next)
		}},
		{"1 paging: the delta link is followed with and without Prefer", Options{}, func(x *ruleCall) {
			link := x.get(query, track).page(x).Delta
			x.accounts(1)
			for _, prefer := range []string{"X-None: x", track, paged} {
				x.is(len(x.get(link, prefer).page(x).Value) == 1, "%s", prefer)
			}
		}},
		{"1 paging: no page beyond 5,000 rows", Options{}, func(x *ruleCall) {
			if err := x.s.Seed("account", 5001, func(i int) map[string]any { return map[string]any{"name": "n"} }); err != nil {
				x.Fatal(err)
			}
			p := x.get("accounts?$select=name", "Prefer: odata.track-changes,odata.maxpagesize=9000").page(x)
			x.is(len(p.Value) == 5000 && p.Next != "", "%d rows, next %q", len(p.Value), p.Next)
		}},
		{"1 delta: changed rows whole, then deletes with a bare id and a reason", Options{}, func(x *ruleCall) {
			x.accounts(2)
			link := x.get("accounts?$select=name,accountnumber", track).page(x).Delta
			x.do("DELETE", "accounts("+testID(1)+")", "").want(x, 204, "")
			x.upsert("accounts("+testID(2)+")", `{"name":"new"}`)
			p := x.get(link).page(x)
			if len(p.Value) != 2 {
				x.Fatalf("%+v", p)
			}
			changed, gone := p.Value[0], p.Value[1]
			x.is(strings.HasSuffix(p.Context, "(name,accountnumber)/$delta"), "context %s", p.Context)
			x.is(changed["name"] == "new" && changed["accountnumber"] == "A-2", "changed %v", changed)
			x.is(gone["id"] == testID(1) && gone["reason"] == "deleted" && strings.HasSuffix(fmt.Sprint(gone["@odata.context"]), "#accounts/$deletedEntity") && len(gone) == 3, "gone %v", gone)
		}},
		{"1 delta: nothing changed is an empty value and a link", Options{}, func(x *ruleCall) {
			p := x.get(x.get(query, track).page(x).Delta).page(x)
			x.is(len(p.Value) == 0 && p.Delta != "", "%+v", p)
		}},
		{"1 delta: net changes, one entry a record in its latest state", Options{}, func(x *ruleCall) {
			link := x.get(query, track).page(x).Delta
			x.accounts(1)
			x.upsert("accounts("+testID(1)+")", `{"name":"2nd"}`)
			p := x.get(link).page(x)
			x.is(len(p.Value) == 1 && p.Value[0]["name"] == "2nd", "%+v", p.Value)
		}},
		{"1 delta: created and deleted between two polls is reported as deleted", Options{}, func(x *ruleCall) {
			link := x.get(query, track).page(x).Delta
			x.accounts(1)
			x.do("DELETE", "accounts("+testID(1)+")", "").want(x, 204, "")
			p := x.get(link).page(x)
			x.is(len(p.Value) == 1 && p.Value[0]["reason"] == "deleted", "%+v", p.Value)
		}},
		{"1 delta: changes by ascending version", Options{}, func(x *ruleCall) {
			x.accounts(3)
			link := x.get(query, track).page(x).Delta
			for _, n := range []int{3, 1, 2} {
				x.upsert("accounts("+testID(n)+")", `{"name":"new"}`)
			}
			p := x.get(link).page(x)
			got := ""
			for _, row := range p.Value {
				got += fmt.Sprint(row["accountid"])[35:]
			}
			x.is(got == "312", "order %s", got)
		}},
		{"1 delta: /$count of it, text with a byte order mark", Options{}, func(x *ruleCall) {
			link := x.get("accounts", track).page(x).Delta
			x.accounts(3)
			a := x.get(strings.Replace(link, "accounts?", "accounts/$count?", 1)).want(x, 200, "")
			x.is(a.body == "\xef\xbb\xbf3" && strings.HasPrefix(a.header.Get("Content-Type"), "text/plain"), "%q %v", a.body, a.header)
		}},
		{"1 options: $filter, $orderby, $top and online $expand are refused", Options{}, func(x *ruleCall) {
			for _, o := range []string{"$filter=name eq 'x'", "$orderby=name", "$top=1", "$expand=primarycontactid"} {
				name, _, _ := strings.Cut(o, "=")
				x.holds(x.get("accounts?"+o, track).want(x, 400, ""), `The \"`+name+`\" query parameter isn't supported when Change Tracking is enabled.`)
			}
		}},
		{"1 options: on premises takes $expand", Options{Profile: OnPremises}, func(x *ruleCall) {
			x.get("accounts?$expand=primarycontactid", track).want(x, 200, "")
		}},
		{"1 lifetime: expirechangetrackingindays is 7 online and 90 on premises", Options{}, func(x *ruleCall) {
			x.holds(x.get("organizations?$select=expirechangetrackingindays"), `"expirechangetrackingindays":7`)
			x.holds(send(x, newTestServer(x, Options{Profile: OnPremises}), "GET", "organizations?$select=expirechangetrackingindays", ""), `"expirechangetrackingindays":90`)
		}},
		{"1 lifetime: online an expired token is the fault ExpiredVersionStamp", Options{}, func(x *ruleCall) {
			link := x.get(query, track).page(x).Delta
			x.at.pass(7*24*time.Hour + time.Second)
			x.get(link).want(x, 400, codeExpiredVersion)
		}},
		{"1 lifetime: on premises an expired token returns all records, without deletes", Options{Profile: OnPremises}, func(x *ruleCall) {
			x.accounts(2)
			link := x.get(query, track).page(x).Delta
			x.do("DELETE", "accounts("+testID(1)+")", "").want(x, 204, "")
			x.at.pass(90*24*time.Hour + time.Second)
			p := x.get(link).page(x)
			x.is(len(p.Value) == 1 && p.Value[0]["reason"] == nil, "%+v", p.Value)
		}},
		{"1 lifetime: a change of the table may expire the token at any age", Options{ExpireOnSchemaChange: true, KeyJobDelay: -1}, func(x *ruleCall) {
			link := x.get(query, track).page(x).Delta
			x.do("POST", accountKeys, keyBody("new_FaxKey", "fax")).want(x, 204, "")
			x.get(link).want(x, 400, codeExpiredVersion)
		}},
		{"1 versionnumber: ascending over the whole database, and the etag", Options{}, func(x *ruleCall) {
			x.upsert("accounts("+testID(1)+")", `{}`)
			x.upsert("contacts("+testID(1)+")", `{"lastname":"Lee"}`)
			a, c := x.row("accounts("+testID(1)+")?$select=versionnumber"), x.row("contacts("+testID(1)+")?$select=versionnumber")
			x.is(fmt.Sprint(a["versionnumber"]) < fmt.Sprint(c["versionnumber"]), "%v, then %v", a, c)
			x.is(a["@odata.etag"] == fmt.Sprintf(`W/"%v"`, a["versionnumber"]), "etag %v", a)
		}},
		{"1 security: without Read on the table an error, not a filtered answer", Options{}, func(x *ruleCall) {
			addRule(x, x.s, Rule{Kind: FaultRevokedPrivilege, Table: "account"})
			x.get(query, track).want(x, 403, "0x80040220")
		}},
		{"1 security: a secured column is null", Options{}, func(x *ruleCall) {
			x.accounts(1)
			if err := x.s.SecureColumn("account", "name", true); err != nil {
				x.Fatal(err)
			}
			p := x.get(query, track).page(x)
			x.is(len(p.Value) == 1 && p.Value[0]["name"] == nil, "%+v", p.Value)
		}},
		{"13 tracking: annotations make the delta link disappear", Options{}, func(x *ruleCall) {
			p := x.get("accounts", `Prefer: odata.track-changes,odata.include-annotations="*"`).page(x)
			x.is(p.Delta == "" && p.Next == "", "%+v", p)
		}},
		{"13 paging: the cookie is encoded once outside and twice inside, ids upper case in braces", Options{}, func(x *ruleCall) {
			x.upsert("accounts(abcdef00-0000-0000-0000-000000000001)", `{}`)
			x.upsert("accounts(abcdef00-0000-0000-0000-000000000002)", `{}`)
			next := x.get("accounts?$select=name", "Prefer: odata.maxpagesize=1").page(x).Next
			for _, part := range []string{"$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie", "%257bABCDEF00-0000-0000-0000-000000000001%257d", "istracking=%22False%22%20/%3E"} {
				x.is(strings.Contains(next, part), "no %s in %s", part, next)
			}
		}},
		{"13 links: of the host that the request names", Options{}, func(x *ruleCall) {
			link := x.get("accounts", track).page(x).Delta
			x.is(strings.HasPrefix(link, x.base+"/api/data/v9.1/accounts?"), "%s", link)
		}},
	})
}
