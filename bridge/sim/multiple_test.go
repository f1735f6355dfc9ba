package sim

import (
	"fmt"
	"strings"
	"testing"
)

const accountType = `"@odata.type":"Microsoft.Dynamics.CRM.account"`

func multiplePath(name string) string { return "accounts/Microsoft.Dynamics.CRM." + name }

func TestCreateMultipleAnswersTheIds(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	var got struct{ Ids []string }
	send(t, s, "POST", multiplePath("CreateMultiple"), `{"Targets":[{`+accountType+`,"name":"a"},{`+accountType+`,"name":"b"}]}`).want(t, 200, "").decode(t, &got)
	if len(got.Ids) != 2 || mustRow(t, s, "account", got.Ids[1])["name"] != "b" {
		t.Errorf("ids %v", got.Ids)
	}
}

func TestUpsertMultipleCreatesAndUpdates(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	mustInsert(t, s, "account", map[string]any{"accountnumber": "1", "name": "old"})
	body := `{"Targets":[
		{` + accountType + `,"@odata.id":"accounts(accountnumber='1')","name":"one"},
		{` + accountType + `,"@odata.id":"accounts(accountnumber='2')","name":"two"},
		{` + accountType + `,"accountid":"` + testID(3) + `","name":"three"}]}`
	for range 2 {
		send(t, s, "POST", multiplePath("UpsertMultiple"), body).want(t, 204, "")
	}
	for _, number := range []string{"1", "2"} {
		if _, ok := s.FindByKey("account", map[string]any{"accountnumber": number}); !ok {
			t.Errorf("no account %s", number)
		}
	}
	if n := s.Stats().Rows["account"]; n != 3 {
		t.Errorf("%d accounts", n)
	}
}

func TestAMultipleIsOneTransaction(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	send(t, s, "POST", multiplePath("UpsertMultiple"), `{"Targets":[{`+accountType+`,"@odata.id":"accounts(accountnumber='1')","name":"one"},
		{`+accountType+`,"@odata.id":"accounts(accountnumber='2')","name":"`+strings.Repeat("x", 161)+`"}]}`).want(t, 400, codeStringTooLong)
	send(t, s, "POST", multiplePath("CreateMultiple"), `{"Targets":[{`+accountType+`,"accountnumber":"1"},{`+accountType+`,"accountnumber":"1"}]}`).want(t, 412, codeDuplicateKey)
	send(t, s, "POST", multiplePath("UpdateMultiple"), `{"Targets":[{`+accountType+`,"accountid":"`+testID(3)+`","name":"x"}]}`).want(t, 404, codeNotFound)
	if n := s.Stats().Rows["account"]; n != 0 {
		t.Errorf("%d accounts after refusals", n)
	}
}

// A live report: with the key in @odata.id and in the body, creating fails and
// updating works.
func TestUpsertMultipleWithTheKeyInBothPlaces(t *testing.T) {
	t.Parallel()
	body := `{"Targets":[{` + accountType + `,"@odata.id":"accounts(accountnumber='1')","accountnumber":"1","name":"one"}]}`
	s := newTestServer(t, Options{})
	send(t, s, "POST", multiplePath("UpsertMultiple"), body).want(t, 400, codeUnexpected)
	mustInsert(t, s, "account", map[string]any{"accountnumber": "1"})
	send(t, s, "POST", multiplePath("UpsertMultiple"), body).want(t, 204, "")

	s = newTestServer(t, Options{Assumptions: Assumptions{MultipleKeyInBody: true}})
	send(t, s, "POST", multiplePath("UpsertMultiple"), body).want(t, 204, "")
}

func TestMultiplesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for body, status := range map[string]int{
		`{}`:               400,
		`{"Targets":{}}`:   400,
		`{"Targets":[]}`:   400,
		`{"Targets":[5]}`:  400,
		`{"Targets":[{}]}`: 400,
		`{"Targets":[`:     400,
		`{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.contact"}]}`:                400,
		`{"Targets":[{` + accountType + `,"@odata.id":"contacts(` + testID(1) + `)"}]}`: 400,
		`{"Targets":[{` + accountType + `,"nothing":1}]}`:                               400,
	} {
		for _, name := range []string{"UpsertMultiple", "UpdateMultiple"} {
			if a := send(t, s, "POST", multiplePath(name), body); a.status != status {
				t.Errorf("%s %s: %d %s", name, body, a.status, a.body)
			}
		}
	}
	send(t, s, "POST", multiplePath("UpdateMultiple"), `{"Targets":[{`+accountType+`,"name":"x"}]}`).want(t, 400, codeInvalidArgument)
	send(t, s, "POST", multiplePath("DeleteMultiple"), `{"Targets":[]}`).want(t, 501, "")
	send(t, s, "GET", multiplePath("UpsertMultiple"), "").want(t, 405, "")
	send(t, s, "POST", multiplePath("Nothing"), `{}`).want(t, 501, "")
	send(t, s, "POST", "accounts("+testID(1)+")/Microsoft.Dynamics.CRM.Nothing", `{}`).want(t, 501, "")
	send(t, s, "GET", "RetrieveTotalRecordCount(EntityNames=['account'])", "").want(t, 501, "")
	send(t, s, "GET", "Accounts", "").want(t, 404, codeInvalidRequest)
	send(t, s, "GET", "accounts(@id)?@id="+testID(1), "").want(t, 501, "")
	send(t, s, "GET", "accounts(accountnumber=@k)?@k='x'", "").want(t, 501, "")
	premises := newTestServer(t, Options{Profile: OnPremises})
	send(t, premises, "POST", multiplePath("UpsertMultiple"), fmt.Sprintf(`{"Targets":[{%s}]}`, accountType)).want(t, 404, "")
}
