package inbound

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestALaneWorksOneMessageAtATimeInOrder plays any interleaving of additions and
// completions against a plain model.
func TestALaneWorksOneMessageAtATimeInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lanes
		working := map[string]*lane{}    // the one that is being worked, by key
		waiting := map[string][]uint64{} // what the model expects, without the first
		seen := map[uint64]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
			if rapid.Bool().Draw(t, "add") {
				seq := rapid.Uint64Range(1, 1000).Draw(t, "sequence")
				if seen[seq] {
					continue
				}
				seen[seq] = true
				started := l.add(&entry{lane: key, message: &Message{Sequence: seq}})
				if (started != nil) != (working[key] == nil) {
					t.Fatalf("lane %s started: %t", key, started != nil)
				}
				if started != nil {
					working[key] = started
					continue
				}
				waiting[key] = append(waiting[key], seq)
				slices.Sort(waiting[key])
				continue
			}
			q := working[key]
			if q == nil {
				continue
			}
			next := l.done(q)
			if next == nil {
				if len(waiting[key]) != 0 {
					t.Fatalf("lane %s ended before %v", key, waiting[key])
				}
				delete(working, key)
				continue
			}
			if next != q.queue[0] || next.message.Sequence != waiting[key][0] {
				t.Fatalf("next of %s is %d, want %d", key, next.message.Sequence, waiting[key][0])
			}
			waiting[key] = waiting[key][1:]
		}
		if len(l.byKey) != len(working) {
			t.Fatalf("%d lanes, want %d", len(l.byKey), len(working))
		}
	})
}
