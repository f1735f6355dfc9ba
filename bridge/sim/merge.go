package sim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cebridge/schema"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// mergeRequest is what the action Merge is called with.
type mergeRequest struct {
	table               *table
	master, subordinate uuid.UUID
	// content is what the master is to have afterwards.
	content patch
	caller  uuid.UUID
}

// merge answers the action Merge: the subordinate becomes inactive, is marked as merged
// and names its master, which takes over UpdateContent. Related records are not moved.
// Source: Web API reference, "Merge action"; developer guide, "Merge table rows".
func (s *Server) merge(w http.ResponseWriter, r *http.Request) *apiError {
	q, e := s.parseMerge(w, r)
	if e != nil {
		return e
	}
	if e := s.unit(r.Context(), func(x *tx) *apiError { return x.merge(q) }); e != nil {
		return e
	}
	w.Header().Set("OData-Version", "4.0")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) parseMerge(w http.ResponseWriter, r *http.Request) (*mergeRequest, *apiError) {
	if e := refuseOptions(parseParams(r.URL.RawQuery)); e != nil {
		return nil, e
	}
	q := &mergeRequest{}
	var e *apiError
	if q.caller, e = s.caller(r); e != nil {
		return nil, e
	}
	body, e := s.readBody(w, r)
	if e != nil {
		return nil, e
	}
	checks, e := memberOf(body, "PerformParentingChecks")
	switch {
	case e != nil:
		return nil, e
	case string(checks) == "true":
		return nil, notSimulated("the parameter PerformParentingChecks of 'Merge'.")
	case string(checks) != "false":
		return nil, invalidPayload("The parameter 'PerformParentingChecks' of 'Merge' is not a Boolean.")
	}
	var other *table
	if q.table, q.master, e = s.mergeRecord(body, "Target"); e != nil {
		return nil, e
	}
	if other, q.subordinate, e = s.mergeRecord(body, "Subordinate"); e != nil {
		return nil, e
	}
	if other != q.table || q.master == q.subordinate {
		return nil, &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "Target and Subordinate of 'Merge' must be two records of one table."}
	}
	content, absent := memberOf(body, "UpdateContent")
	if absent != nil || string(content) == "null" {
		return q, nil
	}
	if q.content, e = s.parsePatch(q.table.def.Load(), content); e != nil {
		return nil, e
	}
	q.content.id = nil // an empty GUID by documentation: it names no record
	return q, nil
}

// mergeRecord reads a parameter that is a record: its type and its primary id.
func (s *Server) mergeRecord(body []byte, name string) (*table, uuid.UUID, *apiError) {
	raw, e := memberOf(body, name)
	if e != nil {
		return nil, uuid.UUID{}, e
	}
	kind, e := memberOf(raw, "@odata.type")
	if e != nil {
		return nil, uuid.UUID{}, e
	}
	text, _ := textOf(kind)
	t := s.catalogNow().byName[strings.TrimPrefix(strings.TrimPrefix(text, "#"), "Microsoft.Dynamics.CRM.")]
	if t == nil || mergeColumns(t.def.Load()) == nil {
		return nil, uuid.UUID{}, &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "The records of '" + shorten(text) + "' cannot be merged."}
	}
	var id jsontext.Value
	if id, e = memberOf(raw, t.def.Load().PrimaryID); e != nil {
		return nil, uuid.UUID{}, e
	}
	text, _ = textOf(id)
	if !schema.IsGUID(text) {
		return nil, uuid.UUID{}, invalidPayload("The parameter '%s' of 'Merge' names no record.", name)
	}
	return t, uuid.MustParse(text), nil
}

// mergeColumns are the places of merged and masterid; nil where the table has not both.
func mergeColumns(d *tableDef) []int {
	at := []int{d.column("merged"), d.column("masterid")}
	if slices.Contains(at, -1) || d.state < 0 {
		return nil
	}
	return at
}

func (x *tx) merge(q *mergeRequest) *apiError {
	d := q.table.def.Load()
	at := mergeColumns(d)
	var rows [2]*row
	for i, id := range []uuid.UUID{q.master, q.subordinate} {
		if rows[i] = q.table.rows[id]; rows[i] == nil {
			return notFound(d, &recordKey{byID: true, id: id})
		}
		if cells := rows[i].unpack(d, nil); cells[d.state] != "0" || cells[at[0]] == "true" {
			return &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: "The record " + id.String() + " of '" + d.LogicalName + "' is inactive or merged and cannot be merged."}
		}
	}
	change := &writeRequest{table: q.table, key: &recordKey{byID: true, id: q.master}, ifMatch: "*", body: q.content, caller: q.caller}
	if _, e := x.write(change); e != nil {
		return e
	}
	gone := &writeRequest{table: q.table, key: &recordKey{byID: true, id: q.subordinate}, ifMatch: "*", caller: q.caller}
	attempt := x.logAttempt(gone)
	cells := rows[1].unpack(d, make([]string, len(d.Columns)))
	cells[at[0]] = "true"
	setLookup(d, cells, at[1], d.LogicalName, q.master)
	cells[d.state] = "1"
	e := settleStatus(d, cells, true)
	if e == nil {
		x.derive(d, cells, q.caller, false)
		var r *row
		if r, e = x.put(q.table, rows[1].id, rows[1], cells); e == nil {
			x.announce(messageUpdate, gone, r)
			return nil
		}
	}
	x.logRefusal(attempt, e)
	return e
}

// Merge merges a record into another one of its table, as the action does.
func (s *Server) Merge(table, master, subordinate string) error {
	t, err := s.table(table)
	if err != nil {
		return err
	}
	if mergeColumns(t.def.Load()) == nil || !schema.IsGUID(master) || !schema.IsGUID(subordinate) || master == subordinate {
		return fmt.Errorf("simulator: merge %s into %s: not two records of a table that merges (%s)", subordinate, master, table)
	}
	q := &mergeRequest{table: t, master: uuid.MustParse(master), subordinate: uuid.MustParse(subordinate), caller: wellKnown.user}
	if e := s.unit(context.Background(), func(x *tx) *apiError { return x.merge(q) }); e != nil {
		return fmt.Errorf("simulator: merge %s into %s: %w", subordinate, master, e)
	}
	return nil
}
