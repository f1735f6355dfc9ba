package webapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// search asks for the one record that a search means: its GUID, or "" when there is
// none. Two are a rejection. sending is called before each HTTP request.
func (c *Client) search(ctx context.Context, s *schema.Search, sending func()) (string, error) {
	if !validName(s.EntitySet) || !validName(s.PrimaryID) {
		return "", &outcome.Error{Op: "GET", Verdict: outcome.Reject, Reason: outcome.Config,
			Message: "the table to search has no entity set or primary id"}
	}
	var found []target
	call := &call{
		op: opResolve, method: http.MethodGet, path: s.Query(), name: searchName(s), limit: c.maxBody, inbound: true, sending: sending,
		accept: func(status int, _ fields, body io.Reader) error {
			var err error
			found, err = readTargets(status, body, s.PrimaryID)
			return err
		},
	}
	if err := c.do(ctx, call); err != nil {
		return "", err
	}
	switch {
	case len(found) == 0:
		return "", nil
	case len(found) > 1:
	case s.Merged == "" || !found[0].merged:
		return found[0].id, nil
	default:
		return c.goesOn(ctx, s, &found[0], sending)
	}
	return "", &outcome.Error{Op: call.title(), Verdict: outcome.Reject, Reason: outcome.Config, Equivalent: codeSeveralByKey,
		Message: "several records of " + s.Table + " have this " + strings.Join(s.Columns, ", ") + ": name more columns"}
}

// goesOn is the record that a merged one, which a write refers to, was merged into.
func (c *Client) goesOn(ctx context.Context, s *schema.Search, t *target, sending func()) (string, error) {
	last, err := c.follow(ctx, mergeCase{
		set: s.EntitySet, primaryID: s.PrimaryID, rule: s.Merged, what: "the record of " + s.Table + " that is referred to",
	}, t, sending)
	if err != nil {
		return "", err
	}
	c.measures.wentElsewhere(ctx, mergedLookup)
	return last.id, nil
}

// searchName names a search in errors, without the values it looks for.
func searchName(s *schema.Search) string {
	return s.EntitySet + " by " + strings.Join(s.Columns, ", ")
}

// notFound is the verdict on a reference that nothing answers to: it may still come.
func notFound(s *schema.Search) *outcome.Error {
	return &outcome.Error{Op: "GET " + searchName(s), Verdict: outcome.Park, Reason: outcome.MissingReference, Equivalent: codeNotThereByKey,
		Message: "no record of " + s.Table + " has this " + strings.Join(s.Columns, ", ")}
}

// readTargets reads the records in the answer to a query.
func readTargets(status int, body io.Reader, primaryID string) ([]target, error) {
	if status != http.StatusOK {
		return nil, &malformed{fmt.Sprintf("status %d where a list was promised", status)}
	}
	raw, err := readAll(body)
	if err != nil {
		return nil, err
	}
	answer, err := decodeObject(raw)
	if err != nil {
		return nil, err
	}
	var rows []map[string]json.RawMessage
	if json.Unmarshal(answer["value"], &rows) != nil || rows == nil {
		return nil, &malformed{"the answer to a query has no list of records"}
	}
	found := make([]target, len(rows))
	for i, row := range rows {
		t := &found[i]
		var ok bool
		if t.id, ok = parseGUID(row[primaryID]); !ok {
			return nil, &malformed{"a record in the answer has no " + primaryID}
		}
		t.readMerged(row)
	}
	return found, nil
}
