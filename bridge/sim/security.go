package sim

import "net/http"

// privilegesFunction tells what a user may do with secured columns. Source: Web API
// reference, RetrievePrincipalAttributePrivileges and the complex type
// AttributePrivilege; that columns without any permission are left out is an assumption.
const privilegesFunction = "Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges"

// isPrivilegesCall tells whether a path is a call of that function.
func isPrivilegesCall(res resource) bool {
	return res.def.LogicalName == "systemuser" && (res.rest[0] == privilegesFunction || res.rest[0] == privilegesFunction+"()")
}

// attributePrivileges lists what the caller may do with secured columns. There is one
// profile: it allows everything or, for a column taken away, nothing.
func (s *Server) attributePrivileges(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	if e := refuseOptions(parseParams(r.URL.RawQuery)); e != nil {
		return e
	}
	type privilege struct {
		AttributeId                   metaGUID
		CanCreate, CanRead, CanUpdate int
	}
	list := []privilege{}
	var failed *apiError
	s.view(r.Context(), func() {
		if !res.key.byID || res.table.rows[res.key.id] == nil {
			failed = &apiError{Status: http.StatusNotFound, Code: codeNotFound, Message: "systemuser With Id = " + res.key.id.String() + " Does Not Exist"}
			return
		}
		for _, t := range s.catalogNow().tables {
			d := t.def.Load()
			for i := range d.Columns {
				if d.isGuarded(i) && !d.isSecured(i) {
					list = append(list, privilege{metadataID("column", d.LogicalName, d.Columns[i].LogicalName), 4, 4, 4})
				}
			}
		}
	})
	if failed != nil {
		return failed
	}
	writeJSON(w, http.StatusOK, marshal(struct {
		Context             string `json:"@odata.context"`
		AttributePrivileges []privilege
	}{s.apiRoot(r) + "$metadata#Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivilegesResponse", list}))
	return nil
}

// guarded tells whether column-level security is on for a column.
func (s *Server) guarded(name, column string) bool {
	t, err := s.table(name)
	if err != nil {
		return false
	}
	d := t.def.Load()
	return d.isGuarded(d.column(column))
}
