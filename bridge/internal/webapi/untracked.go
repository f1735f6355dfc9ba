package webapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// Untracked reads one page of a table as it is now, without change tracking: it
// costs no delta token and disturbs none. An empty link begins; Page.Next of a page
// leads to the next, and is empty on the last. The rows are those of Page, with the
// same hashes for the same columns. The pages of a table that changes meanwhile do
// not belong to one moment: a record may be missing or stand twice.
func (c *Client) Untracked(ctx context.Context, q outbound.Query, link string) (*outbound.Page, error) {
	return c.pageBy(ctx, q, link, pageKind{prefer: preferPages(q.PageSize), read: c.readPlain})
}

// List implements outbound.Lister: ids and versions, in the order of ids, which no
// change moves.
func (c *Client) List(ctx context.Context, q outbound.Query, link string) (*outbound.Page, error) {
	q.Columns, q.PageSize = nil, maxPageSize
	kind := pageKind{prefer: preferPages(q.PageSize), read: c.readPlain}
	if q.Table != nil {
		kind.more = "&$orderby=" + q.Table.PrimaryID
	}
	return c.pageBy(ctx, q, link, kind)
}

// Record reads one record as Untracked does; nil when it is not there.
func (c *Client) Record(ctx context.Context, q outbound.Query, id string) (*outbound.Row, error) {
	if !schema.IsGUID(id) {
		return nil, &outcome.Error{Op: "GET", Verdict: outcome.Stop, Reason: outcome.Config,
			Message: "a record is asked for without a GUID"}
	}
	path, err := trackedQuery(q)
	if err != nil {
		return nil, err
	}
	_, query, _ := strings.Cut(path, "?")
	t := q.Table
	var row outbound.Row
	err = c.do(ctx, &call{
		op: opExists, method: http.MethodGet, limit: c.maxBody,
		path: t.EntitySet + "(" + id + ")?" + query,
		name: t.EntitySet + "(" + id + ")",
		accept: func(status int, _ fields, body io.Reader) error {
			if status != http.StatusOK {
				return &malformed{fmt.Sprintf("status %d where an object was promised", status)}
			}
			raw, err := readAll(body)
			if err != nil {
				return err
			}
			if _, err := decodeObject(raw); err != nil {
				return err
			}
			// One record is read as a page of one, so that both yield the same row.
			page, err := splitPlain(bytes.NewReader(asPage(raw)), t.PrimaryID)
			if err != nil {
				return err
			}
			if row = page.Rows[0]; row.ID != strings.ToLower(id) {
				return &malformed{"another record than the one asked for"}
			}
			return nil
		},
	})
	if saysGone(outcome.Of(err), id) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &row, nil
}

// asPage wraps one JSON object. Its own context would be taken for the mark of a
// deletion only if it said so.
func asPage(object []byte) []byte {
	page := make([]byte, 0, len(object)+16)
	page = append(page, `{"value":[`...)
	page = append(page, strings.TrimPrefix(string(object), string(bom))...)
	return append(page, "]}"...)
}

func (c *Client) readPlain(body io.Reader, table *schema.Table, path string) (*outbound.Page, error) {
	page, err := splitPlain(body, table.PrimaryID)
	if err != nil || page.Next == "" {
		return page, err
	}
	if page.Next, err = c.root.relative(page.Next, table.EntitySet); err != nil {
		return nil, err
	}
	if page.Next == path {
		return nil, &malformed{"the next link leads to the same page again"}
	}
	return page, nil
}

// preferPages asks for a page size alone.
func preferPages(size int) string {
	if size <= 0 || size > maxPageSize {
		size = maxPageSize
	}
	return "odata.maxpagesize=" + strconv.Itoa(size)
}
