package sim

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// queryServer holds four accounts; 4 has next to nothing.
func queryServer(t testing.TB) *Server {
	s := newTestServer(t, Options{})
	person := mustInsert(t, s, "contact", map[string]any{"contactid": testID(99), "lastname": "Lee"})
	for i, row := range []map[string]any{
		{"name": "Aster Ltd", "accountnumber": "A/1", "revenue": json.Number("100.5"), "numberofemployees": 5, "creditonhold": true, "industrycode": 1, "lastusedincampaign": "2025-01-05", "lastonholdtime": "2025-01-05T10:00:00Z"},
		{"name": "Birch O'Neil", "accountnumber": "B", "revenue": json.Number("100.50"), "numberofemployees": 50, "industrycode": 2, "primarycontactid@odata.bind": "/contacts(" + person + ")"},
		{"name": "aster two ", "accountnumber": "C", "revenue": json.Number("9.99"), "lastusedincampaign": "2025-02-05", "lastonholdtime": "2024-01-05T10:00:00Z"},
		{},
	} {
		row["accountid"] = testID(i + 1)
		mustInsert(t, s, "account", row)
	}
	return s
}

func found(t testing.TB, s *Server, options string) []int {
	t.Helper()
	var got []int
	for _, row := range send(t, s, "GET", "accounts?"+options, "").page(t).Value {
		id := row["accountid"].(string)
		got = append(got, int(id[len(id)-1]-'0'))
	}
	return got
}

func TestFilters(t *testing.T) {
	t.Parallel()
	s := queryServer(t)
	for filter, want := range map[string][]int{
		"name eq 'aster ltd'":                            {1},
		"name eq 'ASTER TWO'":                            {3},
		"name eq 'Birch O''Neil'":                        {2},
		"name ne 'Aster Ltd'":                            {2, 3, 4},
		"name eq null":                                   {4},
		"name ne null":                                   {1, 2, 3},
		"contains(name,'STER')":                          {1, 3},
		"not contains(name,'ster')":                      {2, 4},
		"startswith(name,'aster')":                       {1, 3},
		"endswith(name,'O''Neil')":                       {2},
		"name gt 'b'":                                    {2},
		"revenue eq 100.5":                               {1, 2},
		"revenue ge 9.99 and revenue lt 100.5000":        {3},
		"numberofemployees le 5":                         {1},
		"creditonhold eq true":                           {1},
		"creditonhold ne true":                           {2, 3, 4},
		"industrycode eq 2":                              {2},
		"_primarycontactid_value eq " + testID(99):       {2},
		"_primarycontactid_value eq null":                {1, 3, 4},
		"accountid eq " + testID(3):                      {3},
		"accountid eq " + testID(3) + " and name eq 'x'": nil,
		"accountnumber eq 'a/1' and revenue gt 1":        {1},
		"accountnumber eq 'nothing'":                     nil,
		"lastusedincampaign gt 2025-01-05":               {3},
		"lastonholdtime lt 2025-01-05T11:00:00%2B02:00":  {3},
		"lastonholdtime le 2025-01-05T10:00:00Z":         {1, 3},
		"name eq null or name eq 'aster two' and accountnumber eq 'C' or industrycode eq 1": {1, 3, 4},
		"(name eq null or name eq 'aster two') and accountnumber eq 'C'":                    {3},
		"not (industrycode eq 1 or industrycode eq 2)":                                      {3, 4},
		"versionnumber gt 0": {1, 2, 3, 4},
	} {
		if diff := cmp.Diff(want, found(t, s, "$select=name&$filter="+filter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filter, diff)
		}
	}
}

func TestQueryOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := queryServer(t)
	for options, status := range map[string]int{
		"$select=nothing":                             400,
		"$select=primarycontactid":                    400,
		"$filter=nothing eq 1":                        400,
		"$filter=name eq 5":                           400,
		"$filter=name eq 'x":                          400,
		"$filter=name eq":                             400,
		"$filter=name":                                400,
		"$filter=":                                    400,
		"$filter=(name eq 'x'":                        400,
		"$filter=name eq 'x')":                        400,
		"$filter=name eq 'x' name eq 'y'":             400,
		"$filter='x' eq name":                         400,
		"$filter=name gt null":                        400,
		"$filter=numberofemployees eq 'x'":            400,
		"$filter=creditonhold gt true":                400,
		"$filter=accountid eq 'x'":                    400,
		"$filter=name has 'x'":                        501,
		"$filter=name in ('a','b')":                   501,
		"$filter=tolower(name) eq 'x'":                501,
		"$filter=contains(revenue,'1')":               400,
		"$filter=contains(name)":                      400,
		"$filter=new_channels eq '1'":                 501,
		"$filter=" + strings.Repeat("(", 100):         400,
		"$filter=" + strings.Repeat("not ", 200):      400,
		"$filter=name eq 'x'&$filter=name eq 'y'":     400,
		"$filter=primarycontactid/fullname eq 'x'":    501,
		"$orderby=primarycontactid/fullname":          501,
		"$filter=contacts/any(o:o/lastname eq 'x')":   501,
		"$orderby=nothing":                            400,
		"$orderby=name up":                            400,
		"$orderby=industrycode":                       501,
		"$top=-1":                                     400,
		"$top=x":                                      400,
		"$count=maybe":                                400,
		"$skip=1":                                     400,
		"$expand=nothing":                             400,
		"$expand=primarycontactid($expand=ownerid)":   501,
		"$expand=primarycontactid($top=1)":            400,
		"$expand=primarycontactid(":                   400,
		"$apply=aggregate(revenue with sum as total)": 501,
		"fetchXml=<fetch/>":                           501,
		"@p=1":                                        501,
		"nothing=1":                                   400,
		"$select=%zz":                                 400,
	} {
		if a := send(t, s, "GET", "accounts?"+options, ""); a.status != status {
			t.Errorf("%s: %d, want %d: %s", options, a.status, status, a.body)
		}
	}
	long := "$filter=name eq 'x'" + strings.Repeat(" or name eq 'x'", maxConditions)
	send(t, s, "GET", "accounts?"+long, "").want(t, 400, codeInvalidRequest)
	send(t, s, "GET", "accounts?tag=bridge", "").want(t, 200, "")
	send(t, s, "GET", "accounts("+testID(1)+")?$top=1", "").want(t, 400, codeInvalidRequest)
}

func TestOrderTopAndCount(t *testing.T) {
	t.Parallel()
	s := queryServer(t)
	for options, want := range map[string][]int{
		"$orderby=name desc":                       {2, 3, 1, 4},
		"$orderby=revenue desc,name desc":          {2, 1, 3, 4},
		"$orderby=numberofemployees":               {3, 4, 1, 2},
		"$orderby=lastusedincampaign desc,name":    {3, 1, 4, 2},
		"$top=2":                                   {1, 2},
		"$top=0":                                   nil,
		"$orderby=name desc&$top=1":                {2},
		"$top=1&$filter=accountnumber eq 'B'":      {2},
		"$orderby=createdon,creditonhold,name asc": {4, 3, 2, 1}, // false before true
	} {
		got := found(t, s, options)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", options, diff)
		}
	}
	p := send(t, s, "GET", "accounts?$top=1&$count=true&$filter=name ne null", "").page(t)
	if p.Count == nil || *p.Count != 3 || len(p.Value) != 1 || p.Next != "" {
		t.Errorf("page %+v", p)
	}
	if a := send(t, s, "GET", "accounts/$count?$filter=name ne null", "").want(t, 200, ""); a.body != "\xef\xbb\xbf3" {
		t.Errorf("count %q", a.body)
	}
}

func TestPagesAreCompleteAndDisjoint(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{MaxPageSize: 7})
	if err := s.Seed("account", 23, func(i int) map[string]any {
		return map[string]any{"name": fmt.Sprint("n", i%5), "accountnumber": fmt.Sprint(i)}
	}); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"$select=accountnumber", "$orderby=name&$select=accountnumber", "$filter=name ne 'n0'&$select=accountnumber"} {
		seen := map[string]int{}
		pages := 0
		a := send(t, s, "GET", "accounts?"+options, "", "Prefer: odata.maxpagesize=100")
		for {
			p := a.page(t)
			pages++
			for _, row := range p.Value {
				seen[row["accountnumber"].(string)]++
			}
			if p.Next == "" {
				break
			}
			if len(p.Value) != 7 {
				t.Fatalf("%s: a page of %d rows", options, len(p.Value))
			}
			// A record that is deleted between pages moves nothing.
			a = follow(t, s, p.Next)
		}
		want := 23
		if strings.Contains(options, "ne 'n0'") {
			want = 18
		}
		if len(seen) != want || slices.Max(slices.Collect(func(yield func(int) bool) {
			for _, n := range seen {
				if !yield(n) {
					return
				}
			}
		})) != 1 {
			t.Errorf("%s: %d of %d records on %d pages", options, len(seen), want, pages)
		}
	}
}

func TestDeletedRecordsDoNotDisturbPaging(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for i := range 6 {
		mustInsert(t, s, "account", map[string]any{"accountid": testID(i)})
	}
	p := send(t, s, "GET", "accounts", "", "Prefer: odata.maxpagesize=2").page(t)
	for _, i := range []int{1, 2} { // the last of this page and the first of the next
		if err := s.Delete("account", testID(i)); err != nil {
			t.Fatal(err)
		}
	}
	p = follow(t, s, p.Next, "Prefer: odata.maxpagesize=2").page(t)
	if len(p.Value) != 2 || p.Value[0]["accountid"] != testID(3) || p.Value[1]["accountid"] != testID(4) {
		t.Errorf("second page %v", p.Value)
	}
}

func TestSelectReturnsWhatTheServerAdds(t *testing.T) {
	t.Parallel()
	s := queryServer(t)
	p := send(t, s, "GET", "accounts?$select=revenue&$top=1", "").page(t)
	keys := sortedKeys(p.Value[0])
	if diff := cmp.Diff([]string{"@odata.etag", "_transactioncurrencyid_value", "accountid", "revenue"}, keys); diff != "" {
		t.Error(diff)
	}
	if p.Context != "http://org.example/api/data/v9.1/$metadata#accounts(revenue)" {
		t.Error(p.Context)
	}
}

// condition is a random filter together with what it means.
type condition struct {
	text string
	eval func(row map[string]any) bool
}

func conditions(depth int) *rapid.Generator[condition] {
	return rapid.Custom(func(t *rapid.T) condition {
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		if depth == 0 {
			kind = rapid.IntRange(0, 2).Draw(t, "leaf")
		}
		switch kind {
		case 0:
			n := rapid.IntRange(-3, 3).Draw(t, "n")
			op := rapid.SampledFrom([]string{"eq", "ne", "gt", "ge", "lt", "le"}).Draw(t, "op")
			return condition{fmt.Sprintf("numberofemployees %s %d", op, n), func(row map[string]any) bool {
				v, ok := row["numberofemployees"].(int)
				if !ok {
					return op == "ne"
				}
				return map[string]bool{"eq": v == n, "ne": v != n, "gt": v > n, "ge": v >= n, "lt": v < n, "le": v <= n}[op]
			}}
		case 1:
			text := rapid.StringMatching(`[aA' (),]{0,3}`).Draw(t, "text")
			return condition{"contains(name,'" + strings.ReplaceAll(text, "'", "''") + "')", func(row map[string]any) bool {
				v, ok := row["name"].(string)
				return ok && strings.Contains(strings.ToLower(v), strings.ToLower(text))
			}}
		case 2:
			return condition{"name eq null", func(row map[string]any) bool { return row["name"] == nil }}
		case 3:
			c := conditions(depth-1).Draw(t, "not")
			return condition{"not (" + c.text + ")", func(row map[string]any) bool { return !c.eval(row) }}
		}
		a, b := conditions(depth-1).Draw(t, "a"), conditions(depth-1).Draw(t, "b")
		if kind == 4 {
			return condition{"(" + a.text + ") and (" + b.text + ")", func(row map[string]any) bool { return a.eval(row) && b.eval(row) }}
		}
		return condition{"(" + a.text + " or " + b.text + ")", func(row map[string]any) bool { return a.eval(row) || b.eval(row) }}
	})
}

func TestFiltersMeanWhatTheySay(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	rows := map[string]map[string]any{}
	for i := range 40 {
		row := map[string]any{"accountid": testID(i)}
		if i%3 > 0 {
			row["numberofemployees"] = i % 5
		}
		if i%4 > 0 {
			row["name"] = []string{"a", "A'a", "x (a)", "aAa, a"}[i%4]
		}
		rows[testID(i)] = row
		mustInsert(t, s, "account", row)
	}
	rapid.Check(t, func(t *rapid.T) {
		c := conditions(3).Draw(t, "filter")
		r := send(t, s, "GET", "accounts?$select=name&$filter="+url.QueryEscape(c.text), "")
		got := map[string]bool{}
		for _, row := range r.page(t).Value {
			got[row["accountid"].(string)] = true
		}
		for id, row := range rows {
			if got[id] != c.eval(row) {
				t.Fatalf("%s: %v: found %t", c.text, row, got[id])
			}
		}
	})
}

// FuzzFilter: no filter makes the parser panic, and every accepted one can be
// evaluated.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"name eq 'x'", "not (a", "contains(name,'''')", "revenue gt 1e99 and accountid eq null", "name eq 'x' or", "((((name eq null))))", "lastonholdtime lt 2025-01-05"} {
		f.Add(seed)
	}
	s := queryServer(f)
	t := s.catalogNow().byName["account"]
	d := t.def.Load()
	f.Fuzz(func(_ *testing.T, text string) {
		e, err := parseFilter(d, text, nil)
		if err != nil {
			return
		}
		m := matcher{d: d, filter: e}
		for _, r := range t.rows {
			m.match(r)
		}
		t.candidates(d, e, false)
	})
}

// Counts stop at 5,000, and say so to callers that ask for annotations.
func TestACountSaysWhenItStopped(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	if err := s.Seed("account", maxCounted+1, func(i int) map[string]any { return map[string]any{"numberofemployees": i} }); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"$count=true": `"@odata.count":5000,"@Microsoft.Dynamics.CRM.totalrecordcount":5000,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":true`,
		"$count=true&$filter=numberofemployees lt 5000": `"@odata.count":5000,"@Microsoft.Dynamics.CRM.totalrecordcount":5000,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":false`,
		"$select=name": `"@Microsoft.Dynamics.CRM.totalrecordcount":-1,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":false`,
	} {
		a := send(t, s, "GET", "accounts?"+query, "", `Prefer: odata.maxpagesize=1,odata.include-annotations="Microsoft.Dynamics.CRM.*"`).want(t, 200, "")
		if !strings.Contains(a.body, want) {
			t.Errorf("%s: %s", query, a.body)
		}
	}
}
