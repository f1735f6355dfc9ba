package soak

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// outbound checks O1 to O13.
func (c *checker) outbound() {
	s := readSource(c.h)
	c.batches()
	last, epochs := c.events(s)
	c.rewinds(s, epochs)
	for r, l := range s.lives {
		if c.h.Halted[r.table] {
			continue
		}
		w := l.final
		e, published := last[r]
		live := !w.Deleted && c.keeps(w)
		switch {
		case live && !published:
			c.incomplete(s, r, l, "O1", "%s (version %d) never reached the stream", r, w.Version)
		case live && e.Change == deletedChange:
			c.incomplete(s, r, l, "O4", "%s is live but its last event (sequence %d) says deleted", r, e.Sequence)
		case live && !c.shows(e, w, epochs):
			c.incomplete(s, r, l, "O1", "%s is at version %d, its last event (sequence %d) at %d", r, w.Version, e.Sequence, e.Version)
		case !live && published && e.Change != deletedChange:
			c.incomplete(s, r, l, "O4", "%s is not there to be published, but its last event (sequence %d) says %s", r, e.Sequence, e.Change)
		}
	}
}

const deletedChange = "deleted"

// incomplete reports a record whose end the stream does not show: as O8 when it had
// that end before the table's tokens expired, as O11 while another table was halted.
func (c *checker) incomplete(s *source, r recordID, l *life, rule, format string, args ...any) {
	if at, expired := s.expired[r.table]; expired && l.at < at {
		rule = "O8"
	} else if len(c.h.Halted) > 0 {
		rule = "O11"
	}
	c.fail(rule, format, args...)
}

func (c *checker) keeps(w Write) bool {
	keep := c.h.Tables[w.Table].Keep
	return keep == nil || keep(w.Columns)
}

// shows tells whether a record's last event stands for its last row: it bears its
// version, or its content where that is enough.
func (c *checker) shows(e Event, w Write, epochs map[string]int) bool {
	f := c.h.Tables[w.Table]
	renewed := e.Epoch < epochs[w.Table]
	if e.Version == w.Version && !renewed {
		return true
	}
	if !f.OnlyChanges && !renewed {
		return false
	}
	for _, col := range f.Columns {
		if (!f.OnlyChanges || !slices.Contains(f.Ignore, col)) && !bytes.Equal(valueOf(e.Record, col), valueOf(w.Columns, col)) {
			return false
		}
	}
	return true
}

// valueOf is a column's value; an absent one is null.
func valueOf(row map[string]json.RawMessage, col string) json.RawMessage {
	if v := row[col]; v != nil {
		return v
	}
	return json.RawMessage("null")
}

// events checks the stream's events one by one and against the source. It returns
// each record's last event and each table's epoch.
func (c *checker) events(s *source) (map[recordID]Event, map[string]int) {
	last, epochs := map[recordID]Event{}, map[string]int{}
	for _, e := range c.h.Events {
		if e.Kind == Checkpoint {
			epochs[e.Table] = max(epochs[e.Table], e.Epoch)
		}
		if e.Kind != Record {
			continue
		}
		r := recordID{e.Table, e.ID}
		before, seen := last[r]
		c.place(r, e, before, seen)
		if want := identity(e); e.EventID != want || e.Source != c.h.Source+"/"+e.Table {
			c.fail("O12", "the event at sequence %d has id %s and source %s, not %s and %s/%s", e.Sequence, e.EventID, e.Source, want, c.h.Source, e.Table)
		}
		last[r] = e
		c.aside(s, e)
		if e.Lost != "" {
			continue // what it says is not known
		}
		if e.Change == deletedChange {
			c.deletion(s, r, e)
			continue
		}
		c.payload(s, r, e)
	}
	return last, epochs
}

// place checks an event against the one before it on its subject.
func (c *checker) place(r recordID, e, before Event, seen bool) {
	deleted := e.Change == deletedChange
	switch {
	case !seen:
	case e.Epoch > before.Epoch:
		if deleted && before.Change == deletedChange {
			c.fail("O2", "%s is deleted twice: sequences %d and %d", r, before.Sequence, e.Sequence)
		}
	case before.Epoch == e.Epoch && before.Version == e.Version && (before.Change == deletedChange) == deleted:
		c.fail("O2", "%s version %d stands twice: sequences %d and %d", r, e.Version, before.Sequence, e.Sequence)
	case e.Epoch < before.Epoch || e.Version < before.Version || e.Version == before.Version && !deleted:
		c.fail("O3", "%s goes back from version %d (epoch %d) to %d (epoch %d) at sequence %d", r, before.Version, before.Epoch, e.Version, e.Epoch, e.Sequence)
	}
	want := ""
	if seen {
		want = strconv.FormatInt(before.Version, 10)
	}
	if e.Previous != want {
		c.fail("O3", "%s at sequence %d follows version %q, it says %q", r, e.Sequence, want, e.Previous)
	}
}

// identity is the id that an event must have.
func identity(e Event) string {
	id := e.Table + "/" + e.ID + "/" + strconv.FormatInt(e.Version, 10)
	if e.Change == deletedChange {
		id += "/deleted"
	}
	if e.Epoch > 1 {
		id += "@" + strconv.Itoa(e.Epoch)
	}
	return id
}

// deletion checks that the record was once not to be published.
func (c *checker) deletion(s *source, r recordID, e Event) {
	l := s.lives[r]
	if l == nil {
		c.fail("O5", "%s never was, sequence %d deletes it", r, e.Sequence)
		return
	}
	left := false
	for _, list := range l.states {
		left = left || slices.ContainsFunc(list, func(st state) bool { return !c.keeps(st.row) })
	}
	if !l.gone && !left {
		c.fail("O10", "%s was never deleted, sequence %d says so", r, e.Sequence)
	}
}

func (c *checker) payload(s *source, r recordID, e Event) {
	var list []state
	if l := s.lives[r]; l != nil {
		list = l.states[e.Version]
	}
	if len(list) == 0 {
		c.fail("O5", "%s never had version %d (sequence %d)", r, e.Version, e.Sequence)
		return
	}
	w := list[len(list)-1].row
	for _, st := range list {
		if c.differs(e, st.row) == "" {
			w = st.row
		}
	}
	if !c.keeps(w) {
		c.fail("O5", "%s version %d (sequence %d) does not pass the filter", r, e.Version, e.Sequence)
	}
	col := c.differs(e, w)
	if col == "" {
		return
	}
	rule, got, want := "O5", valueOf(e.Record, col), valueOf(w.Columns, col)
	if string(got) == "null" {
		rule = "O10"
	}
	c.fail(rule, "%s version %d (sequence %d): column %s is %s, the record had %s", r, e.Version, e.Sequence, col, got, want)
}

// differs names the first column in which an event is not the row.
func (c *checker) differs(e Event, w Write) string {
	for _, col := range c.h.Tables[e.Table].Columns {
		if !bytes.Equal(valueOf(e.Record, col), valueOf(w.Columns, col)) {
			return col
		}
	}
	return ""
}

// rewinds checks that a table that published what a restore took back began a new
// epoch. A restore that it did not live to see is left out: nothing of it was read.
func (c *checker) rewinds(s *source, epochs map[string]int) {
	for _, back := range s.restored {
		silent := map[string]bool{}
		for _, e := range c.h.Events {
			if e.Kind != Record || e.Change == deletedChange || e.Version <= back.version || e.Epoch < epochs[e.Table] || silent[e.Table] {
				continue
			}
			l := s.lives[recordID{e.Table, e.ID}]
			if l == nil {
				continue
			}
			if !slices.ContainsFunc(l.states[e.Version], func(st state) bool { return st.at > back.at }) && len(l.states[e.Version]) > 0 {
				silent[e.Table] = true
				c.fail("O9", "%s: the source went back to version %d, the stream still holds %d of epoch %d", e.Table, back.version, e.Version, e.Epoch)
			}
		}
	}
}
