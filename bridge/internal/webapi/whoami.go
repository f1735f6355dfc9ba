package webapi

import (
	"context"
	"io"
	"net/http"
)

// Identity is who the client's requests are made as. Ids are lower-case GUIDs.
type Identity struct {
	UserID         string
	OrganizationID string
	BusinessUnitID string
}

// WhoAmI asks the server for the identity behind the credentials. An
// OrganizationID other than the one known before means another database.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	var who Identity
	err := c.do(ctx, &call{
		op: opWhoAmI, method: http.MethodGet, path: "WhoAmI", name: "WhoAmI", limit: c.maxBody,
		accept: func(status int, _ fields, body io.Reader) error {
			object, err := readObject(status, body)
			if err != nil {
				return err
			}
			var user, organization, unit bool
			who.UserID, user = parseGUID(object["UserId"])
			who.OrganizationID, organization = parseGUID(object["OrganizationId"])
			who.BusinessUnitID, unit = parseGUID(object["BusinessUnitId"])
			if !user || !organization || !unit {
				return &malformed{"an identity without its three ids"}
			}
			return nil
		},
	})
	if err != nil {
		return Identity{}, err
	}
	return who, nil
}
