package webapi

import (
	"context"
	"io"
	"net/http"
	"strings"

	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// Exists implements outbound.Source. Only the API's own word that this very record
// is not there counts as absent; every other failure is an error.
func (c *Client) Exists(ctx context.Context, q outbound.Query, id string) (bool, error) {
	if err := checkLookUp(q, id); err != nil {
		return false, err
	}
	err := c.do(ctx, c.existsCall(q.Table, id))
	if saysGone(outcome.Of(err), id) {
		return false, nil
	}
	return err == nil, err
}

// checkLookUp refuses what cannot stand in an address.
func checkLookUp(q outbound.Query, ids ...string) error {
	t := q.Table
	ok := t != nil && validName(t.EntitySet) && validName(t.PrimaryID)
	for _, id := range ids {
		ok = ok && schema.IsGUID(id)
	}
	if !ok {
		return &outcome.Error{Op: "GET", Verdict: outcome.Stop, Reason: outcome.Config,
			Message: "a record is asked for without a table or a GUID"}
	}
	return nil
}

// existsCall reads one record's id.
func (c *Client) existsCall(t *schema.Table, id string) *call {
	return &call{
		op: opExists, method: http.MethodGet, limit: c.maxBody,
		path: t.EntitySet + "(" + id + ")?$select=" + t.PrimaryID,
		name: t.EntitySet + "(" + id + ")",
		accept: func(status int, _ fields, body io.Reader) error {
			row, err := readObject(status, body)
			if err != nil {
				return err
			}
			if got := textOf(row[t.PrimaryID]); !strings.EqualFold(got, id) {
				return &malformed{"another record than the one asked for"}
			}
			return nil
		},
	}
}

// saysGone tells whether the API itself said that this record is not there: status
// 404 with the code of a record that does not exist, or, from servers that send no
// code, with its text naming the id. A text that names another record is no word
// about this one. A missing right answers 403 and is never taken for it. Source:
// the error list of the developer guide; recorded answers.
func saysGone(e *outcome.Error, id string) bool {
	if e == nil || e.Status != http.StatusNotFound || e.Reason != outcome.NotFound {
		return false
	}
	if named := textMissingByID.FindStringSubmatch(e.Message); named != nil {
		return (e.Code == codeNotThere || e.Code == "") && strings.EqualFold(named[2], id)
	}
	return e.Code == codeNotThere
}
