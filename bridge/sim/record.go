package sim

import (
	"net/http"

	"github.com/google/uuid"
)

// getRecord answers GET of one record by id or alternate key.
func (s *Server) getRecord(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	q, e := s.parseQuery(res.def, r.URL.RawQuery, "$select", "$expand")
	if e != nil {
		return e
	}
	if e := s.revokedExpand(r, q); e != nil {
		return e
	}
	var found *row
	s.view(r.Context(), func() { found = s.findRow(res) })
	if found == nil {
		return notFound(res.def, res.key)
	}
	if tag := conditionHeader(r.Header, "If-None-Match"); tag != "" && (tag == "*" || tag == found.etag()) {
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("ETag", found.etag())
	s.sendRow(w, r, res.def, q, found, http.StatusOK)
	return nil
}

func (s *Server) findRow(res resource) *row {
	return res.table.find(res.def, res.key, s.opts.Assumptions.CaseSensitiveKeys)
}

// sendRow answers with one record.
func (s *Server) sendRow(w http.ResponseWriter, r *http.Request, d *tableDef, q *query, found *row, status int) {
	b := append(make([]byte, 0, 1024), `{"@odata.context":`...)
	b = append(b, jsonText(s.apiRoot(r)+"$metadata#"+d.EntitySet+q.contextText()+"/$entity")...)
	b = append(b, ',')
	p := preferences(r)
	v := newRenderer(d, q.sel, s.newAnnotator(p))
	v.expand = s.newExpander(r, d, q, p)
	s.view(r.Context(), func() { b = v.row(b, found) })
	writeJSON(w, status, append(b, '}'))
}

// postRecord creates a record.
func (s *Server) postRecord(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	return s.writeRecord(w, r, res, false)
}

// patchRecord is an upsert by id or alternate key; If-Match: * makes it an update,
// If-None-Match: * a create.
func (s *Server) patchRecord(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	return s.writeRecord(w, r, res, false)
}

func (s *Server) deleteRecord(w http.ResponseWriter, r *http.Request, res resource) *apiError {
	return s.writeRecord(w, r, res, true)
}

// writeRecord makes one write and answers it.
func (s *Server) writeRecord(w http.ResponseWriter, r *http.Request, res resource, del bool) *apiError {
	q := &writeRequest{
		table: res.table, key: res.key, delete: del, method: r.Method,
		ifMatch: conditionHeader(r.Header, "If-Match"), ifNoneMatch: conditionHeader(r.Header, "If-None-Match"),
	}
	sel, e := s.prepareWrite(w, r, res.def, q)
	var result writeResult
	var held int64
	var before *row
	if e == nil && inTx(r.Context()) == nil {
		held, before = s.holdWrite(q)
	}
	e = s.update(r.Context(), func(x *tx) *apiError {
		if e != nil {
			x.logRefusal(x.logAttempt(q), e)
			return e
		}
		x.release(q, held, before)
		var failed *apiError
		result, failed = x.write(q)
		return failed
	})
	if e != nil {
		return e
	}
	w.Header().Set("OData-Version", "4.0")
	if del {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	s.answerWrite(w, r, res, sel, result)
	return nil
}

// prepareWrite reads and parses everything that needs no lock.
func (s *Server) prepareWrite(w http.ResponseWriter, r *http.Request, d *tableDef, q *writeRequest) (selection, *apiError) {
	// An $expand is checked and has no effect on a representation. Source: "Update
	// and delete table rows".
	parsed, e := s.parseQuery(d, r.URL.RawQuery, "$select", "$expand")
	if e != nil {
		return selection{}, e
	}
	if q.ifNoneMatch != "" && q.ifNoneMatch != "*" {
		return selection{}, invalidRequest("The header If-None-Match with the value '%s' is not valid for a write.", shorten(q.ifNoneMatch))
	}
	if q.caller, e = s.caller(r); e != nil {
		return selection{}, e
	}
	if q.delete {
		return parsed.sel, nil
	}
	body, e := s.readBody(w, r)
	if e != nil {
		return selection{}, e
	}
	q.body, e = s.parsePatch(d, body)
	return parsed.sel, e
}

// answerWrite answers 204 with the record's URL, which repeats the key when the
// request used one; or 201/200 with the record if the caller wants it back.
func (s *Server) answerWrite(w http.ResponseWriter, r *http.Request, res resource, sel selection, result writeResult) {
	if preferences(r).representation {
		status := http.StatusOK
		if result.created {
			status = http.StatusCreated
		}
		w.Header().Set("Preference-Applied", "return=representation")
		w.Header().Set("ETag", result.row.etag())
		s.sendRow(w, r, res.def, &query{sel: sel}, result.row, status)
		return
	}
	url := s.recordURL(r, res, result.row.id)
	w.Header().Set("OData-EntityId", url)
	w.Header().Set("Location", url)
	w.WriteHeader(http.StatusNoContent)
}

// recordURL is how the answer names the record.
func (s *Server) recordURL(r *http.Request, res resource, id uuid.UUID) string {
	if res.key != nil && !res.key.byID {
		return s.apiRoot(r) + res.segment
	}
	return s.apiRoot(r) + res.def.EntitySet + "(" + id.String() + ")"
}
