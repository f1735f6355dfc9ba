package sim

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// property answers requests for one column of a record, or for the reference a
// lookup holds (nav/$ref).
func (s *Server) property(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	name := res.rest[0]
	if len(res.rest) == 2 && res.rest[1] == "$ref" {
		return s.reference(w, r, res, name)
	}
	if len(res.rest) > 1 {
		return notSimulated("the path segment '%s'.", shorten(res.rest[1]))
	}
	if message, bound := strings.CutPrefix(name, "Microsoft.Dynamics.CRM."); bound {
		return notSimulated("the function or action '%s'.", shorten(message))
	}
	i, ok := res.def.byRead[name]
	if !ok {
		return s.navigate(w, r, res, name)
	}
	switch r.Method {
	case http.MethodGet:
		return s.getProperty(w, r, res, i)
	case http.MethodPut:
		body, e := s.readBody(w, r)
		if e != nil {
			return e
		}
		raw, e := memberOf(body, "value")
		if e != nil {
			return e
		}
		return s.setMember(w, r, res, name, raw)
	case http.MethodDelete:
		return s.setMember(w, r, res, name, jsontext.Value("null"))
	}
	return methodNotAllowed(r)
}

func (s *Server) getProperty(w http.ResponseWriter, r *http.Request, res resource, i int) *apiError {
	if _, e := s.parseQuery(res.def, r.URL.RawQuery); e != nil {
		return e
	}
	var found *row
	s.view(r.Context(), func() { found = s.findRow(res) })
	if found == nil {
		return notFound(res.def, res.key)
	}
	lit := found.literal(res.def, found.unpack(res.def, nil), i)
	if lit == "null" || res.def.isSecured(i) {
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	context := s.apiRoot(r) + "$metadata#" + res.def.EntitySet + "(" + found.id.String() + ")/" + res.def.Columns[i].ReadName()
	writeJSON(w, http.StatusOK, []byte(`{"@odata.context":`+jsonText(context)+`,"value":`+lit+`}`))
	return nil
}

// reference reads, sets or clears a lookup: GET, PUT with {"@odata.id": URL}, or
// DELETE; or takes part in a collection (see associate).
func (s *Server) reference(w http.ResponseWriter, r *http.Request, res resource, name string) *apiError {
	navs := res.def.byNav[name]
	if len(navs) == 0 {
		property, predicate, _ := strings.Cut(name, "(")
		if rel := s.related(res.def, property); rel != nil {
			return s.associate(w, r, res, rel, predicate)
		}
		return notFoundSegment(name)
	}
	switch r.Method {
	case http.MethodGet:
		return s.getReference(w, r, res, navs)
	case http.MethodDelete:
		return s.setMember(w, r, res, name+"@odata.bind", jsontext.Value("null"))
	case http.MethodPut:
		body, e := s.readBody(w, r)
		if e != nil {
			return e
		}
		raw, e := memberOf(body, "@odata.id")
		if e != nil {
			return e
		}
		return s.setMember(w, r, res, name+"@odata.bind", raw)
	}
	return methodNotAllowed(r)
}

// setMember updates the record with one member of a body. The record must exist.
func (s *Server) setMember(w http.ResponseWriter, r *http.Request, res resource, member string, raw jsontext.Value) *apiError {
	if _, e := s.parseQuery(res.def, r.URL.RawQuery); e != nil {
		return e
	}
	q := &writeRequest{table: res.table, key: res.key, method: r.Method, ifMatch: conditionHeader(r.Header, "If-Match")}
	if q.ifMatch == "" {
		q.ifMatch = "*"
	}
	var e *apiError
	if q.caller, e = s.caller(r); e != nil {
		return e
	}
	e = s.parseMember(res.def, &q.body, member, raw)
	e = s.update(r.Context(), func(x *tx) *apiError {
		if e != nil {
			x.logRefusal(x.logAttempt(q), e)
			return e
		}
		_, failed := x.write(q)
		return failed
	})
	if e != nil {
		return e
	}
	w.Header().Set("OData-Version", "4.0")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// memberOf returns the named member of a JSON object.
func memberOf(body []byte, name string) (jsontext.Value, *apiError) {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return nil, badJSON()
	}
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			return nil, badJSON()
		}
		if tok.Kind() == '}' {
			return nil, invalidPayload("The request body lacks the property '%s'.", name)
		}
		member := tok.String()
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, badJSON()
		}
		if member == name {
			return bytes.Clone(raw), nil
		}
	}
}
