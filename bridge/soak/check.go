package soak

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Violation is one broken rule.
type Violation struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

func (v Violation) String() string { return v.Rule + ": " + v.Text }

// Check holds the histories against each other and returns every violation.
func Check(h *History) []Violation {
	c := &checker{h: h, found: []Violation{}}
	c.outbound()
	c.inbound()
	return c.found
}

type checker struct {
	h     *History
	found []Violation
}

func (c *checker) fail(rule, format string, args ...any) {
	c.found = append(c.found, Violation{rule, fmt.Sprintf(format, args...)})
}

type recordID struct{ table, id string }

func (r recordID) String() string { return r.table + "/" + r.id }

func (c *checker) outbound() {
	states := map[recordID]map[int64]Write{} // every state a record ever had
	final := map[recordID]Write{}
	for _, w := range c.h.Writes {
		if c.h.Tables[w.Table] == nil {
			continue
		}
		r := recordID{w.Table, w.ID}
		if states[r] == nil {
			states[r] = map[int64]Write{}
		}
		if !w.Deleted {
			states[r][w.Version] = w
		}
		final[r] = w
	}
	last := c.events(states)
	for r, w := range final {
		e, published := last[r]
		switch {
		case !w.Deleted && !published:
			c.fail("O1", "%s (version %d) never reached the stream", r, w.Version)
		case !w.Deleted && e.Change == "deleted":
			c.fail("O4", "%s is live but its last event (sequence %d) says deleted", r, e.Sequence)
		case !w.Deleted && e.Version != w.Version:
			c.fail("O1", "%s is at version %d, its last event (sequence %d) at %d", r, w.Version, e.Sequence, e.Version)
		case w.Deleted && published && e.Change != "deleted":
			c.fail("O4", "%s is deleted but its last event (sequence %d) says %s", r, e.Sequence, e.Change)
		}
	}
}

// events checks the stream by itself and against the states, and returns each
// record's last event.
func (c *checker) events(states map[recordID]map[int64]Write) map[recordID]Event {
	last := map[recordID]Event{}
	open := map[string]uint64{} // table -> first event not followed by a checkpoint yet
	for _, e := range c.h.Events {
		if e.Checkpoint {
			delete(open, e.Table)
			continue
		}
		if open[e.Table] == 0 {
			open[e.Table] = e.Sequence
		}
		r := recordID{e.Table, e.ID}
		before, seen := last[r]
		deleted := e.Change == "deleted"
		switch {
		case seen && before.Version == e.Version && (before.Change == "deleted") == deleted:
			c.fail("O2", "%s version %d stands twice: sequences %d and %d", r, e.Version, before.Sequence, e.Sequence)
		case seen && (e.Version < before.Version || e.Version == before.Version && !deleted):
			c.fail("O3", "%s goes back from version %d to %d at sequence %d", r, before.Version, e.Version, e.Sequence)
		}
		last[r] = e
		if !deleted {
			c.payload(r, e, states)
		}
	}
	for table, seq := range open {
		c.fail("O6", "events of %s from sequence %d on have no checkpoint", table, seq)
	}
	return last
}

func (c *checker) payload(r recordID, e Event, states map[recordID]map[int64]Write) {
	w, existed := states[r][e.Version]
	if !existed {
		c.fail("O5", "%s never had version %d (sequence %d)", r, e.Version, e.Sequence)
		return
	}
	for _, col := range c.h.Tables[e.Table] {
		want, got := w.Columns[col], e.Record[col]
		if want == nil {
			want = json.RawMessage("null")
		}
		if string(got) != string(want) {
			c.fail("O5", "%s version %d (sequence %d): column %s is %s, the record had %s", r, e.Version, e.Sequence, col, got, want)
		}
	}
}

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
