package event

import (
	"cmp"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestIDNamesRecordVersionAndEpoch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		version int64
		epoch   int
		deleted bool
		want    string
	}{
		{"first epoch is not written", 12, 1, false, "account/r/12"},
		{"delete", 12, 1, true, "account/r/12/deleted"},
		{"later epoch", 12, 2, false, "account/r/12@2"},
		{"delete in a later epoch", 12, 30, true, "account/r/12/deleted@30"},
		{"largest version", math.MaxInt64, 9999, true, "account/r/9223372036854775807/deleted@9999"},
	} {
		if got := ID("account", "r", tc.version, tc.epoch, tc.deleted); got != tc.want {
			t.Errorf("%s: ID = %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestSequenceHasFixedWidth(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0001.0000000000000000123.0": Sequence(123, 1, false),
		"0012.9223372036854775807.1": Sequence(math.MaxInt64, 12, true),
		"9999.0000000000000000000.0": Sequence(0, 9999, false),
	} {
		if got != want {
			t.Errorf("Sequence = %q, want %q", got, want)
		}
	}
}

type position struct {
	epoch   int
	version int64
	deleted bool
}

func drawPosition(t *rapid.T, name string) position {
	return position{
		epoch: rapid.IntRange(1, MaxEpoch).Draw(t, name+" epoch"),
		version: rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, math.MaxInt64)).
			Draw(t, name+" version"),
		deleted: rapid.Bool().Draw(t, name+" deleted"),
	}
}

func (p position) compare(q position) int {
	order := map[bool]int{false: 0, true: 1}
	return cmp.Or(cmp.Compare(p.epoch, q.epoch), cmp.Compare(p.version, q.version),
		cmp.Compare(order[p.deleted], order[q.deleted]))
}

func TestSequencesCompareAsTextLikePositions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPosition(t, "p"), drawPosition(t, "q")
		got := cmp.Compare(Sequence(p.version, p.epoch, p.deleted), Sequence(q.version, q.epoch, q.deleted))
		if want := p.compare(q); got != want {
			t.Fatalf("%+v and %+v compare as %d, want %d", p, q, got, want)
		}
	})
}

func TestIDsDifferWhenPositionsDo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPosition(t, "p"), drawPosition(t, "q")
		same := ID("account", "r", p.version, p.epoch, p.deleted) == ID("account", "r", q.version, q.epoch, q.deleted)
		if same != (p == q) {
			t.Fatalf("ids of %+v and %+v equal: %v", p, q, same)
		}
	})
}
