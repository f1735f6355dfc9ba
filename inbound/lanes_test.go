package inbound

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func share(a, b *entry) bool {
	return slices.ContainsFunc(a.lanes, func(key string) bool { return slices.Contains(b.lanes, key) })
}

// TestALaneWorksOneMessageAtATimeInOrder plays any interleaving of additions and
// completions of messages of one and of several keys, in any order of sequences.
func TestALaneWorksOneMessageAtATimeInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lanes
		var waiting, working []*entry
		// begin moves e to what is being worked on.
		begin := func(e *entry) {
			for _, other := range working {
				if share(e, other) {
					t.Fatalf("%d %v begins beside %d %v", e.message.Sequence, e.lanes, other.message.Sequence, other.lanes)
				}
			}
			for _, other := range waiting {
				if other != e && share(e, other) && other.message.Sequence < e.message.Sequence {
					t.Fatalf("%d %v overtakes %d %v", e.message.Sequence, e.lanes, other.message.Sequence, other.lanes)
				}
			}
			waiting = slices.DeleteFunc(waiting, func(other *entry) bool { return other == e })
			working = append(working, e)
		}
		finish := func(e *entry) {
			working = slices.DeleteFunc(working, func(other *entry) bool { return other == e })
			next, more := l.done(e)
			if next != nil {
				more = append(more, next)
			}
			for _, e := range more {
				begin(e)
			}
		}
		check := func() {
			// Whoever waits does so for somebody: never in a circle, never for nothing.
			for _, e := range waiting {
				older := func(other *entry) bool {
					return other != e && share(e, other) && other.message.Sequence <= e.message.Sequence
				}
				busy := func(other *entry) bool { return share(e, other) }
				if !slices.ContainsFunc(waiting, older) && !slices.ContainsFunc(working, busy) {
					t.Fatalf("%d %v waits for nothing", e.message.Sequence, e.lanes)
				}
			}
			if len(waiting) > 0 && len(working) == 0 {
				t.Fatal("all wait for each other")
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "finish") && len(working) > 0 {
				finish(rapid.SampledFrom(working).Draw(t, "which"))
				check()
				continue
			}
			e := &entry{
				lanes:   rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 4, rapid.ID).Draw(t, "keys"),
				message: &Message{Sequence: rapid.Uint64Range(1, 40).Draw(t, "sequence")},
			}
			// A message whose turn comes at once never waited.
			if l.add(e) {
				begin(e)
			} else {
				waiting = append(waiting, e)
			}
			check()
		}
		for len(working) > 0 {
			finish(working[0])
			check()
		}
		if len(waiting) > 0 || len(l.byKey) > 0 {
			t.Fatalf("%d messages and %d lanes are left", len(waiting), len(l.byKey))
		}
	})
}

func TestTheLongestLaneTellsHowManyWaitBehindAMessage(t *testing.T) {
	var l lanes
	first := &entry{lanes: []string{"a", "b"}, message: &Message{Sequence: 1}}
	l.add(first)
	for seq := range uint64(3) {
		l.add(&entry{lanes: []string{"b"}, message: &Message{Sequence: seq + 2}})
	}
	if n := l.behind(first); n != 3 {
		t.Errorf("%d behind, want 3", n)
	}
}
