package bridge

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"cebridge/outbound"
	"cebridge/schema/event"
)

// The index must say of every record what a plain map of whole events says.
func TestTheIndexAgreesWithAMapOfTheLastEvents(t *testing.T) {
	t.Parallel()
	type published struct {
		version int64
		hash    uint64
		deleted bool
	}
	one := rapid.Custom(func(t *rapid.T) published {
		return published{rapid.Int64Range(1, 3).Draw(t, "version"), rapid.Uint64Range(0, 2).Draw(t, "hash"), rapid.Bool().Draw(t, "deleted")}
	})
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Map(rapid.IntRange(0, 9), func(n int) string { return fmt.Sprintf("%08d-0000-0000-0000-000000000000", n) })
		model, index := map[string]published{}, &lastIndex{}
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			name, p := id.Draw(t, "id"), one.Draw(t, "event")
			model[name] = p
			change := event.Updated
			if p.deleted {
				change = event.Deleted
			}
			index.add(name, event.Published{Version: p.version, Hash: p.hash, Epoch: 1, Change: change})
		}
		live := int64(0)
		for _, p := range model {
			if !p.deleted {
				live++
			}
		}
		if got := index.seal(); got != live {
			t.Fatalf("%d live records, want %d", got, live)
		}
		left := maps.Clone(model)
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			row := outbound.Row{ID: id.Draw(t, "row"), Version: rapid.Int64Range(1, 3).Draw(t, "row version"), Hash: rapid.Uint64Range(0, 2).Draw(t, "row hash")}
			p, there := model[row.ID]
			_, unseen := left[row.ID]
			same := there && !p.deleted && p.version == row.Version && p.hash == row.Hash
			if got := index.settled(row.ID, row.Version, row.Hash); unseen && got != same {
				t.Fatalf("row %+v is settled: %t, last event %+v", row, got, p)
			}
			if want := there && !p.deleted; (index.kind(row.ID) == kindDifferent) != want || index.has(row.ID) != there {
				t.Fatalf("row %+v is %s, last event %+v (there: %t)", row, index.kind(row.ID), p, there)
			}
			delete(left, row.ID)
		}
		maps.DeleteFunc(left, func(_ string, p published) bool { return p.deleted })
		if index.left() != len(left) {
			t.Fatalf("%d left over, want %d", index.left(), len(left))
		}
		for name := range model {
			if _, want := left[name]; index.isLeft(name) != want {
				t.Fatalf("%s is left: %t, want %t", name, index.isLeft(name), want)
			}
		}
	})
}
