package inbound

import (
	"testing"

	"pgregory.net/rapid"
)

func TestMemoryKeepsTheLatestAndIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "size")
		m := newMemory(size)
		kept := map[uint64]*progress{}
		var order []uint64 // oldest first
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			seq := rapid.Uint64Range(1, 20).Draw(t, "sequence")
			p := &progress{attempts: int(seq)}
			if kept[seq] == nil {
				if order = append(order, seq); len(order) > size {
					delete(kept, order[0])
					order = order[1:]
				}
			}
			kept[seq] = p
			m.keep(messageID{"i", seq}, p)
			if len(m.known) > size || len(m.order) > size {
				t.Fatalf("%d remembered of %d", len(m.known), size)
			}
			for s := uint64(1); s <= 20; s++ {
				got := m.recall(messageID{"i", s})
				if kept[s] != nil && got != kept[s] || kept[s] == nil && got.attempts != 0 {
					t.Fatalf("message %d: %+v, want %+v", s, got, kept[s])
				}
			}
		}
		if m.recall(messageID{"another", 1}).attempts != 0 {
			t.Fatal("a message of another incarnation is known")
		}
	})
}
