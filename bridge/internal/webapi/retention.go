package webapi

import (
	"context"
	"time"

	"cebridge/outbound"
)

var _ outbound.Retention = (*Client)(nil)

// TokenRetention implements outbound.Retention: the organization's column
// expirechangetrackingindays, 0 when it is not set. Source: the organization table in
// the developer guide's entity reference.
func (c *Client) TokenRetention(ctx context.Context) (time.Duration, error) {
	var found struct {
		Value []struct {
			Days *int `json:"expirechangetrackingindays"`
		} `json:"value"`
	}
	if err := c.metadataQuery(ctx, "organizations?$select=expirechangetrackingindays", &found); err != nil {
		return 0, err
	}
	if len(found.Value) == 0 || found.Value[0].Days == nil {
		return 0, nil
	}
	return time.Duration(max(*found.Value[0].Days, 0)) * 24 * time.Hour, nil
}
