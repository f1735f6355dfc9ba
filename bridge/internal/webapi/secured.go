package webapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"cebridge/outbound"
	"cebridge/schema/outcome"
)

// mayRead is the value of a permission that allows. Source: the choice
// field_security_permission_type of the developer guide's entity reference.
const mayRead = 4

// Unreadable implements outbound.Inspector. It reads which columns of the table are
// secured, past the server's cache, and only where one of them is selected, what the
// field security profiles allow the user, its teams' included. A permission that is
// not listed, or that the server or the user's rights do not let us read, is none.
// Source: function RetrievePrincipalAttributePrivileges of the Web API reference, which
// needs read on users. Assumption: the profile System Administrator is listed like others.
func (c *Client) Unreadable(ctx context.Context, q outbound.Query) ([]string, error) {
	if err := checkLookUp(q); err != nil {
		return nil, err
	}
	strong := map[string]string{"Consistency": "Strong"}
	var secured struct {
		Value []struct {
			LogicalName, MetadataID string
			IsSecured               bool
		}
	}
	path := definitionPath(q.Table.LogicalName) + "/Attributes?$select=LogicalName,MetadataId,IsSecured&$filter=IsSecured%20eq%20true"
	if err := c.metadataRead(ctx, path, strong, &secured); err != nil {
		return nil, err
	}
	ids := map[string]string{} // of the selected ones: id of the definition to name
	for _, a := range secured.Value {
		if a.IsSecured && slices.Contains(q.Columns, a.LogicalName) {
			ids[strings.ToLower(a.MetadataID)] = a.LogicalName
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	who, err := c.WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	var allowed struct {
		AttributePrivileges []struct {
			AttributeID string `json:"AttributeId"`
			CanRead     int
		}
	}
	path = "systemusers(" + who.UserID + ")/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()"
	err = c.metadataRead(ctx, path, strong, &allowed)
	if e := outcome.Of(err); e != nil && e.Status >= http.StatusBadRequest && (e.Verdict == outcome.Stop || e.Verdict == outcome.Reject) {
		c.logger.WarnContext(ctx, "web api: the user's permissions on secured columns cannot be read; they count as not readable",
			"table", q.Table.LogicalName, "error", err)
	} else if err != nil {
		return nil, err
	}
	for _, p := range allowed.AttributePrivileges {
		if p.CanRead == mayRead {
			delete(ids, strings.ToLower(p.AttributeID))
		}
	}
	hidden := make([]string, 0, len(ids))
	for _, name := range ids {
		hidden = append(hidden, name)
	}
	slices.Sort(hidden)
	return hidden, nil
}
