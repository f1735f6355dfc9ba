package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// event is what this example reads of an event. The whole contract is in
// docs/events.md.
type event struct {
	SpecVersion    string
	Type           string
	Subject        string // the record's id
	Sequence       string
	ChangedColumns string
	// DataRef stands for the data of an event too large for a message.
	DataRef string
	Data    struct {
		// Record keeps its bytes: a float64 could not hold every number in it.
		Record json.RawMessage
	}
}

func parse(data []byte) (*event, error) {
	e := &event{}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	if e.SpecVersion != "1.0" || e.Subject == "" || e.Sequence == "" {
		return nil, fmt.Errorf("read an event: it is not one of the bridge's")
	}
	return e, nil
}

// change is loaded, created, updated or deleted.
func (e *event) change() string { return e.Type[strings.LastIndexByte(e.Type, '.')+1:] }

// held is the last known event of one record. A deleted record is held too, so
// that an older event that comes again cannot bring it back.
type held struct {
	sequence string
	record   json.RawMessage // nil: deleted
}

// state is the present state of the records of one table, by record id.
type state struct {
	records map[string]held
	live    int
}

func newState() *state { return &state{records: map[string]held{}} }

// apply takes an event in. It returns false for one that is known already or
// older than what is known: consumers may get an event more than once.
func (s *state) apply(e *event) bool {
	was, known := s.records[e.Subject]
	if known && e.Sequence <= was.sequence {
		return false
	}
	if was.record != nil {
		s.live--
	}
	if e.Data.Record != nil {
		s.live++
	}
	s.records[e.Subject] = held{e.Sequence, e.Data.Record}
	return true
}
