package sim

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzDefinitions sends any request about definitions, and about webhooks, to a
// server without faults: no answer is a server error and none is a panic.
func FuzzDefinitions(f *testing.F) {
	for _, seed := range []struct{ method, path, body string }{
		{"POST", "EntityDefinitions(LogicalName='account')/Keys", `{"SchemaName":"new_K","KeyAttributes":["fax"]}`},
		{"POST", "EntityDefinitions(LogicalName='account')/Keys", `{"SchemaName":1,"KeyAttributes":[null]}`},
		{"DELETE", "EntityDefinitions(LogicalName='account')/Keys(LogicalName='new_erpkey')", ``},
		{"PUT", "EntityDefinitions(LogicalName='account')", `{"MetadataId":"x","LogicalName":"account"}`},
		{"PUT", "EntityDefinitions(00000000-0000-0000-0000-000000000000)", `null`},
		{"POST", "ReactivateEntityKey", `{"EntityLogicalName":"account","EntityKeyLogicalName":"new_erpkey"}`},
		{"POST", "PublishXml", `{"ParameterXml":"<importexportxml><entity></entity>"}`},
		{"POST", "PublishAllXml", ``},
		{"GET", "EntityDefinitions(LogicalName='account')/Keys(LogicalName='new_erpkey')?$select=AsyncJob", ``},
		{"GET", "$metadata?annotations=true", ``},
		{"POST", "serviceendpoints", `{"contract":8,"url":"http://x","authtype":5,"authvalue":"<settings><setting name='a' value='b'/></settings>"}`},
		{"POST", "sdkmessageprocessingsteps", `{"mode":1,"stage":40}`},
		{"PATCH", "EntityDefinitions", `{`},
	} {
		f.Add(seed.method, seed.path, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.Parse("http://org.example/api/data/v9.2/" + path)
		if err != nil || strings.ContainsAny(method, " \r\n\t") || method == "" {
			return
		}
		s, err := New(Options{KeyJobDelay: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := httptest.NewRequest(http.MethodGet, "http://org.example/", strings.NewReader(body))
		r.Method, r.URL = method, u
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	})
}
