package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
)

// keyState is what a client reads of a key.
type keyState struct {
	LogicalName, SchemaName, EntityKeyIndexStatus string
	KeyAttributes                                 []string
	AsyncJob                                      *struct {
		ID string `json:"asyncoperationid"`
	}
}

func readKey(t failer, s *Server, table, key string) keyState {
	t.Helper()
	var k keyState
	send(t, s, http.MethodGet, "EntityDefinitions(LogicalName='"+table+"')/Keys(LogicalName='"+key+"')", "").want(t, http.StatusOK, "").decode(t, &k)
	return k
}

func keyBody(name string, columns ...string) string {
	return `{"SchemaName":"` + name + `","KeyAttributes":["` + strings.Join(columns, `","`) + `"],
		"DisplayName":{"@odata.type":"Microsoft.Dynamics.CRM.Label","LocalizedLabels":[{"@odata.type":"Microsoft.Dynamics.CRM.LocalizedLabel","Label":"A key","LanguageCode":1033}]}}`
}

const accountKeys = "EntityDefinitions(LogicalName='account')/Keys"

func TestANewKeyIsPendingThenInProgressThenActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Options{KeyJobDelay: time.Minute})
		id := mustInsert(t, s, "account", map[string]any{"telephone1": "555"})
		a := send(t, s, http.MethodPost, accountKeys, keyBody("new_PhoneKey", "telephone1")).want(t, http.StatusNoContent, "")
		address := a.header.Get("OData-EntityId")
		if !strings.Contains(address, "/EntityDefinitions(") || !strings.Contains(address, ")/Keys(") {
			t.Errorf("OData-EntityId %q", address)
		}
		byKey := func() answer { return send(t, s, http.MethodGet, "accounts(telephone1='555')?$select=name", "") }
		for _, step := range []struct {
			status string
			usable bool
		}{{"Pending", false}, {"InProgress", false}, {"Active", true}} {
			k := readKey(t, s, "account", "new_phonekey")
			if k.EntityKeyIndexStatus != step.status || k.SchemaName != "new_PhoneKey" || !slices.Equal(k.KeyAttributes, []string{"telephone1"}) {
				t.Fatalf("key %+v, want status %s", k, step.status)
			}
			if got := byKey().status == http.StatusOK; got != step.usable {
				t.Errorf("%s: addresses records: %v", step.status, got)
			}
			time.Sleep(30*time.Second + time.Millisecond)
			synctest.Wait()
		}
		if got := follow(t, s, address).want(t, http.StatusOK, "").body; !strings.Contains(got, "new_phonekey") {
			t.Errorf("the address of the key answers %s", got)
		}
		if !strings.Contains(byKey().body, id) {
			t.Error("the key finds another record")
		}
		send(t, s, http.MethodPatch, "accounts("+testID(1)+")", `{"telephone1":"555"}`).want(t, http.StatusPreconditionFailed, codeDuplicateKey)
	})
}

func TestDuplicatesMakeTheIndexJobFailUntilTheyAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Options{KeyJobDelay: time.Second})
		for range 2 {
			mustInsert(t, s, "account", map[string]any{"fax": "1"})
		}
		settle := func() keyState {
			time.Sleep(2 * time.Second)
			synctest.Wait()
			return readKey(t, s, "account", "new_faxkey")
		}
		reactivate := func() answer {
			return send(t, s, http.MethodPost, "ReactivateEntityKey", `{"EntityLogicalName":"account","EntityKeyLogicalName":"new_faxkey"}`)
		}
		send(t, s, http.MethodPost, accountKeys, keyBody("new_FaxKey", "fax")).want(t, http.StatusNoContent, "")
		reactivate().want(t, http.StatusBadRequest, codeReactivateFailed) // it is Pending
		k := settle()
		if k.EntityKeyIndexStatus != "Failed" || k.AsyncJob == nil {
			t.Fatalf("key %+v, want Failed with a job", k)
		}
		job := mustRow(t, s, asyncTable, k.AsyncJob.ID)
		if fmt.Sprint(job["statuscode"]) != "31" || job["message"] == nil {
			t.Errorf("job %v, want status 31 with a message", job)
		}
		reactivate().want(t, http.StatusNoContent, "")
		if again := settle(); again.EntityKeyIndexStatus != "Failed" || again.AsyncJob.ID == k.AsyncJob.ID {
			t.Errorf("key %+v, want Failed by another job", again)
		}
		var ids []string
		if err := s.Rows("account", func(id string, _ map[string]any) bool { ids = append(ids, id); return true }); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete("account", ids[0]); err != nil {
			t.Fatal(err)
		}
		reactivate().want(t, http.StatusNoContent, "")
		k = settle()
		if k.EntityKeyIndexStatus != "Active" || fmt.Sprint(mustRow(t, s, asyncTable, k.AsyncJob.ID)["statuscode"]) != "30" {
			t.Errorf("key %+v, want Active", k)
		}
		reactivate().want(t, http.StatusBadRequest, codeReactivateFailed)
	})
}

func TestAKeyCanBeDeletedByIdAndByNameAlsoWhileItsJobRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Options{KeyJobDelay: time.Second})
		address := send(t, s, http.MethodPost, accountKeys, keyBody("new_FaxKey", "fax")).want(t, http.StatusNoContent, "").header.Get("OData-EntityId")
		sendURL(t, s, http.MethodDelete, address, "").want(t, http.StatusNoContent, "")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		sendURL(t, s, http.MethodDelete, address, "").want(t, http.StatusNotFound, "")
		send(t, s, http.MethodDelete, accountKeys+"(LogicalName='new_erpkey')", "").want(t, http.StatusNoContent, "")
		send(t, s, http.MethodGet, "accounts(new_erpnumber='1')", "").want(t, http.StatusBadRequest, "")
	})
}

func TestTheRulesOfAlternateKeysAreThoseOfTheGuide(t *testing.T) {
	t.Parallel()
	wide := make([]string, 17)
	for i := range wide {
		wide[i] = fmt.Sprintf("c%d", i)
	}
	for name, c := range map[string]struct {
		profile Profile
		body    string
		status  int
		code    string
	}{
		"name taken":         {Online, keyBody("new_ErpKey", "fax"), 400, codeKeyNameExists},
		"columns taken":      {Online, keyBody("new_Other", "new_erpnumber"), 400, codeKeyColumnsExist},
		"17 columns":         {Online, keyBody("new_Wide", wide...), 400, codeKeyTooLarge},
		"1,000 bytes":        {Online, keyBody("new_Long", "address1_line1", "address1_line2"), 400, codeKeyTooLarge},
		"memo":               {Online, keyBody("new_Memo", "description"), 400, codeInvalidArgument},
		"money":              {Online, keyBody("new_Money", "revenue"), 400, codeInvalidArgument},
		"unknown column":     {Online, keyBody("new_Unknown", "nothere"), 400, codeInvalidArgument},
		"twice":              {Online, keyBody("new_Twice", "fax", "fax"), 400, codeInvalidArgument},
		"no columns":         {Online, `{"SchemaName":"new_None","KeyAttributes":[]}`, 400, codeInvalidArgument},
		"no name":            {Online, `{"KeyAttributes":["fax"]}`, 400, codeInvalidArgument},
		"name of two":        {Online, `{"SchemaName":"new_A","LogicalName":"new_b","KeyAttributes":["fax"]}`, 400, codeInvalidArgument},
		"columns as text":    {Online, `{"SchemaName":"new_A","KeyAttributes":"fax"}`, 400, codeInvalidPayload},
		"unknown member":     {Online, `{"SchemaName":"new_A","KeyColumns":["fax"]}`, 400, codeInvalidPayload},
		"no object":          {Online, `[]`, 400, codeInvalidPayload},
		"read-only, online":  {Online, keyBody("new_Made", "createdon"), 204, ""},
		"read-only, on prem": {OnPremises, keyBody("new_Made", "createdon"), 400, codeInvalidArgument},
		"lookup and choice":  {OnPremises, keyBody("new_Mixed", "primarycontactid", "industrycode", "numberofemployees"), 204, ""},
	} {
		s := newTestServer(t, Options{Profile: c.profile})
		a := send(t, s, http.MethodPost, accountKeys, c.body)
		if a.status != c.status || c.code != "" && a.code(t) != c.code && !(c.profile == OnPremises && a.code(t) == "") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestASecuredColumnCannotBePartOfAKey(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	if err := s.SecureColumn("account", "fax", true); err != nil {
		t.Fatal(err)
	}
	send(t, s, http.MethodPost, accountKeys, keyBody("new_FaxKey", "fax")).want(t, http.StatusBadRequest, codeKeySecured)
}

func TestATableHasTenKeysOnlineAndFiveOnPremises(t *testing.T) {
	t.Parallel()
	for profile, limit := range map[Profile]int{Online: 10, OnPremises: 5} {
		s := newTestServer(t, Options{Profile: profile})
		columns := []string{"name", "telephone1", "telephone2", "fax", "emailaddress1", "websiteurl", "address1_city", "address1_country", "address1_postalcode"}
		made := 2 // of the schema
		for i, c := range columns {
			if send(t, s, http.MethodPost, accountKeys, keyBody(fmt.Sprintf("new_K%d", i), c)).status == http.StatusNoContent {
				made++
			}
		}
		if made != limit {
			t.Errorf("%s: %d keys, want %d", profile, made, limit)
		}
	}
}

// definitionOfTable reads a definition as a client does that wants to change it.
func definitionOfTable(t failer, s *Server, table string) (id string, members map[string]json.RawMessage) {
	t.Helper()
	send(t, s, http.MethodGet, "EntityDefinitions(LogicalName='"+table+"')", "").want(t, http.StatusOK, "").decode(t, &members)
	if err := json.Unmarshal(members["MetadataId"], &id); err != nil {
		t.Fatal(err)
	}
	return id, members
}

func TestChangeTrackingIsEnabledByPutAndTakesEffectWhenPublished(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		s := newTestServer(t, Options{Assumptions: Assumptions{PublishAtOnce: atOnce}})
		tracked := func() int {
			return send(t, s, http.MethodGet, "equipments?$select=name", "", "Prefer: odata.track-changes").status
		}
		id, d := definitionOfTable(t, s, "equipment")
		d["ChangeTrackingEnabled"] = json.RawMessage("true")
		put := func() answer {
			return send(t, s, http.MethodPut, "EntityDefinitions("+id+")", string(marshal(d)), "MSCRM.MergeLabels: true")
		}
		put().want(t, http.StatusNoContent, "")
		if got := tracked(); (got == http.StatusOK) != atOnce {
			t.Errorf("at once %v: tracked query answers %d before it is published", atOnce, got)
		}
		send(t, s, http.MethodPost, "PublishAllXml", "").want(t, http.StatusNoContent, "")
		if got := tracked(); got != http.StatusOK {
			t.Errorf("tracked query answers %d after it is published", got)
		}
		if _, now := definitionOfTable(t, s, "equipment"); string(now["ChangeTrackingEnabled"]) != "true" {
			t.Error("the definition does not show it")
		}
		d["ChangeTrackingEnabled"] = json.RawMessage("false")
		put().want(t, http.StatusBadRequest, codeInvalidArgument)
	}
}

func TestPublishXmlPublishesTheTablesItNames(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id, d := definitionOfTable(t, s, "equipment")
	d["ChangeTrackingEnabled"] = json.RawMessage("true")
	send(t, s, http.MethodPut, "EntityDefinitions("+id+")", string(marshal(d))).want(t, http.StatusNoContent, "")
	publish := func(table string) {
		send(t, s, http.MethodPost, "PublishXml", `{"ParameterXml":"<importexportxml><entities><entity>`+table+`</entity></entities></importexportxml>"}`).want(t, http.StatusNoContent, "")
	}
	publish("account")
	if _, now := definitionOfTable(t, s, "equipment"); string(now["ChangeTrackingEnabled"]) != "false" {
		t.Error("published with another table")
	}
	publish("equipment")
	if _, now := definitionOfTable(t, s, "equipment"); string(now["ChangeTrackingEnabled"]) != "true" {
		t.Error("not published")
	}
	send(t, s, http.MethodPost, "PublishXml", `{"ParameterXml":"x"}`).want(t, http.StatusBadRequest, "")
}

func TestAPutOfADefinitionChangesNothingSilently(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	id, whole := definitionOfTable(t, s, "equipment")
	for name, c := range map[string]struct {
		change func(map[string]json.RawMessage)
		status int
	}{
		"as it was":          {func(map[string]json.RawMessage) {}, 204},
		"another caption":    {func(d map[string]json.RawMessage) { d["DisplayName"] = json.RawMessage(`{"LocalizedLabels":[]}`) }, 204},
		"a part":             {func(d map[string]json.RawMessage) { delete(d, "OwnershipType") }, 400},
		"another set":        {func(d map[string]json.RawMessage) { d["EntitySetName"] = json.RawMessage(`"tools"`) }, 501},
		"another owner":      {func(d map[string]json.RawMessage) { d["OwnershipType"] = json.RawMessage(`"UserOwned"`) }, 501},
		"an unknown member":  {func(d map[string]json.RawMessage) { d["Colour"] = json.RawMessage(`1`) }, 400},
		"tracking is a text": {func(d map[string]json.RawMessage) { d["ChangeTrackingEnabled"] = json.RawMessage(`"yes"`) }, 400},
	} {
		d := map[string]json.RawMessage{}
		for k, v := range whole {
			d[k] = v
		}
		c.change(d)
		if a := send(t, s, http.MethodPut, "EntityDefinitions("+id+")", string(marshal(d))); a.status != c.status {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, c.status)
		}
	}
}

func TestASchemaChangeVoidsDeltaTokensOnRequest(t *testing.T) {
	t.Parallel()
	for _, expire := range []bool{false, true} {
		s := newTestServer(t, Options{ExpireOnSchemaChange: expire})
		link := send(t, s, http.MethodGet, "accounts?$select=name", "", "Prefer: odata.track-changes").page(t).Delta
		send(t, s, http.MethodPost, accountKeys, keyBody("new_FaxKey", "fax")).want(t, http.StatusNoContent, "")
		want := http.StatusOK
		if expire {
			want = http.StatusBadRequest
		}
		if a := follow(t, s, link); a.status != want {
			t.Errorf("expire %v: the old token answers %d, want %d", expire, a.status, want)
		}
	}
}

func TestDefinitionsRefuseOtherWrites(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodPost, "EntityDefinitions", 501},
		{http.MethodPost, "EntityDefinitions(LogicalName='account')/Attributes", 501},
		{http.MethodDelete, "EntityDefinitions(LogicalName='account')", 501},
		{http.MethodPatch, "EntityDefinitions(LogicalName='account')", 405},
		{http.MethodPost, "EntityDefinitions(LogicalName='nothere')/Keys", 404},
		{http.MethodDelete, accountKeys + "(LogicalName='nothere')", 404},
		{http.MethodPut, "$metadata", 405},
		{http.MethodGet, "PublishAllXml", 405},
		{http.MethodGet, "ReactivateEntityKey", 405},
		{http.MethodGet, "GlobalOptionSetDefinitions", 501},
		{http.MethodGet, "RelationshipDefinitions", 501},
	} {
		if a := send(t, s, c.method, c.path, "{}"); a.status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.status, a.body, c.status)
		}
	}
	err := s.atomically(func(h http.Handler) error {
		for _, path := range []string{accountKeys, "PublishAllXml", "PublishXml", "ReactivateEntityKey"} {
			if a := sendTo(h, http.MethodPost, path, "{}"); a.status != http.StatusNotImplemented {
				t.Errorf("%s in a change set: %d", path, a.status)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestIndexJobsGoOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for i, wait := range []time.Duration{0, 40 * time.Second, 2 * time.Minute} {
			s, err := New(Options{KeyJobDelay: time.Minute, Data: dir})
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				send(t, s, http.MethodPost, accountKeys, keyBody("new_FaxKey", "fax")).want(t, http.StatusNoContent, "")
			}
			time.Sleep(wait)
			synctest.Wait()
			want := []string{"Pending", "InProgress", "Active"}[i]
			if got := readKey(t, s, "account", "new_faxkey").EntityKeyIndexStatus; got != want {
				t.Errorf("after %v: %s, want %s", wait, got, want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAClosedServerEndsItsIndexJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{KeyJobDelay: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		send(t, s, http.MethodPost, accountKeys, keyBody("new_FaxKey", "fax")).want(t, http.StatusNoContent, "")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := readKey(t, s, "account", "new_faxkey").EntityKeyIndexStatus; got != string(schema.KeyPending) {
			t.Errorf("status %s, want Pending", got)
		}
	})
}
