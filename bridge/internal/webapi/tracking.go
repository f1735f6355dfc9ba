package webapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"cebridge/schema/outcome"
)

// EnableChangeTracking switches change tracking on for a table and publishes the
// change. A definition has no partial update: it is read whole and written back with
// one property changed; labels are merged, so none in another language is lost.
// Online it cannot be switched off again. Source: "Create and update table
// definitions using the Web API", "PublishXml action".
func (c *Client) EnableChangeTracking(ctx context.Context, table string) error {
	if !validName(table) {
		return &outcome.Error{Op: "metadata", Verdict: outcome.Stop, Reason: outcome.Config, Message: "not the name of a table: " + shorten(table)}
	}
	var definition map[string]json.RawMessage
	if err := c.metadataQuery(ctx, definitionPath(table), &definition); err != nil {
		return err
	}
	delete(definition, "@odata.context")
	definition["ChangeTrackingEnabled"] = json.RawMessage("true")
	err := c.change(ctx, http.MethodPut, definitionPath(table), definition, map[string]string{"MSCRM.MergeLabels": "true"})
	if err != nil {
		return err
	}
	publish := map[string]string{"ParameterXml": "<importexportxml><entities><entity>" + table + "</entity></entities></importexportxml>"}
	return c.change(ctx, http.MethodPost, "PublishXml", publish, nil)
}

// change writes metadata, or a record that counts as such. body may be nil.
func (c *Client) change(ctx context.Context, method, path string, body any, header map[string]string) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	return c.do(ctx, &call{
		op: opMetadata, method: method, path: path, name: path, body: raw, header: header, limit: c.maxBody,
		accept: func(status int, _ fields, _ io.Reader) error {
			if status != http.StatusNoContent && status != http.StatusOK {
				return &malformed{fmt.Sprintf("status %d does not confirm a change", status)}
			}
			return nil
		},
	})
}
