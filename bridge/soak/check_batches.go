package soak

// batches checks O6 and O7: that events stand in whole batches which end in the
// checkpoint of their table, and that each checkpoint took the place of the one before.
func (c *checker) batches() {
	held := map[string]uint64{} // table -> sequence of its checkpoint
	attempts := map[string]uint64{}
	open := map[string]Event{} // batch -> its first message that is recorded
	sealed := map[string]bool{}
	var at uint64
	for _, e := range c.h.Events {
		if e.Sequence != at+1 {
			c.fail("O6", "the recording goes from sequence %d to %d", at, e.Sequence)
		}
		at = e.Sequence
		if e.Batch == "" {
			if e.Kind != Other {
				c.fail("O6", "sequence %d (%s) was stored by itself", e.Sequence, e.Table)
			}
			continue
		}
		first, began := open[e.Batch]
		switch {
		case sealed[e.Batch]:
			c.fail("O6", "sequence %d (%s) stands behind the checkpoint of its batch", e.Sequence, e.Table)
		case !began && e.Place != 1:
			c.fail("O6", "the batch at sequence %d (%s) begins with its message %d", e.Sequence, e.Table, e.Place)
		case began && e.Sequence-first.Sequence != e.Place-first.Place:
			c.fail("O6", "sequence %d (%s) is message %d of a batch whose message %d stands at %d", e.Sequence, e.Table, e.Place, first.Place, first.Sequence)
		}
		if !began {
			open[e.Batch] = e
		}
		if e.Kind != Checkpoint {
			continue
		}
		sealed[e.Batch] = true
		delete(open, e.Batch)
		if e.Expected != held[e.Table] {
			c.fail("O7", "the checkpoint of %s at sequence %d takes the place of %d, not of %d", e.Table, e.Sequence, e.Expected, held[e.Table])
		}
		if was := attempts[e.Attempt]; was != 0 {
			c.fail("O7", "commit %s of %s is stored twice: sequences %d and %d", e.Attempt, e.Table, was, e.Sequence)
		}
		held[e.Table], attempts[e.Attempt] = e.Sequence, e.Sequence
	}
	for _, e := range open {
		c.fail("O6", "the batch at sequence %d (%s) has no checkpoint", e.Sequence, e.Table)
	}
}
