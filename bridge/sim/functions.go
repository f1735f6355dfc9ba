package sim

import (
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// serverVersion is what RetrieveVersion answers.
func (s *Server) serverVersion() string {
	if s.opts.Profile == OnPremises {
		return "9.1.0.643"
	}
	return "9.2.24061.184"
}

func (s *Server) whoAmI(w http.ResponseWriter, r *http.Request) *apiError {
	caller, e := s.caller(r)
	if e != nil {
		return e
	}
	unit := wellKnown.businessUnit
	s.view(r.Context(), func() {
		t := s.catalogNow().byName["systemuser"]
		if t == nil || t.rows[caller] == nil {
			return
		}
		d := t.def.Load()
		if i := d.column("businessunitid"); i >= 0 {
			if _, id, ok := lookupTarget(&d.Columns[i], t.rows[caller].unpack(d, nil)[i]); ok {
				unit = id
			}
		}
	})
	writeJSON(w, http.StatusOK, marshal(struct {
		Context        string `json:"@odata.context"`
		BusinessUnitId string
		UserId         string
		OrganizationId string
	}{s.apiRoot(r) + "$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", unit.String(), caller.String(), wellKnown.organization.String()}))
	return nil
}

func (s *Server) retrieveVersion(w http.ResponseWriter, r *http.Request) *apiError {
	writeJSON(w, http.StatusOK, marshal(struct {
		Context string `json:"@odata.context"`
		Version string
	}{s.apiRoot(r) + "$metadata#Microsoft.Dynamics.CRM.RetrieveVersionResponse", s.serverVersion()}))
	return nil
}

// endpointCollection is how the Web API writes a dictionary of endpoints.
type endpointCollection struct {
	Count      int
	IsReadOnly bool
	Keys       []string
	Values     []string
}

// retrieveOrganization answers every access type alike: there is one organization.
// The members are those of the OrganizationDetail complex type; the four ids of
// the cloud are online only. Source: Web API reference, RetrieveCurrentOrganization.
func (s *Server) retrieveOrganization(w http.ResponseWriter, r *http.Request) *apiError {
	type detail struct {
		OrganizationId, FriendlyName, OrganizationVersion string
		EnvironmentId                                     string `json:",omitempty"`
		DatacenterId                                      string `json:",omitempty"`
		Geo                                               string `json:",omitempty"`
		TenantId                                          string `json:",omitempty"`
		UrlName, UniqueName                               string
		Endpoints                                         endpointCollection
		State                                             string
	}
	name, root := s.opts.Organization, s.apiRoot(r)
	site := root[:strings.Index(root, "/api/data/")+1]
	d := detail{
		OrganizationId: wellKnown.organization.String(), FriendlyName: name, OrganizationVersion: s.serverVersion(),
		UrlName: name, UniqueName: name, State: "Enabled",
		Endpoints: endpointCollection{
			Count:  3,
			Keys:   []string{"WebApplication", "OrganizationService", "OrganizationDataService"},
			Values: []string{site, site + "XRMServices/2011/Organization.svc", site + "XRMServices/2011/OrganizationData.svc"},
		},
	}
	if s.opts.Profile == Online {
		d.EnvironmentId, d.DatacenterId, d.Geo = cloudID("environment"), cloudID("datacenter"), "NA"
		d.TenantId = cloudID("tenant")
	}
	writeJSON(w, http.StatusOK, marshal(struct {
		Context string `json:"@odata.context"`
		Detail  detail
	}{root + "$metadata#Microsoft.Dynamics.CRM.RetrieveCurrentOrganizationResponse", d}))
	return nil
}

// cloudID is the id of something that the organization belongs to.
func cloudID(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("simulator/"+name)).String()
}

// serviceDocument lists the entity sets.
func (s *Server) serviceDocument(w http.ResponseWriter, r *http.Request) *apiError {
	type set struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
		URL  string `json:"url"`
	}
	doc := struct {
		Context string `json:"@odata.context"`
		Value   []set  `json:"value"`
	}{Context: s.apiRoot(r) + "$metadata"}
	for _, t := range s.catalog() {
		doc.Value = append(doc.Value, set{Name: t.EntitySet, Kind: "EntitySet", URL: t.EntitySet})
	}
	writeJSON(w, http.StatusOK, marshal(doc))
	return nil
}
