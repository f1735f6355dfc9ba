package bridge

import (
	"encoding/json"
	"strings"

	"cebridge/schema"
)

// classicCount counts the calls that the writes of an event take when each call does
// one thing, as integrations did it before keyed writes: find the record, find each
// record that it refers to, create or update it, set its state, assign it.
type classicCount struct {
	// found are the searches counted so far, of an event whose records exist and of one
	// whose records are new: what is found once is known for the whole event.
	found map[bool]map[string]bool
}

func newClassicCount() *classicCount {
	return &classicCount{found: map[bool]map[string]bool{true: {}, false: {}}}
}

// count is the number for one write.
//
//   - 1 to find the record, unless the event has its GUID;
//   - 1 for each record that is bound by key or search, the owner included, or that the
//     record's key names;
//   - 1 for the create, or for an update of anything but state and owner; 1 for a delete;
//   - 1 for the state, when state or status is written (SetState);
//   - 1 for the owner, when an existing record gets one (Assign); a create takes it along.
func (c *classicCount) count(w *schema.Write, exists bool) int {
	n := 0
	find := func(what string) {
		if !c.found[exists][what] {
			c.found[exists][what] = true
			n++
		}
	}
	if w.ID == "" {
		find(w.Path())
	}
	for _, p := range w.Parents() {
		if p.ID() == "" {
			find(p.Query())
		}
	}
	if w.Operation == schema.OpDelete {
		return n + 1
	}
	body := w.Body
	if !exists && w.OnCreate != nil {
		body = w.OnCreate
	}
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // made by the mapping
	guids := map[string]bool{}         // those that are asked whether they were merged
	for _, r := range w.References {
		guids[r.Query()] = r.ID() != ""
	}
	rest, state, owner := false, false, false
	for name, value := range members {
		column, bind := strings.CutSuffix(name, "@odata.bind")
		switch {
		case bind:
			var target string
			_ = json.Unmarshal(value, &target) // "" for null
			if path := strings.TrimPrefix(target, "/"); path != "" && !boundByGUID(path) && !guids[path] {
				find(path)
			}
			if column == "ownerid" {
				owner = true
			} else {
				rest = true
			}
		case name == "statecode" || name == "statuscode":
			state = true
		default:
			rest = true
		}
	}
	if rest || !exists {
		n++
	}
	if state {
		n++
	}
	if owner && exists {
		n++
	}
	return n
}

// boundByGUID tells whether contacts(...) names its record by GUID.
func boundByGUID(path string) bool {
	_, key, _ := strings.Cut(path, "(")
	return schema.IsGUID(strings.TrimSuffix(key, ")"))
}
