package soak

import (
	"encoding/json"
	"slices"
	"strconv"
)

// inbound checks I1 to I5.
func (c *checker) inbound() {
	if c.h.Unsettled > 0 {
		c.fail("I2", "%d messages are not settled", c.h.Unsettled)
	}
	type key struct{ table, key string }
	applied := map[key][]int64{}
	ids := map[key]map[string]bool{}
	deleted := map[string]bool{}
	for _, w := range c.h.Writes {
		if w.Deleted {
			deleted[w.ID] = true
		}
	}
	for _, w := range c.h.Writes {
		var k string
		if json.Unmarshal(w.Columns[KeyColumn], &k) != nil || k == "" {
			continue
		}
		order, err := strconv.ParseInt(string(w.Columns[OrderColumn]), 10, 64)
		if err != nil {
			continue
		}
		kk := key{w.Table, k}
		if n := len(applied[kk]); n > 0 && order < applied[kk][n-1] {
			c.fail("I4", "%s %s went back from message %d to %d", w.Table, k, applied[kk][n-1], order)
		}
		applied[kk] = append(applied[kk], order)
		if ids[kk] == nil {
			ids[kk] = map[string]bool{}
		}
		if !deleted[w.ID] {
			ids[kk][w.ID] = true
		}
	}
	newest := map[key]int64{}
	for _, s := range c.h.Sent {
		k := key{s.Table, s.Key}
		if c.h.Dead[s.Sequence] {
			continue
		}
		newest[k] = max(newest[k], s.Order)
		if !slices.Contains(applied[k], s.Order) {
			rule, what := "I1", "is acknowledged"
			if s.Sequence > c.h.AckFloor && c.h.Unsettled > 0 {
				rule, what = "I2", "is not settled"
			}
			c.fail(rule, "message %d (key %s, order %d) %s but was never written", s.Sequence, s.Key, s.Order, what)
		}
	}
	for k, want := range newest {
		if got := applied[k]; len(got) > 0 && got[len(got)-1] != want {
			c.fail("I3", "%s %s ends at message %d, the newest is %d", k.table, k.key, got[len(got)-1], want)
		}
		if n := len(ids[k]); n > 1 {
			c.fail("I5", "%s %s is %d records", k.table, k.key, n)
		}
	}
}
