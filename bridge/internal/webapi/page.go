package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// maxPageSize is the server's own page size; a larger wish is ignored there.
const maxPageSize = 5000

// versionColumn is selected on every tracked query.
const versionColumn = "versionnumber"

// Page implements outbound.Source. The page is whole or the answer is an error.
func (c *Client) Page(ctx context.Context, q outbound.Query, link string) (*outbound.Page, error) {
	ctx, span := c.tracer.Start(ctx, telemetry.SpanFetch, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	page, err := c.page(ctx, q, link)
	if q.Table != nil {
		span.SetAttributes(attribute.String(telemetry.AttrTable, q.Table.LogicalName))
	}
	if err != nil {
		failSpan(span, err)
		return nil, err
	}
	span.SetAttributes(attribute.Int(telemetry.AttrRows, len(page.Rows)))
	return page, nil
}

func (c *Client) page(ctx context.Context, q outbound.Query, link string) (*outbound.Page, error) {
	return c.pageBy(ctx, q, link, pageKind{prefer: preferTracked(q.PageSize), linked: link != "", read: c.readPage})
}

// pageKind is what tells tracked pages from plain ones.
type pageKind struct {
	prefer string
	linked bool
	// more is added to the query.
	more string
	read func(body io.Reader, table *schema.Table, path string) (*outbound.Page, error)
}

// pageBy fetches the first page of a query, or the one behind a link.
func (c *Client) pageBy(ctx context.Context, q outbound.Query, link string, kind pageKind) (*outbound.Page, error) {
	first, err := trackedQuery(q)
	if err != nil {
		return nil, err
	}
	call := &call{
		op: opPage, method: http.MethodGet, path: first + kind.more, name: q.Table.EntitySet,
		header: map[string]string{"Prefer": kind.prefer},
		limit:  c.maxPage, linked: kind.linked, bulk: q.Bulk,
	}
	if link != "" {
		call.path, err = c.root.relative(link, q.Table.EntitySet)
		if err != nil {
			return nil, &outcome.Error{Op: call.title(), Verdict: outcome.Stop, Reason: outcome.ForeignLink, Err: err}
		}
	}
	var page *outbound.Page
	call.accept = func(status int, _ fields, body io.Reader) error {
		if status != http.StatusOK {
			return &malformed{fmt.Sprintf("status %d does not answer a query", status)}
		}
		var err error
		page, err = kind.read(body, q.Table, call.path)
		return err
	}
	if err := c.do(ctx, call); err != nil {
		return nil, err
	}
	return page, nil
}

// readPage splits a page and cuts its link down to what may be stored.
func (c *Client) readPage(body io.Reader, table *schema.Table, path string) (*outbound.Page, error) {
	page, err := splitPage(body, table.PrimaryID)
	if err != nil {
		return nil, err
	}
	if page.Next != "" {
		page.Next, err = c.root.relative(page.Next, table.EntitySet)
	} else {
		page.Delta, err = c.root.relative(page.Delta, table.EntitySet)
	}
	if err != nil {
		return nil, err
	}
	if page.Next == path {
		return nil, &malformed{"the next link leads to the same page again"}
	}
	return page, nil
}

// trackedQuery is the path of the first page: accounts?$select=name,versionnumber,accountid.
func trackedQuery(q outbound.Query) (string, error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", &outcome.Error{Op: "query", Verdict: outcome.Stop, Reason: outcome.Config,
			Message: fmt.Sprintf(format, args...)}
	}
	t := q.Table
	if t == nil || !validName(t.EntitySet) || !validName(t.PrimaryID) {
		return refuse("the table has no entity set or primary id: read its metadata again")
	}
	names := make([]string, 0, len(q.Columns)+2)
	seen := make(map[string]bool, len(q.Columns)+2)
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, column := range q.Columns {
		col := t.Column(column)
		if col == nil || !validName(col.ReadName()) {
			return refuse("table %s has no column %s: correct the configured columns", t.LogicalName, column)
		}
		add(col.ReadName())
	}
	add(versionColumn)
	add(t.PrimaryID)
	return t.EntitySet + "?$select=" + strings.Join(names, ","), nil
}

// preferTracked asks for change tracking and a page size, in one value, as
// clients that are known to work do. Annotations must not be asked for beside
// it: the delta link is then missing (observed on 8.2).
func preferTracked(size int) string {
	if size <= 0 || size > maxPageSize {
		size = maxPageSize
	}
	return "odata.track-changes,odata.maxpagesize=" + strconv.Itoa(size)
}

// readObject reads an answer that must be one JSON object with status 200.
func readObject(status int, body io.Reader) (map[string]json.RawMessage, error) {
	if status != http.StatusOK {
		return nil, &malformed{fmt.Sprintf("status %d where an object was promised", status)}
	}
	raw, err := readAll(body)
	if err != nil {
		return nil, err
	}
	return decodeObject(raw)
}

// decodeObject decodes a JSON object and refuses one that is an error.
func decodeObject(raw []byte) (map[string]json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(raw, bom), &object); err != nil {
		return nil, &malformed{"not a JSON object: " + err.Error()}
	}
	if object == nil {
		return nil, &malformed{"null where an object was promised"}
	}
	if _, ok := object["error"]; ok {
		f := readFault(raw)
		return nil, &malformed{strings.TrimSpace("an error in an answer of good status: " + f.code + " " + f.message)}
	}
	return object, nil
}

// failSpan marks a span as failed without telling keys, ids or texts.
func failSpan(span trace.Span, err error) {
	e := outcome.Of(err)
	if e == nil {
		if errors.Is(err, context.Canceled) {
			span.SetStatus(codes.Unset, "")
			return
		}
		span.SetStatus(codes.Error, "ended by the caller")
		return
	}
	span.SetAttributes(attribute.String(telemetry.AttrVerdict, string(e.Verdict)),
		attribute.String(telemetry.AttrReason, string(e.Reason)), attribute.Int(telemetry.AttrStatus, e.Status))
	span.SetStatus(codes.Error, string(e.Reason))
}
