package webapi

import (
	"testing"
	"time"
)

func TestTokenRetentionIsTheOrganizationsColumn(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]time.Duration{
		`{"value":[{"expirechangetrackingindays":7,"organizationid":"` + guid1 + `"}]}`: 7 * 24 * time.Hour,
		`{"value":[{"expirechangetrackingindays":null}]}`:                               0,
		`{"value":[{"expirechangetrackingindays":-1}]}`:                                 0,
		`{"value":[]}`: 0,
	} {
		c, _ := newTestClient(t, answering(200, body))
		if got, err := c.TokenRetention(t.Context()); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", body, got, err, want)
		}
	}
}
