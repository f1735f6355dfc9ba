package soak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// aside checks O13: what an event says beside its row. Its data, where that is kept apart,
// is there and is its own; the references name what the row points at, with a key that the
// target had.
func (c *checker) aside(s *source, e Event) {
	f := c.h.Tables[e.Table]
	switch {
	case e.Lost != "":
		c.fail("O13", "the event at sequence %d refers to %s: %s", e.Sequence, e.DataRef, e.Lost)
		return
	case e.DataRef == "" && f.Above > 0 && e.Size > f.Above:
		c.fail("O13", "the event at sequence %d has %d bytes, more than %d, and all of its data", e.Sequence, e.Size, f.Above)
	case e.DataRef != "":
		deleted := 0
		if e.Change == deletedChange {
			deleted = 1
		}
		if want := fmt.Sprintf("/%s/%s/%04d.%019d.%d/", e.Table, e.ID, e.Epoch, e.Version, deleted); !strings.Contains(e.DataRef, want) {
			c.fail("O13", "the event at sequence %d refers to %s, which is not its own", e.Sequence, e.DataRef)
		}
	}
	if e.Change == deletedChange {
		return
	}
	for name, ref := range f.References {
		var to string
		_ = json.Unmarshal(valueOf(e.Record, ref.Read), &to) // null stays ""
		told, stated := e.References[name]
		switch {
		case to == "" && stated:
			c.fail("O13", "the event at sequence %d states a target of %s, which is null", e.Sequence, name)
		case to == "":
		case !stated || told.Table != ref.Table || !strings.EqualFold(told.ID, to):
			c.fail("O13", "the event at sequence %d says that %s points at %s %q, it points at %s %s", e.Sequence, name, told.Table, told.ID, ref.Table, to)
		default:
			c.key(s, e, ref, told)
		}
	}
}

// key checks that the target had the key that is stated of it at some time, and that none
// is left out of a target that was always there.
func (c *checker) key(s *source, e Event, ref Reference, told Referenced) {
	l := s.lives[recordID{ref.Table, told.ID}]
	switch {
	case l == nil:
		c.fail("O13", "the event at sequence %d points at %s %s, which never was", e.Sequence, ref.Table, told.ID)
		return
	case told.Key == nil:
		if !l.gone {
			c.fail("O13", "the event at sequence %d states no key of %s %s, which is there", e.Sequence, ref.Table, told.ID)
		}
		return
	}
	for _, list := range l.states {
		if slices.ContainsFunc(list, func(st state) bool { return bytes.Equal(valueOf(st.row.Columns, ref.Key), valueOf(told.Key, ref.Key)) }) {
			return
		}
	}
	c.fail("O13", "the event at sequence %d states %s of %s %s, which never had it", e.Sequence, valueOf(told.Key, ref.Key), ref.Table, told.ID)
}
