package inbound

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestZeroValuesMeanTheDefaults(t *testing.T) {
	want := RouteConfig{
		Name: "erp", Format: FormatCloudEvents, Unmatched: UnmatchedAck,
		Concurrency: 52, MaxHeld: 1024, AckWait: 30 * time.Second,
		RetryMin: 500 * time.Millisecond, RetryMax: time.Minute, GiveUpParked: 10 * time.Minute,
		Grace: 20 * time.Second, SettleTimeout: 5 * time.Second,
		ParkAfter: 10 * time.Second, AmbiguityBound: 2 * time.Minute,
	}
	got := RouteConfig{Name: "erp"}.withDefaults()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := got.validate(); err != nil {
		t.Error(err)
	}
}

func TestARouteNamesEveryFieldItCannotUse(t *testing.T) {
	cases := []struct {
		change func(*RouteConfig)
		want   string
	}{
		{func(c *RouteConfig) { c.Name = "" }, "name"},
		{func(c *RouteConfig) { c.Name = "a.b" }, "name"},
		{func(c *RouteConfig) { c.Format = "xml" }, "format"},
		{func(c *RouteConfig) { c.Format = FormatJSON }, "event type"},
		{func(c *RouteConfig) { c.Unmatched = "drop" }, "unmatched"},
		{func(c *RouteConfig) { c.Concurrency = -1 }, "concurrency"},
		{func(c *RouteConfig) { c.MaxHeld = 3 }, "max held"},
		{func(c *RouteConfig) { c.AckWait = time.Millisecond }, "ack wait"},
		{func(c *RouteConfig) { c.RetryMin = -time.Second }, "retry delays"},
		{func(c *RouteConfig) { c.RetryMin, c.RetryMax = time.Minute, time.Second }, "retry delays"},
		{func(c *RouteConfig) { c.Grace = -1 }, "negative"},
		{func(c *RouteConfig) { c.GiveUpParked = -1 }, "negative"},
		{func(c *RouteConfig) { c.SettleTimeout = -1 }, "negative"},
		{func(c *RouteConfig) { c.Receipts = "erp.>" }, "receipts"},
		{func(c *RouteConfig) { c.Receipts = "erp receipts" }, "receipts"},
		{func(c *RouteConfig) { c.Receipts = "erp..receipts" }, "receipts"},
		{func(c *RouteConfig) { c.Receipts = ".erp" }, "receipts"},
	}
	for _, tc := range cases {
		cfg := RouteConfig{Name: "erp"}
		tc.change(&cfg)
		_, err := NewRoute(cfg, nil, nil, nil, nil, Deps{})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "inbound route "+cfg.Name) {
			t.Errorf("%s: %v", tc.want, err)
		}
	}
	_, err := NewRoute(RouteConfig{Name: "erp", Format: "xml", Unmatched: "drop"}, nil, nil, nil, nil, Deps{})
	if err == nil || !strings.Contains(err.Error(), "format") || !strings.Contains(err.Error(), "unmatched") {
		t.Errorf("not all at once: %v", err)
	}
}

func TestALargerRetryMinRaisesTheDefaultRetryMax(t *testing.T) {
	c := RouteConfig{Name: "erp", RetryMin: time.Hour}.withDefaults()
	if c.RetryMax != time.Hour || c.validate() != nil {
		t.Errorf("%s, %v", c.RetryMax, c.validate())
	}
}
