package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

const (
	// findChunk is how many records one query names: a condition each, about 50
	// characters, so that the address stays below 4 KiB, half of what proxies take by
	// default. The service itself takes 32 KiB, and 500 conditions.
	findChunk = 50
	// lookupAnnotation names the table that a lookup's value points at. Source:
	// developer guide, "Select columns using OData", lookup property data.
	lookupAnnotation = "Microsoft.Dynamics.CRM.lookuplogicalname"
)

// Find implements outbound.Finder: up to findChunk records are one GET; more are one
// $batch of such GETs, so that a thousand records cost one request.
func (c *Client) Find(ctx context.Context, q outbound.Query, ids []string) (map[string]outbound.Found, error) {
	if len(ids) > outbound.MaxFind {
		return nil, &outcome.Error{Op: "GET", Verdict: outcome.Stop, Reason: outcome.Config,
			Message: fmt.Sprintf("%d records are asked for at once, more than %d", len(ids), outbound.MaxFind)}
	}
	found := make(map[string]outbound.Found, len(ids))
	var gets []*call
	for from := 0; from < len(ids); from += findChunk {
		get, err := c.findCall(q, ids[from:min(from+findChunk, len(ids))], found)
		if err != nil {
			return nil, err
		}
		gets = append(gets, get)
	}
	switch len(gets) {
	case 0:
		return found, nil
	case 1:
		if err := c.do(ctx, gets[0]); err != nil {
			return nil, err
		}
	default:
		if err := c.doReads(ctx, gets); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// findCall is the query for some records, which adds what it reads to found.
func (c *Client) findCall(q outbound.Query, ids []string, found map[string]outbound.Found) (*call, error) {
	path, err := trackedQuery(q)
	if err != nil {
		return nil, err
	}
	var filter strings.Builder
	for i, id := range ids {
		if !schema.IsGUID(id) {
			return nil, &outcome.Error{Op: "GET", Verdict: outcome.Stop, Reason: outcome.Config,
				Message: "a record is asked for without a GUID"}
		}
		if i > 0 {
			filter.WriteString("%20or%20")
		}
		filter.WriteString(q.Table.PrimaryID + "%20eq%20" + id)
	}
	asked := make(map[string]bool, len(ids))
	for _, id := range ids {
		asked[strings.ToLower(id)] = true
	}
	return &call{
		op: opPage, method: http.MethodGet, path: path + "&$filter=" + filter.String(), name: q.Table.EntitySet,
		header: map[string]string{"Prefer": `odata.include-annotations="` + lookupAnnotation + `"`},
		limit:  c.maxBody,
		accept: func(status int, _ fields, body io.Reader) error {
			if status != http.StatusOK {
				return &malformed{fmt.Sprintf("status %d does not answer a query", status)}
			}
			raw, err := readAll(body)
			if err != nil {
				return err
			}
			return readFound(raw, q, asked, found)
		},
	}, nil
}

// readFound takes the rows out of an answer.
func readFound(raw []byte, q outbound.Query, asked map[string]bool, found map[string]outbound.Found) error {
	object, err := decodeObject(raw)
	if err != nil {
		return err
	}
	var rows []map[string]json.RawMessage
	if err := json.Unmarshal(object["value"], &rows); err != nil || rows == nil {
		return &malformed{"the answer has no list of rows"}
	}
	if object["@odata.nextLink"] != nil {
		return &malformed{"the rows of a query for a few records come in several pages"}
	}
	for _, row := range rows {
		id := strings.ToLower(textOf(row[q.Table.PrimaryID]))
		if !asked[id] {
			return &malformed{"another record than those asked for"}
		}
		f := outbound.Found{Columns: make(map[string][]byte, len(q.Columns))}
		for _, name := range q.Columns {
			column := q.Table.Column(name)
			value, ok := row[column.ReadName()]
			if !ok {
				continue // null values may be left out
			}
			f.Columns[name] = value
			if table := textOf(row[column.ReadName()+"@"+lookupAnnotation]); table != "" {
				if f.Tables == nil {
					f.Tables = make(map[string]string, 2)
				}
				f.Tables[name] = table
			}
		}
		found[id] = f
	}
	return nil
}

// doReads makes several GETs in one $batch request. All of them succeed, or the
// first one that did not gives the error.
func (c *Client) doReads(ctx context.Context, gets []*call) error {
	riders := make([]*passenger, len(gets))
	for i, g := range gets {
		riders[i] = &passenger{call: g}
	}
	boundary := newBoundary(riders)
	body, err := c.batchBody(boundary, riders)
	if err != nil {
		return &outcome.Error{Op: "POST $batch", Verdict: outcome.Stop, Reason: outcome.Config, Err: err}
	}
	var parts []batchPart
	batch := &call{
		op: opBatch, operations: len(gets), method: http.MethodPost, path: "$batch", name: "$batch of " + strconv.Itoa(len(gets)) + " reads", body: body,
		header: map[string]string{
			"Content-Type": `multipart/mixed; boundary="` + boundary + `"`,
			"Prefer":       "odata.continue-on-error",
		},
		limit: c.maxPage, reading: true,
		reads: func(h fields) bool { return boundaryOf(h) != "" },
		accept: func(status int, header fields, body io.Reader) error {
			boundary := boundaryOf(header)
			if boundary == "" {
				return &malformed{"the answer to a batch is not a batch"}
			}
			raw, err := readAll(body)
			if err != nil {
				return err
			}
			var bad error
			if parts, _, bad = parseBatchAnswer(raw, boundary, len(gets)); bad != nil {
				return bad
			}
			if len(parts) == 0 {
				return &malformed{"the answer to a batch is empty"}
			}
			return nil
		},
	}
	if err := c.do(ctx, batch); err != nil {
		return err
	}
	now := time.Now()
	for i, part := range parts {
		a := part.answer(now)
		if a.accepted {
			err := gets[i].accept(a.status, a.fields(), bytes.NewReader(a.body))
			if err == nil {
				continue
			}
			a.refuse(err)
		}
		verdict := c.judge(gets[i], *a, batch.request)
		if verdict.Verdict == outcome.RetryAfter {
			c.throttled(ctx, gets[i], verdict)
		}
		return verdict
	}
	if len(parts) < len(gets) {
		return c.judge(batch, answer{err: &malformed{errBatchCut.Error()}, sent: true, at: now}, batch.request)
	}
	return nil
}
