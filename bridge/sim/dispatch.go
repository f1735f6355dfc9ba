package sim

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// dispatch answers one API request, without faults: also those inside a $batch.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("REQ_ID", uuid.NewString())
	if s.opts.Profile == Online {
		w.Header().Set("x-ms-service-request-id", uuid.NewString())
		s.rateHeaders(w.Header(), r)
	}
	version, rest, ok := s.splitPath(r)
	switch {
	case !ok && version == "":
		s.writeError(w, r, pageError(http.StatusNotFound, "404 - File or directory not found."))
		return
	case !ok || version == "v9.2" && s.opts.Profile == OnPremises:
		s.writeError(w, r, &apiError{Status: http.StatusNotImplemented, Message: "The version '" + shorten(version) + "' of the API is not supported by this server."})
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, r.Header.Get(clientRequestHeader)))
	if e := s.route(w, r, rest); e != nil {
		s.writeError(w, r, e)
	}
}

// route answers requests below the API root, or returns the error to answer.
func (s *Server) route(w http.ResponseWriter, r *http.Request, rest string) *apiError {
	name := firstName(rest)
	if name != "$metadata" && name != "$batch" {
		if e := checkAccept(r); e != nil {
			return e
		}
	}
	switch name {
	case "":
		if rest != "" {
			return notFoundSegment("")
		}
		if e := refuseOptions(parseParams(r.URL.RawQuery)); e != nil {
			return e
		}
		return s.only(w, r, http.MethodGet, s.serviceDocument)
	case "$metadata", "EntityDefinitions":
		if strings.HasPrefix(rest, "%24") {
			rest = "$" + rest[3:]
		}
		s.serveMetadata(w, r, rest)
		return nil
	case "ReactivateEntityKey":
		return s.only(w, r, http.MethodPost, s.reactivateKey)
	case "PublishAllXml":
		return s.only(w, r, http.MethodPost, s.publishAll)
	case "PublishXml":
		return s.only(w, r, http.MethodPost, s.publishSome)
	case "Merge":
		return s.only(w, r, http.MethodPost, s.merge)
	case "GlobalOptionSetDefinitions", "RelationshipDefinitions", "ManagedPropertyDefinitions":
		return notSimulated("the collection %s.", name)
	case "$batch":
		s.serveBatch(w, r)
		return nil
	case "WhoAmI":
		return s.function(w, r, rest, name, s.whoAmI)
	case "RetrieveVersion":
		return s.function(w, r, rest, name, s.retrieveVersion)
	case "RetrieveCurrentOrganization":
		return s.function(w, r, rest, name, s.retrieveOrganization)
	}
	res, e := s.parseResource(rest)
	if e != nil {
		return e
	}
	if e := s.revoked(r, res.table, res.def); e != nil {
		return e
	}
	switch {
	case len(res.rest) > 0 && res.key == nil:
		if len(res.rest) == 1 && res.rest[0] == "$count" {
			return s.only(w, r, http.MethodGet, func(w http.ResponseWriter, r *http.Request) *apiError { return s.getCount(w, r, res) })
		}
		if name, ok := strings.CutPrefix(res.rest[0], "Microsoft.Dynamics.CRM."); ok && len(res.rest) == 1 {
			return s.multiple(w, r, res, name)
		}
		return notFoundSegment(res.rest[0])
	case len(res.rest) == 1 && isPrivilegesCall(res):
		return s.only(w, r, http.MethodGet, func(w http.ResponseWriter, r *http.Request) *apiError { return s.attributePrivileges(w, r, res) })
	case len(res.rest) > 0:
		return s.property(w, r, res)
	case res.key == nil && r.Method == http.MethodGet:
		return s.getCollection(w, r, res)
	case res.key == nil && r.Method == http.MethodPost:
		return s.postRecord(w, r, res)
	case res.key != nil && r.Method == http.MethodGet:
		return s.getRecord(w, r, res)
	case res.key != nil && r.Method == http.MethodPatch:
		return s.patchRecord(w, r, res)
	case res.key != nil && r.Method == http.MethodDelete:
		return s.deleteRecord(w, r, res)
	}
	return methodNotAllowed(r)
}

// firstName is the first segment of an escaped path, decoded, without a key.
func firstName(rest string) string {
	head, _, _ := strings.Cut(rest, "/")
	if text, err := url.PathUnescape(head); err == nil {
		head = text
	}
	name, _, _ := strings.Cut(head, "(")
	return name
}

// only answers with fn if the method fits.
func (s *Server) only(w http.ResponseWriter, r *http.Request, method string, fn func(http.ResponseWriter, *http.Request) *apiError) *apiError {
	if r.Method != method {
		return methodNotAllowed(r)
	}
	return fn(w, r)
}

func methodNotAllowed(r *http.Request) *apiError {
	return &apiError{
		Status: http.StatusMethodNotAllowed, Code: codeInvalidRequest,
		Message: "The requested resource does not support http method '" + shorten(r.Method) + "'.",
	}
}

// caller is the user a request acts as: the base user, unless one of the
// impersonation headers names another.
func (s *Server) caller(r *http.Request) (uuid.UUID, *apiError) {
	for header, column := range map[string]string{"MSCRMCallerID": "systemuserid", "CallerObjectId": "azureactivedirectoryobjectid"} {
		value := r.Header.Get(header)
		if value == "" {
			continue
		}
		id, err := uuid.Parse(value)
		found := uuid.UUID{}
		if err == nil {
			s.view(r.Context(), func() { found = s.findUser(column, id) })
		}
		if found == (uuid.UUID{}) {
			return found, &apiError{Status: http.StatusForbidden, Code: codeUserUnknown, Message: "The user specified by the header " + header + " is disabled or does not exist."}
		}
		return found, nil
	}
	return wellKnown.user, nil
}

func (s *Server) findUser(column string, id uuid.UUID) uuid.UUID {
	t := s.catalogNow().byName["systemuser"]
	if t == nil {
		return uuid.UUID{}
	}
	d := t.def.Load()
	i := d.column(column)
	if column == d.PrimaryID && t.rows[id] != nil {
		return id
	}
	var cells []string
	for _, r := range t.rows {
		if cells = r.unpack(d, cells); i >= 0 && i != d.id && cells[i] == guidLiteral(id) {
			return r.id
		}
	}
	return uuid.UUID{}
}
