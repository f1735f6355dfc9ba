package sim

import (
	"net/http"
	"strings"
)

// navigate answers what lies behind a navigation property of a record: the record
// that a lookup points at, or the collection of those that point here. Source:
// developer guide, "Retrieve a table row using the Web API".
func (s *Server) navigate(w http.ResponseWriter, r *http.Request, res resource, name string) *apiError {
	rel := s.related(res.def, name)
	navs := res.def.byNav[name]
	if rel == nil && len(navs) == 0 {
		return notFoundSegment(name)
	}
	if r.Method != http.MethodGet {
		return notSimulated("%s on the navigation property '%s'.", shorten(r.Method), name)
	}
	var from *row
	var to resource
	s.view(r.Context(), func() {
		if from = s.findRow(res); from != nil && rel == nil {
			to, _ = s.behind(res.def, from, navs)
		}
	})
	if from == nil {
		return notFound(res.def, res.key)
	}
	if rel != nil {
		d := rel.from.def.Load()
		to = resource{table: rel.from, def: d, within: rel.pointing(res.def, from.id), path: res.def.EntitySet + "(" + from.id.String() + ")/" + name}
		if e := s.revoked(r, to.table, to.def); e != nil {
			return e
		}
		return s.getCollection(w, r, to)
	}
	if to.table == nil {
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if e := s.revoked(r, to.table, to.def); e != nil {
		return e
	}
	return s.getRecord(w, r, to)
}

// behind is the record that a single-valued navigation property leads to. It
// needs the lock.
func (s *Server) behind(d *tableDef, from *row, navs []navigation) (to resource, ok bool) {
	cells := from.unpack(d, nil)
	for _, n := range navs {
		target, id, found := lookupTarget(&d.Columns[n.column], cells[n.column])
		t := s.catalogNow().byName[target]
		if found && target == n.target && t != nil && !d.isSecured(n.column) {
			return resource{table: t, def: t.def.Load(), key: &recordKey{byID: true, id: id}}, true
		}
	}
	return resource{}, false
}

// getReference answers GET of a lookup's $ref: the URL of the record it points at.
func (s *Server) getReference(w http.ResponseWriter, r *http.Request, res resource, navs []navigation) *apiError {
	if _, e := s.parseQuery(res.def, r.URL.RawQuery); e != nil {
		return e
	}
	var from *row
	var to resource
	s.view(r.Context(), func() {
		if from = s.findRow(res); from != nil {
			to, _ = s.behind(res.def, from, navs)
		}
	})
	switch {
	case from == nil:
		return notFound(res.def, res.key)
	case to.table == nil:
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	root := s.apiRoot(r)
	writeJSON(w, http.StatusOK, []byte(`{"@odata.context":`+jsonText(root+"$metadata#$ref")+`,"@odata.id":`+jsonText(root+to.def.EntitySet+"("+to.key.id.String()+")")+`}`))
	return nil
}

// associate serves name/$ref of a collection: POST {"@odata.id": URL} points the
// lookup of that record here; DELETE of name(id)/$ref, or of name/$ref?$id=URL,
// clears it. The lookup's own table is written, as by a PATCH of it. Source:
// developer guide, "Associate and disassociate table rows".
func (s *Server) associate(w http.ResponseWriter, r *http.Request, res resource, rel *related, predicate string) *apiError {
	q := &writeRequest{table: rel.from, method: http.MethodPatch, ifMatch: "*"}
	e := s.otherEnd(w, r, res, rel, predicate, q)
	if e == nil {
		e = s.revoked(r, rel.from, rel.from.def.Load())
	}
	if e == nil {
		q.caller, e = s.caller(r)
	}
	if e != nil {
		return e
	}
	property := rel.from.def.Load().navigationName(rel.column, res.def.LogicalName)
	bind := bindSet{column: rel.column, property: property, target: res.def.LogicalName, table: res.table, key: *res.key, clear: r.Method == http.MethodDelete}
	q.body.binds = []bindSet{bind}
	e = s.update(r.Context(), func(x *tx) *apiError {
		if bind.clear && !x.pointsHere(q, rel, res) {
			return notFound(rel.from.def.Load(), q.key)
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

// otherEnd finds the record whose lookup a request for a collection's $ref means.
func (s *Server) otherEnd(w http.ResponseWriter, r *http.Request, res resource, rel *related, predicate string, q *writeRequest) *apiError {
	var reference string
	switch {
	case r.Method == http.MethodPost && predicate == "":
		body, e := s.readBody(w, r)
		if e != nil {
			return e
		}
		raw, e := memberOf(body, "@odata.id")
		if e != nil {
			return e
		}
		text, ok := textOf(raw)
		if !ok {
			return invalidPayload("The value of '@odata.id' is not a URL.")
		}
		reference = text
	case r.Method == http.MethodDelete && predicate != "":
		k, e := parsePredicate(rel.from.def.Load(), strings.TrimSuffix(predicate, ")"))
		q.key = &k
		return e
	case r.Method == http.MethodDelete:
		ps := parseParams(r.URL.RawQuery)
		id, ok := ps.get("$id")
		if !ok || len(ps) != 1 {
			return invalidRequest("Disassociating a record of '%s' needs its URL in $id.", rel.name)
		}
		reference = id
	default:
		return methodNotAllowed(r)
	}
	t, k, e := s.parseReference(reference)
	if e == nil && t != rel.from {
		e = invalidPayload("The navigation property '%s' of '%s' does not lead to '%s'.", rel.name, res.def.typeName(), t.def.Load().typeName())
	}
	q.key = &k
	return e
}

// pointsHere tells whether the record of q points at that of res.
func (x *tx) pointsHere(q *writeRequest, rel *related, res resource) bool {
	here := x.s.findRow(res)
	d := rel.from.def.Load()
	there := rel.from.find(d, q.key, x.s.opts.Assumptions.CaseSensitiveKeys)
	if here == nil || there == nil {
		return false
	}
	return there.unpack(d, nil)[rel.column] == rel.pointing(res.def, here.id).cell
}
