package soak

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func text(s string) json.RawMessage { return json.RawMessage(strconv.Quote(s)) }

func columns(key string, order int64, name string) map[string]json.RawMessage {
	return map[string]json.RawMessage{KeyColumn: text(key), OrderColumn: json.RawMessage(fmt.Sprint(order)), "name": text(name)}
}

// story makes histories: writes, and a stream that shows them.
type story struct {
	*History
	versions map[recordID]int64 // of each record's last event
	held     map[string]uint64
	batches  int
	epoch    int
}

func newStory() *story {
	return &story{
		History: &History{
			Tables: map[string]Followed{
				"account": {Columns: []string{"name", KeyColumn}},
				"contact": {Columns: []string{"lastname"}, OnlyChanges: true, Keep: func(row map[string]json.RawMessage) bool {
					return string(row["lastname"]) != `"secret"`
				}},
			},
			Dead: map[uint64]bool{}, Source: "/crm/contoso",
		},
		versions: map[recordID]int64{}, held: map[string]uint64{}, epoch: 1,
	}
}

func (s *story) write(table, id string, version int64, row map[string]json.RawMessage) {
	s.Writes = append(s.Writes, Write{Table: table, ID: id, Version: version, Deleted: row == nil, Columns: row})
}

// batch stores events of one table with its next checkpoint.
func (s *story) batch(table string, events ...Event) {
	s.batches++
	add := func(e Event) {
		e.Sequence, e.Table, e.Batch, e.Epoch = uint64(len(s.Events)+1), table, fmt.Sprint("b", s.batches), s.epoch
		e.Place = 1
		if n := len(s.Events); n > 0 && s.Events[n-1].Batch == e.Batch {
			e.Place = s.Events[n-1].Place + 1
		}
		s.Events = append(s.Events, e)
	}
	for _, e := range events {
		r := recordID{table, e.ID}
		if was, known := s.versions[r]; known {
			e.Previous = fmt.Sprint(was)
		}
		if e.Change == deletedChange && e.Version == 0 {
			e.Version = s.versions[r]
		}
		s.versions[r] = e.Version
		e.Table, e.Epoch, e.Source = table, s.epoch, s.Source+"/"+table
		e.EventID = identity(e)
		add(e)
	}
	add(Event{Kind: Checkpoint, Expected: s.held[table], Attempt: fmt.Sprint("try", s.batches)})
	s.held[table] = uint64(len(s.Events))
}

func shown(id string, version int64, change string, row map[string]json.RawMessage) Event {
	return Event{ID: id, Version: version, Change: change, Record: row}
}

// healthy returns a history in which nothing is wrong: two keyed records written by
// messages, one of them twice; one that came and went; a contact that the filter lost and
// one whose last version is not worth an event; tokens that expired.
func healthy() *History {
	s := newStory()
	s.Dead[4] = true
	s.AckFloor = 4
	s.Sent = []Sent{{1, "account", "A", 1}, {2, "account", "B", 1}, {3, "account", "A", 2}, {4, "account", "C", 1}}
	one, two, more := columns("A", 1, "one"), columns("B", 1, "two"), columns("A", 2, "one more")
	gone := map[string]json.RawMessage{"name": text("gone")}
	lastname := func(s string) map[string]json.RawMessage { return map[string]json.RawMessage{"lastname": text(s)} }
	s.write("account", "a", 10, one)
	s.write("account", "b", 11, two)
	s.write("account", "x", 12, gone)
	s.batch("account", shown("a", 10, "loaded", one), shown("b", 11, "loaded", two), shown("x", 12, "loaded", gone)) // 1-4
	s.write("account", "a", 13, more)
	s.write("account", "x", 14, nil)
	s.batch("account", shown("a", 13, "updated", more)) // 5-6
	s.Writes = append(s.Writes, Write{Mark: Expired, Table: "account"})
	s.Events = append(s.Events, Event{Kind: Other, Sequence: uint64(len(s.Events) + 1)}) // 7: a lease
	s.batch("account", shown("x", 0, deletedChange, nil))                                // 8-9
	s.write("contact", "c", 15, lastname("open"))
	s.write("contact", "d", 16, lastname("Smith"))
	s.batch("contact", shown("c", 15, "loaded", lastname("open")), shown("d", 16, "loaded", lastname("Smith"))) // 10-12
	s.write("contact", "c", 17, lastname("secret"))
	s.write("contact", "d", 18, lastname("Smith"))
	s.batch("contact", shown("c", 17, deletedChange, nil)) // 13-14
	return s.History
}

// restoredStory goes back to version 10 after version 12 was published.
func restoredStory(renewed bool) *History {
	s := newStory()
	one, two, three := columns("", 0, "one"), columns("", 0, "two"), columns("", 0, "three")
	s.write("account", "a", 10, one)
	s.write("account", "b", 11, one)
	s.write("account", "a", 12, two)
	s.batch("account", shown("a", 10, "loaded", one), shown("b", 11, "loaded", one))
	s.batch("account", shown("a", 12, "updated", two))
	s.Writes = append(s.Writes, Write{Mark: Restored, Version: 10})
	s.write("account", "a", 12, three)
	if renewed {
		s.epoch = 2
	}
	s.batch("account", shown("a", 12, "updated", three), Event{ID: "b", Version: 1, Change: deletedChange})
	return s.History
}

func TestAHealthyHistoryPasses(t *testing.T) {
	for name, h := range map[string]*History{"plain": healthy(), "restored": restoredStory(true), "told": told(1)} {
		if found := Check(h); len(found) > 0 {
			t.Errorf("%s: a healthy history was refused: %v", name, found)
		}
	}
}

// at is the place of a sequence in a healthy history.
func at(h *History, seq int) *Event { return &h.Events[seq-1] }

// unexpire takes the mark out, by which what is missing belongs to O8.
func unexpire(h *History) {
	h.Writes = slices.DeleteFunc(h.Writes, func(w Write) bool { return w.Mark == Expired })
}

// renumber gives the sequences that the stream would have given.
func renumber(h *History) {
	moved := map[uint64]uint64{}
	for i := range h.Events {
		moved[h.Events[i].Sequence] = uint64(i + 1)
		h.Events[i].Sequence = uint64(i + 1)
	}
	for i := range h.Events {
		if to, ok := moved[h.Events[i].Expected]; ok {
			h.Events[i].Expected = to
		}
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		rule   string
		damage func(*History)
	}{
		"an event dropped":       {"O1", func(h *History) { unexpire(h); h.Events = slices.Delete(h.Events, 4, 6); renumber(h) }},
		"a contact out of date":  {"O1", func(h *History) { h.Writes[len(h.Writes)-1].Columns["lastname"] = text("Jones") }},
		"a record without event": {"O1", func(h *History) { h.Writes = append(h.Writes, Write{Table: "account", ID: "y", Version: 19}) }},
		"an event doubled": {"O2", func(h *History) {
			h.Events = slices.Insert(h.Events, 4, h.Events[0])
			renumber(h)
		}},
		"a delete doubled": {"O2", func(h *History) {
			h.Events = slices.Insert(h.Events, 8, h.Events[7])
			renumber(h)
		}},
		"two events swapped": {"O3", func(h *History) { h.Events[0], h.Events[4] = h.Events[4], h.Events[0]; renumber(h) }},
		"an old version again": {"O3", func(h *History) {
			h.Events = append(h.Events, h.Events[:4]...)
			renumber(h)
		}},
		"a predecessor not named": {"O3", func(h *History) { at(h, 5).Previous = "" }},
		"a delete lost": {"O4", func(h *History) {
			h.Events = slices.Delete(h.Events, 12, 14)
		}},
		"a live record deleted": {"O4", func(h *History) {
			unexpire(h)
			e := *at(h, 2)
			e.Change, e.Sequence = deletedChange, 15
			h.Events = append(h.Events, e)
		}},
		"a payload changed":  {"O5", func(h *History) { at(h, 1).Record = columns("A", 1, "another") }},
		"a version invented": {"O5", func(h *History) { at(h, 2).Version = 12 }},
		"a record invented":  {"O5", func(h *History) { at(h, 2).ID = "nobody" }},
		"a delete of nobody": {"O5", func(h *History) { at(h, 8).ID = "nobody" }},
		"a filtered row published": {"O5", func(h *History) {
			h.Writes[6].Columns["lastname"], at(h, 10).Record = text("secret"), map[string]json.RawMessage{"lastname": text("secret")}
		}},
		"a checkpoint missing":    {"O6", func(h *History) { h.Events = h.Events[:13] }},
		"half a batch":            {"O6", func(h *History) { h.Events = slices.Delete(h.Events, 0, 1); renumber(h) }},
		"a hole in a batch":       {"O6", func(h *History) { h.Events = slices.Delete(h.Events, 1, 2); renumber(h) }},
		"a hole in the recording": {"O6", func(h *History) { h.Events = slices.Delete(h.Events, 6, 7) }},
		"an event by itself":      {"O6", func(h *History) { at(h, 5).Batch = "" }},
		"an event behind its checkpoint": {"O6", func(h *History) {
			h.Events[4], h.Events[5] = h.Events[5], h.Events[4]
			renumber(h)
		}},
		"two heirs of a checkpoint":   {"O7", func(h *History) { at(h, 9).Expected = 4 }},
		"a first checkpoint again":    {"O7", func(h *History) { at(h, 14).Expected = 0 }},
		"a commit stored twice":       {"O7", func(h *History) { at(h, 9).Attempt = at(h, 6).Attempt }},
		"a delete lost to expiry":     {"O8", func(h *History) { at(h, 8).Kind = Other }},
		"a change lost to expiry":     {"O8", func(h *History) { at(h, 5).Kind = Other }},
		"a column nulled":             {"O10", func(h *History) { at(h, 2).Record = map[string]json.RawMessage{KeyColumn: text("B")} }},
		"a delete nobody made":        {"O10", func(h *History) { *at(h, 7) = *at(h, 2); at(h, 7).Change = deletedChange }},
		"a table held up by another":  {"O11", func(h *History) { h.Halted = map[string]bool{"account": true}; at(h, 13).Kind = Other }},
		"an id of its own":            {"O12", func(h *History) { at(h, 2).EventID = "account/b/11/again" }},
		"another source":              {"O12", func(h *History) { at(h, 2).Source = "/crm/fabrikam/account" }},
		"an epoch that the id hides":  {"O12", func(h *History) { at(h, 2).Epoch = 2 }},
		"a restore passed in silence": {"O9", func(h *History) { *h = *restoredStory(false) }},
		"a message acked early":       {"I1", func(h *History) { h.Sent = append(h.Sent, Sent{5, "account", "D", 1}); h.AckFloor = 5 }},
		"a message left over":         {"I2", func(h *History) { h.Unsettled = 1 }},
		"a message never applied":     {"I2", func(h *History) { h.Sent = append(h.Sent, Sent{5, "account", "D", 1}); h.Unsettled = 1 }},
		"the newest lost":             {"I3", func(h *History) { h.Sent = append(h.Sent, Sent{5, "account", "A", 3}) }},
		"a stale overwrite": {"I4", func(h *History) {
			h.Writes = append(h.Writes, Write{Table: "account", ID: "a", Version: 19, Columns: columns("A", 1, "one")})
		}},
		"a second record for a message": {"I5", func(h *History) {
			h.Writes = append(h.Writes, Write{Table: "account", ID: "a2", Version: 19, Columns: columns("A", 2, "one more")})
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

// told is a long healthy history from a seed: records that are made, changed, deleted and
// made again, in batches of some.
func told(seed uint64) *History {
	rnd := rand.New(rand.NewPCG(seed, 3))
	s := newStory()
	live := map[string]bool{}
	version := int64(100)
	for range 60 {
		var events []Event
		used := map[string]bool{}
		for range 1 + rnd.IntN(6) {
			id := fmt.Sprint("r", rnd.IntN(12))
			if used[id] {
				continue
			}
			used[id] = true
			version++
			if live[id] && rnd.IntN(4) == 0 {
				live[id] = false
				s.write("account", id, version, nil)
				events = append(events, shown(id, 0, deletedChange, nil))
				continue
			}
			change := "updated"
			if !live[id] {
				change = "created"
			}
			live[id] = true
			row := columns("", 0, fmt.Sprint("name ", version))
			s.write("account", id, version, row)
			events = append(events, shown(id, version, change, row))
		}
		s.batch("account", events...)
	}
	return s.History
}

// A damaged stream has the sequences of a stream to which that really happened.
func TestNoDroppedDoubledSwappedOrStaleEventPasses(t *testing.T) {
	kinds := map[string]func(rnd *rand.Rand, h *History, i, j int) bool{
		"dropped": func(_ *rand.Rand, h *History, i, _ int) bool {
			h.Events = slices.Delete(h.Events, i, i+1)
			return true
		},
		"doubled": func(_ *rand.Rand, h *History, i, j int) bool {
			h.Events = slices.Insert(h.Events, max(i, j), h.Events[i])
			return true
		},
		"swapped": func(_ *rand.Rand, h *History, i, j int) bool {
			h.Events[i], h.Events[j] = h.Events[j], h.Events[i]
			return i != j
		},
		"stale": func(_ *rand.Rand, h *History, i, _ int) bool { // a row that the record had before
			e := &h.Events[i]
			for k := i - 1; k >= 0; k-- {
				if b := h.Events[k]; b.Kind == Record && b.ID == e.ID && b.Record != nil && e.Record != nil {
					e.Record = b.Record
					return true
				}
			}
			return false
		},
		"a batch dropped": func(_ *rand.Rand, h *History, i, _ int) bool {
			batch := h.Events[i].Batch
			h.Events = slices.DeleteFunc(h.Events, func(e Event) bool { return e.Batch == batch })
			return true
		},
		"a batch doubled": func(_ *rand.Rand, h *History, i, _ int) bool {
			batch := h.Events[i].Batch
			for _, e := range slices.Clone(h.Events) {
				if e.Batch == batch {
					e.Batch += "again"
					h.Events = append(h.Events, e)
				}
			}
			return true
		},
	}
	for name, damage := range kinds {
		done := 0
		for seed := range uint64(300) {
			rnd := rand.New(rand.NewPCG(seed, 4))
			h := told(seed)
			if !damage(rnd, h, rnd.IntN(len(h.Events)), rnd.IntN(len(h.Events))) {
				continue
			}
			done++
			renumber(h)
			if len(Check(h)) == 0 {
				t.Errorf("seed %d: %s, and not found", seed, name)
			}
		}
		if done < 100 {
			t.Errorf("%s: only %d histories damaged", name, done)
		}
	}
}
