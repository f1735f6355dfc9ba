package soak

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func columns(key string, order int64, name string) map[string]json.RawMessage {
	return map[string]json.RawMessage{
		KeyColumn:   json.RawMessage(fmt.Sprintf("%q", key)),
		OrderColumn: json.RawMessage(fmt.Sprint(order)),
		"name":      json.RawMessage(fmt.Sprintf("%q", name)),
	}
}

// healthy returns a history in which nothing is wrong: two keyed records written
// by messages, one of them twice, and one record that came and went.
func healthy() *History {
	h := &History{
		Tables:   map[string][]string{"account": {"name", KeyColumn}},
		Dead:     map[uint64]bool{4: true},
		AckFloor: 4,
		Sent: []Sent{
			{1, "account", "A", 1}, {2, "account", "B", 1}, {3, "account", "A", 2}, {4, "account", "C", 1},
		},
	}
	add := func(id string, version int64, change string, cols map[string]json.RawMessage) {
		h.Writes = append(h.Writes, Write{"account", id, version, change == "deleted", cols})
		v := version
		if change == "deleted" {
			for _, e := range h.Events {
				if e.ID == id {
					v = e.Version
				}
			}
		}
		h.Events = append(h.Events,
			Event{Sequence: uint64(len(h.Events) + 1), Table: "account", ID: id, Version: v, Change: change, Record: cols},
			Event{Sequence: uint64(len(h.Events) + 2), Table: "account", Checkpoint: true})
	}
	add("a", 10, "created", columns("A", 1, "one"))
	add("b", 11, "created", columns("B", 1, "two"))
	add("x", 12, "created", map[string]json.RawMessage{"name": json.RawMessage(`"gone"`), KeyColumn: json.RawMessage("null")})
	add("a", 13, "updated", columns("A", 2, "one more"))
	add("x", 14, "deleted", nil)
	return h
}

func TestAHealthyHistoryPasses(t *testing.T) {
	if found := Check(healthy()); len(found) > 0 {
		t.Errorf("a healthy history was refused: %v", found)
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		rule   string
		damage func(*History)
	}{
		"an event dropped": {"O1", func(h *History) { h.Events = slices.Delete(h.Events, 6, 8) }},
		"a record never published": {"O1", func(h *History) {
			h.Writes = append(h.Writes, Write{"account", "y", 15, false, map[string]json.RawMessage{}})
		}},
		"an event doubled": {"O2", func(h *History) { h.Events = slices.Insert(h.Events, 2, h.Events[0], h.Events[1]) }},
		"a delete doubled": {"O2", func(h *History) { h.Events = append(h.Events, h.Events[8], h.Events[9]) }},
		"two events swapped": {"O3", func(h *History) {
			h.Events[0], h.Events[6] = h.Events[6], h.Events[0]
		}},
		"an old version again": {"O3", func(h *History) { h.Events = append(h.Events, h.Events[0], h.Events[1]) }},
		"a delete lost":        {"O4", func(h *History) { h.Events = h.Events[:8] }},
		"a live record deleted": {"O4", func(h *History) {
			h.Events = append(h.Events, Event{Sequence: 11, Table: "account", ID: "b", Version: 11, Change: "deleted"},
				Event{Sequence: 12, Table: "account", Checkpoint: true})
		}},
		"a payload changed":       {"O5", func(h *History) { h.Events[0].Record = columns("A", 1, "another") }},
		"a column nulled":         {"O5", func(h *History) { h.Events[2].Record = map[string]json.RawMessage{"name": json.RawMessage("null")} }},
		"a version invented":      {"O5", func(h *History) { h.Events[2].Version = 12 }},
		"a checkpoint missing":    {"O6", func(h *History) { h.Events = h.Events[:9] }},
		"a message acked early":   {"I1", func(h *History) { h.Sent = append(h.Sent, Sent{5, "account", "D", 1}); h.AckFloor = 5 }},
		"a message left over":     {"I2", func(h *History) { h.Unsettled = 1 }},
		"a message never applied": {"I2", func(h *History) { h.Sent = append(h.Sent, Sent{5, "account", "D", 1}); h.Unsettled = 1 }},
		"the newest lost":         {"I3", func(h *History) { h.Sent = append(h.Sent, Sent{5, "account", "A", 3}) }},
		"a stale overwrite": {"I4", func(h *History) {
			h.Writes = append(h.Writes, Write{"account", "a", 15, false, columns("A", 1, "one")})
		}},
		"a second record": {"I5", func(h *History) {
			h.Writes = append(h.Writes, Write{"account", "a2", 15, false, columns("A", 2, "one more")})
		}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			h := healthy()
			c.damage(h)
			found := Check(h)
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Rule == c.rule }) {
				t.Errorf("rule %s did not fire; found %v", c.rule, found)
			}
		})
	}
}
