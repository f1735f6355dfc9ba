package webapi

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
)

// lines are requests in the form in which the scripted server notes them.
func lines(sent []Sent) (out []string) {
	for _, s := range sent {
		path, _ := strings.CutPrefix(s.Path, "/api/data/v9.2/")
		line := s.Method + " " + path + " "
		for _, name := range meant {
			if v := s.Header[name]; v != "" {
				line += name + ":" + v + " "
			}
		}
		out = append(out, line+string(s.Body))
	}
	return out
}

func TestARehearsalHasTheRequestsOfTheRealWrite(t *testing.T) {
	t.Parallel()
	operation := func(o schema.Operation) func(*schema.Write) { return func(w *schema.Write) { w.Operation = o } }
	onCreate := func(w *schema.Write) { w.OnCreate = json.RawMessage(`{"name":"Fabrikam","x":1}`) }
	inactive := func(w *schema.Write) { w.Body = json.RawMessage(`{"name":"Fabrikam","statecode":1}`) }
	currency := schema.Reference{Property: "transactioncurrencyid@odata.bind", Search: schema.Search{Table: "transactioncurrency",
		EntitySet: "transactioncurrencies", PrimaryID: "transactioncurrencyid", Columns: []string{"currencyname"}, Filter: "currencyname eq 'Euro'"}}
	bound := func(w *schema.Write) {
		w.References = []schema.Reference{currency}
		w.Body = json.RawMessage("{" + string(currency.Member()) + "}")
	}
	const currencyLine = `GET transactioncurrencies?$select=transactioncurrencyid&$filter=currencyname%20eq%20%27Euro%27&$top=2 `
	const boundBody = `{"transactioncurrencyid@odata.bind":"/transactioncurrencies({transactioncurrencyid})"}`
	for name, c := range map[string]struct {
		write         *schema.Write
		change        func(*schema.Write)
		existing, new []string // nil: not rehearsed
	}{
		"upsert":            {upsertAccount(), nil, []string{upsertLine}, []string{upsertLine}},
		"update":            {upsertAccount(), operation(schema.OpUpdate), []string{updateLine}, nil},
		"create":            {upsertAccount(), operation(schema.OpCreate), nil, []string{createLine}},
		"delete":            {upsertAccount(), operation(schema.OpDelete), []string{"DELETE accounts(accountnumber='A%201') "}, nil},
		"on_create":         {upsertAccount(), onCreate, []string{updateLine}, []string{updateLine, onNewLine}},
		"searched":          {searchedAccount(), nil, []string{searchLine, `PATCH accounts({accountid}) If-Match:* {"name":"Fabrikam"}`}, []string{searchLine, insertLine}},
		"searched, deleted": {searchedAccount(), operation(schema.OpDelete), []string{searchLine, "DELETE accounts({accountid}) "}, nil},
		"bound by a search": {upsertAccount(), bound, []string{currencyLine, "PATCH accounts(accountnumber='A%201') " + boundBody}, []string{currencyLine, "PATCH accounts(accountnumber='A%201') " + boundBody}},
		"with result": {upsertAccount(), func(w *schema.Write) { w.WantResult = true },
			[]string{`PATCH accounts(accountnumber='A%201')?$select=versionnumber Prefer:return=representation {"name":"Fabrikam"}`}, []string{`PATCH accounts(accountnumber='A%201')?$select=versionnumber Prefer:return=representation {"name":"Fabrikam"}`}},
		"inactive": {upsertAccount(), inactive, []string{`PATCH accounts(accountnumber='A%201') If-Match:* {"name":"Fabrikam","statecode":1}`},
			[]string{`PATCH accounts(accountnumber='A%201') If-Match:* {"name":"Fabrikam","statecode":1}`, createLine, `PATCH accounts(accountnumber='A%201') If-Match:* {"statecode":1}`}},
		"merged records are noticed": {upsertAccount(), merging(schema.MergedReject), []string{mergedLine, `PATCH accounts({accountid}) If-Match:W/"{versionnumber}" {"name":"Fabrikam"}`},
			[]string{mergedLine, createLine}},
		"merged, deleted": {upsertAccount(), func(w *schema.Write) { merging(schema.MergedReject)(w); w.Operation = schema.OpDelete },
			[]string{mergedLine, `DELETE accounts({accountid}) If-Match:W/"{versionnumber}" `}, []string{mergedLine}},
		"merged, searched": {searchedAccount(), merging(schema.MergedRedirect), []string{searchLine, `GET accounts({accountid})?$select=accountid,merged,_masterid_value `,
			`PATCH accounts({accountid}) If-Match:W/"{versionnumber}" {"name":"Fabrikam"}`}, []string{searchLine, insertLine}},
		"inactive, bound by a search": {upsertAccount(), func(w *schema.Write) {
			w.References = []schema.Reference{currency}
			w.Body = json.RawMessage(`{"statecode":1,` + string(currency.Member()) + "}")
		}, []string{currencyLine, `PATCH accounts(accountnumber='A%201') If-Match:* {"statecode":1,` + boundBody[1:]},
			[]string{currencyLine, `PATCH accounts(accountnumber='A%201') If-Match:* {"statecode":1,` + boundBody[1:], "PATCH accounts(accountnumber='A%201') If-None-Match:* " + boundBody, `PATCH accounts(accountnumber='A%201') If-Match:* {"statecode":1}`}},
		"searched, inactive": {searchedAccount(), inactive, []string{searchLine, `PATCH accounts({accountid}) If-Match:* {"name":"Fabrikam","statecode":1}`},
			[]string{searchLine, insertLine, `PATCH accounts({accountid}) If-Match:* {"statecode":1}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.change != nil {
				c.change(c.write)
			}
			before, _ := json.Marshal(c.write)
			for exists, want := range map[bool][]string{true: c.existing, false: c.new} {
				if want == nil {
					continue
				}
				sent, err := Rehearse(t.Context(), "https://contoso.example", "v9.2", c.write, exists)
				if err != nil {
					t.Errorf("exists %v: %v", exists, err)
				}
				trim := func(list []string) (out []string) {
					for _, s := range list {
						out = append(out, strings.TrimSpace(s))
					}
					return out
				}
				if diff := cmp.Diff(trim(want), trim(lines(sent))); diff != "" {
					t.Errorf("exists %v (-want +got):\n%s", exists, diff)
				}
			}
			if after, _ := json.Marshal(c.write); !slices.Equal(before, after) {
				t.Errorf("the write was changed: %s", after)
			}
		})
	}
}
