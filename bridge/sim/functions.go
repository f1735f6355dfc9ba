package sim

import (
	"net/http"
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

// retrieveOrganization takes its parameter as given: there is one organization.
func (s *Server) retrieveOrganization(w http.ResponseWriter, r *http.Request) *apiError {
	type detail struct {
		OrganizationId, FriendlyName, OrganizationVersion, UrlName, UniqueName, State string
	}
	name := s.opts.Organization
	writeJSON(w, http.StatusOK, marshal(struct {
		Context string `json:"@odata.context"`
		Detail  detail
	}{
		s.apiRoot(r) + "$metadata#Microsoft.Dynamics.CRM.RetrieveCurrentOrganizationResponse",
		detail{wellKnown.organization.String(), name, s.serverVersion(), name, name, "Enabled"},
	}))
	return nil
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
