package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"cebridge/schema"
	"cebridge/schema/outcome"

	"golang.org/x/sync/errgroup"
)

// metadataInFlight is how many metadata requests run at once: enough to start
// quickly, few beside the work of a bridge that runs already.
const metadataInFlight = 4

// Metadata reads the definitions of tables: every column with its type facts,
// the alternate keys with their status, and the navigation properties. The
// tables that their lookups may point at are read too, so that references to
// them can be checked, but only their columns' types and their keys. A table that
// the server does not know is left out, and so is a target without an entity set.
//
// Cost: one request a table and one for each kind of column it has, one a target.
func (c *Client) Metadata(ctx context.Context, tables []string) (schema.Catalog, error) {
	named := slices.Compact(slices.Sorted(slices.Values(tables)))
	full := make([]*schema.Table, len(named))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(metadataInFlight)
	for i, name := range named {
		group.Go(func() error {
			t, err := c.definition(gctx, name)
			if unknownTable(err) {
				return nil
			}
			if err == nil {
				err = c.columnFacts(gctx, t)
			}
			full[i] = t
			return err
		})
	}
	if err := waitFor(ctx, group); err != nil {
		return nil, err
	}
	full = slices.DeleteFunc(full, func(t *schema.Table) bool { return t == nil })
	targets := targetsOf(full)
	lean := make([]*schema.Table, len(targets))
	group, gctx = errgroup.WithContext(ctx)
	group.SetLimit(metadataInFlight)
	for i, name := range targets {
		group.Go(func() error {
			t, err := c.definition(gctx, name)
			if unknownTable(err) {
				return nil
			}
			lean[i] = t
			return err
		})
	}
	if err := waitFor(ctx, group); err != nil {
		return nil, err
	}
	catalog := schema.NewCatalog(full...)
	for _, t := range lean {
		if t != nil && t.EntitySet != "" {
			catalog[t.LogicalName] = t
		}
	}
	for _, t := range full {
		if t.EntitySet == "" {
			return nil, &outcome.Error{Op: "GET " + definitionPath(t.LogicalName), Verdict: outcome.Stop,
				Reason: outcome.Config, Message: "table " + t.LogicalName + " has no entity set: the Web API does not offer it"}
		}
	}
	return catalog, nil
}

func unknownTable(err error) bool {
	e := outcome.Of(err)
	return e != nil && e.Reason == outcome.Config && e.Status == http.StatusNotFound
}

// waitFor prefers the caller's own end over the errors that it caused.
func waitFor(ctx context.Context, group *errgroup.Group) error {
	err := group.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("metadata: %w", ctx.Err())
	}
	return err
}

// targetsOf lists the tables that lookups point at and that are not read yet.
func targetsOf(tables []*schema.Table) []string {
	var targets []string
	for _, t := range tables {
		for i := range t.Columns {
			if t.Columns[i].IsLookup() {
				targets = append(targets, t.Columns[i].Targets...)
			}
		}
	}
	slices.Sort(targets)
	return slices.DeleteFunc(slices.Compact(targets), func(name string) bool {
		return slices.ContainsFunc(tables, func(t *schema.Table) bool { return t.LogicalName == name })
	})
}

func definitionPath(table string) string { return "EntityDefinitions(LogicalName='" + table + "')" }

// definition reads a table with its columns' types, keys and navigations.
func (c *Client) definition(ctx context.Context, table string) (*schema.Table, error) {
	if !validName(table) {
		return nil, &outcome.Error{Op: "metadata", Verdict: outcome.Stop, Reason: outcome.Config,
			Message: "not the name of a table: " + shorten(table)}
	}
	var d tableDefinition
	if err := c.metadataQuery(ctx, definitionPath(table)+tableQuery, &d); err != nil {
		return nil, err
	}
	t, err := d.table()
	if err != nil || t.LogicalName != table {
		return nil, &outcome.Error{Op: "GET " + definitionPath(table), Status: http.StatusOK, Verdict: outcome.Retry,
			Reason: outcome.BadAnswer, Message: "not the definition of the table that was asked for", Err: err}
	}
	return t, nil
}

// columnFacts reads what only a column's derived type tells, for the types that
// the table has.
func (c *Client) columnFacts(ctx context.Context, t *schema.Table) error {
	for _, cast := range casts {
		if !slices.ContainsFunc(t.Columns, func(col schema.Column) bool { return slices.Contains(cast.types, col.Type) }) {
			continue
		}
		var found struct{ Value []columnDefinition }
		path := definitionPath(t.LogicalName) + "/Attributes/Microsoft.Dynamics.CRM." + cast.name + cast.query
		if err := c.metadataQuery(ctx, path, &found); err != nil {
			return err
		}
		for i := range found.Value {
			if col := t.Column(found.Value[i].LogicalName); col != nil {
				found.Value[i].addFacts(col)
			}
		}
	}
	t.Navigations = ownerNavigations(t)
	return nil
}

// metadataQuery makes one GET and decodes its answer.
func (c *Client) metadataQuery(ctx context.Context, path string, into any) error {
	return c.metadataRead(ctx, path, nil, into)
}

// metadataRead is metadataQuery with headers.
func (c *Client) metadataRead(ctx context.Context, path string, header map[string]string, into any) error {
	return c.metadataQueryWith(ctx, path, nil, into)
}

// metadataQueryWith sends headers along.
func (c *Client) metadataQueryWith(ctx context.Context, path string, header map[string]string, into any) error {
	name, _, _ := strings.Cut(path, "?")
	return c.do(ctx, &call{
		op: opMetadata, method: http.MethodGet, path: path, name: name, header: header, limit: c.maxBody,
		accept: func(status int, _ fields, body io.Reader) error {
			if status != http.StatusOK {
				return &malformed{fmt.Sprintf("status %d does not answer a query", status)}
			}
			raw, err := readAll(body)
			if err != nil {
				return err
			}
			object, err := decodeObject(raw)
			if err != nil {
				return err
			}
			if _, ok := object["@odata.nextLink"]; ok {
				return &malformed{"metadata in pages, which the API does not promise"}
			}
			if err := json.Unmarshal(bytes.TrimPrefix(raw, bom), into); err != nil {
				return &malformed{"metadata: " + err.Error()}
			}
			return nil
		},
	})
}
