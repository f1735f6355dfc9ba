package sim

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// codeUnexpected is the platform's UnExpected, which UpsertMultiple answers where
// a key stands both in @odata.id and in the body of a new record.
const codeUnexpected = "0x80040216"

// multiple answers set/Microsoft.Dynamics.CRM.NAME: CreateMultiple, UpdateMultiple
// and UpsertMultiple of {"Targets":[...]}, one transaction. Source: developer
// guide, "Use bulk operation messages"; online only (assumption: on premises the
// segment is unknown).
func (s *Server) multiple(w http.ResponseWriter, r *http.Request, res resource, name string) *apiError {
	if s.opts.Profile == OnPremises {
		return notFoundSegment("Microsoft.Dynamics.CRM." + name)
	}
	switch name {
	case "CreateMultiple", "UpdateMultiple", "UpsertMultiple":
	case "DeleteMultiple":
		return notSimulated("DeleteMultiple, which only elastic tables have.")
	default:
		return notSimulated("the function or action '%s'.", shorten(name))
	}
	if r.Method != http.MethodPost {
		return methodNotAllowed(r)
	}
	requests, e := s.multipleTargets(w, r, res, name)
	if e != nil {
		return e
	}
	ids := make([]uuid.UUID, 0, len(requests))
	e = s.unit(r.Context(), func(x *tx) *apiError {
		for _, q := range requests {
			if e := x.keyInBoth(q); e != nil {
				x.logRefusal(x.logAttempt(q), e)
				return e
			}
			done, e := x.write(q)
			if e != nil {
				return e
			}
			ids = append(ids, done.row.id)
		}
		return nil
	})
	if e != nil {
		return e
	}
	if name != "CreateMultiple" {
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	writeJSON(w, http.StatusOK, marshal(struct {
		Context string `json:"@odata.context"`
		Ids     []uuid.UUID
	}{s.apiRoot(r) + "$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse", ids}))
	return nil
}

// keyInBoth refuses a new record whose key stands in @odata.id and in the body: a
// live report has it fail on create and succeed on update. The switch is
// Assumptions.MultipleKeyInBody.
func (x *tx) keyInBoth(q *writeRequest) *apiError {
	if q.key == nil || q.key.byID || x.s.opts.Assumptions.MultipleKeyInBody {
		return nil
	}
	both := slices.ContainsFunc(q.body.sets, func(c cellSet) bool { return slices.Contains(q.key.key.columns, c.column) })
	if both && q.table.find(q.table.def.Load(), q.key, x.s.opts.Assumptions.CaseSensitiveKeys) == nil {
		return &apiError{Status: http.StatusBadRequest, Code: codeUnexpected, Message: "An unexpected error occurred: an item with the same key has already been added."}
	}
	return nil
}

// multipleTargets parses the body into writes.
func (s *Server) multipleTargets(w http.ResponseWriter, r *http.Request, res resource, name string) ([]*writeRequest, *apiError) {
	if _, e := s.parseQuery(res.def, r.URL.RawQuery); e != nil {
		return nil, e
	}
	caller, e := s.caller(r)
	if e != nil {
		return nil, e
	}
	body, e := s.readBody(w, r)
	if e != nil {
		return nil, e
	}
	targets, e := memberOf(body, "Targets")
	if e != nil {
		return nil, e
	}
	dec := jsontext.NewDecoder(bytes.NewReader(targets))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '[' {
		return nil, invalidPayload("The parameter 'Targets' of '%s' is not a collection of records.", name)
	}
	var requests []*writeRequest
	for dec.PeekKind() == '{' {
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, badJSON()
		}
		q, e := s.multipleTarget(res, name, bytes.Clone(raw))
		if e != nil {
			return nil, e
		}
		q.caller, q.method = caller, r.Method
		requests = append(requests, q)
	}
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != ']' {
		return nil, badJSON()
	}
	if len(requests) == 0 {
		return nil, &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "The parameter 'Targets' of '" + name + "' is empty."}
	}
	return requests, nil
}

// multipleTarget parses one record: its type, its address and its columns.
func (s *Server) multipleTarget(res resource, name string, raw jsontext.Value) (*writeRequest, *apiError) {
	kind, e := memberOf(raw, "@odata.type")
	text, isText := textOf(kind)
	if e != nil || !isText || strings.TrimPrefix(text, "#") != res.def.typeName() {
		return nil, invalidPayload("Each record of 'Targets' needs the annotation '@odata.type' with the value '%s'.", res.def.typeName())
	}
	q := &writeRequest{table: res.table}
	if q.body, e = s.parsePatch(res.def, raw); e != nil {
		return nil, e
	}
	if address, absent := memberOf(raw, "@odata.id"); absent == nil && name != "CreateMultiple" {
		url, _ := textOf(address)
		t, k, e := s.parseReference(url)
		if e != nil {
			return nil, e
		}
		if t != res.table {
			return nil, invalidPayload("The record '%s' is not one of '%s'.", shorten(url), res.def.EntitySet)
		}
		q.key = &k
	} else if q.body.id != nil && name != "CreateMultiple" {
		q.key = &recordKey{byID: true, id: *q.body.id}
	}
	if name == "UpdateMultiple" {
		if q.key == nil {
			return nil, &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "Each record of 'Targets' needs '" + res.def.PrimaryID + "' or '@odata.id'."}
		}
		q.ifMatch = "*"
	}
	return q, nil
}
