package sim

import "testing"

// What a request adds that the answer could not honour is refused, not dropped.
func TestFunctionsAndDocumentsRefuseWhatTheyDoNotTake(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for path, status := range map[string]int{
		"WhoAmI?$select=UserId":                              400,
		"WhoAmI?$filter=x":                                   400,
		"WhoAmI(x=1)":                                        404,
		"WhoAmI/x":                                           404,
		"WhoAmI?cache=1":                                     200,
		"RetrieveVersion(a=1)":                               404,
		"RetrieveVersion":                                    200,
		"RetrieveCurrentOrganization":                        404,
		"RetrieveCurrentOrganization()":                      404,
		"RetrieveCurrentOrganization(X=1)":                   404,
		"RetrieveCurrentOrganization(AccessType=@p1)":        400,
		"RetrieveCurrentOrganization(AccessType=@p1)?@p1=x":  400,
		"RetrieveCurrentOrganization(AccessType=@p1)?@p1='":  400,
		"RetrieveCurrentOrganization(AccessType='Nowhere')":  400,
		"RetrieveCurrentOrganization(AccessType='Internet')": 200,
		"RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')":       200,
		"RetrieveCurrentOrganization(AccessType=@p)?@p=Microsoft.Dynamics.CRM.EndpointAccessType'Default'": 200,
		"?$filter=x":                 400,
		"$metadata?$filter=x":        400,
		"$metadata?annotations=true": 200,
		"/accounts":                  404,
		"(1)":                        404,
	} {
		if a := send(t, s, "GET", path, ""); a.status != status {
			t.Errorf("%s: %d, want %d: %.200s", path, a.status, status, a.body)
		}
	}
}

func TestCallersThatTakeNoFormOfTheServerAreRefused(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for accept, status := range map[string]int{
		"":                                     200,
		"*/*":                                  200,
		"application/json":                     200,
		"application/json;odata.metadata=none": 200,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8":               200,
		"application/atom+xml, application/json;odata.metadata=minimal;q=0.5":           200,
		"application/json;odata.metadata=full, application/json;odata.metadata=minimal": 200,
		"application/json;odata.metadata=full":                                          501,
		"application/xml":                                                               415,
		"application/atom+xml,application/xml":                                          415,
	} {
		if a := send(t, s, "GET", "accounts", "", "Accept: "+accept); a.status != status {
			t.Errorf("%q: %d, want %d: %.200s", accept, a.status, status, a.body)
		}
	}
	send(t, s, "GET", "$metadata", "", "Accept: application/xml").want(t, 200, "")
	send(t, s, "GET", "accounts/$count", "", "Accept: text/plain").want(t, 200, "")
}
