package webapi

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// bind adds a lookup of the account above to a write, with a rule for merged ones.
func (o *organization) bind(t *testing.T, w *schema.Write, s *schema.Search, rule schema.MergedRule) *schema.Write {
	t.Helper()
	ref := schema.Reference{Search: *s, Property: "parentaccountid@odata.bind"}
	ref.Merged = rule
	w.References = append(w.References, ref)
	w.Body = joined(w.Body, json.RawMessage("{"+string(ref.Member())+"}"))
	return w
}

func TestALookupOfAMergedRecordGoesWhereTheRuleSays(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		ids := map[string]string{}
		for _, number := range []string{"P1", "P2", "P3", "P4"} {
			ids[number] = o.insert(t, "account", map[string]any{"accountnumber": number})
		}
		for _, pair := range [][2]string{{"P2", "P1"}, {"P3", "P2"}} { // P1 into P2, P2 into P3
			if err := o.sim.Merge("account", ids[pair[0]], ids[pair[1]]); err != nil {
				t.Fatal(err)
			}
		}
		byKey := func(number string) *schema.Search {
			s, err := schema.NewSearch(o.catalog["account"], []schema.KeyPart{keyPart("accountnumber", number)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for i, c := range []struct {
			name     string
			search   *schema.Search
			rule     schema.MergedRule
			want     string
			requests int
			parent   string
		}{
			{"not merged, rejected", byKey("P4"), schema.MergedReject, "written", 2, ids["P4"]},
			{"not merged, redirected", byKey("P4"), schema.MergedRedirect, "written", 2, ids["P4"]},
			{"not merged, by GUID", schema.SearchID(o.catalog["account"], strings.ToUpper(ids["P4"])), schema.MergedReject, "written", 2, ids["P4"]},
			{"merged once", byKey("P2"), schema.MergedRedirect, "written", 3, ids["P3"]},
			{"merged twice", byKey("P1"), schema.MergedRedirect, "written", 4, ids["P3"]},
			{"merged, by GUID", schema.SearchID(o.catalog["account"], ids["P2"]), schema.MergedRedirect, "written", 3, ids["P3"]},
			{"merged, no rule", byKey("P1"), "", "written", 2, ids["P1"]},
			{"merged, rejected", byKey("P1"), schema.MergedReject, "reject merged", 1, ""},
			{"not there", byKey("P9"), schema.MergedRedirect, "park missing_reference", 1, ""},
		} {
			number := strconv.Itoa(i)
			write := func() *schema.Write {
				return o.bind(t, o.write(t, schema.OpUpsert, number, `{"name":"x"}`), c.search, c.rule)
			}
			o.want(t, write(), c.want, c.requests)
			id, there := o.sim.FindByKey("account", map[string]any{"accountnumber": number})
			if there != (c.parent != "") {
				t.Errorf("%s: written %v", c.name, there)
			} else if row, _ := o.sim.Row("account", id); there && row["_parentaccountid_value"] != c.parent {
				t.Errorf("%s: bound to %v, want %s", c.name, row["_parentaccountid_value"], c.parent)
			}
			if e := outcome.Of(applyError(o.client, t.Context(), write())); c.want == "reject merged" &&
				(e == nil || e.Op != "GET accounts("+ids["P1"]+")" || e.Message != "the record of account that is referred to was merged into "+ids["P2"]) {
				t.Errorf("%s: the refusal is %+v", c.name, e)
			}
		}
	})
}

func TestARehearsalShowsTheQuestionWhetherALookupWasMerged(t *testing.T) {
	t.Parallel()
	o := newOrganization(t, sim.Options{})
	const id = "0000000a-0000-0000-0000-00000000000b"
	w := o.bind(t, o.write(t, schema.OpUpsert, "1", `{"name":"x"}`), schema.SearchID(o.catalog["account"], id), schema.MergedRedirect)
	sent, err := Rehearse(t.Context(), "https://contoso.example", "v9.2", w, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `GET accounts?$select=accountid,merged,_masterid_value&$filter=accountid%20eq%20` + id + `&$top=2 ` + "\n" +
		`PATCH accounts(accountnumber='1') {"name":"x","parentaccountid@odata.bind":"/accounts(` + id + `)"}`
	if got := strings.Join(lines(sent), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
