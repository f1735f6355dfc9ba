package sim

import (
	"bytes"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// idOrder lists record ids in ascending order: the order of a query that asks for
// none, and what a paging cookie points into. Ids of deleted records may linger.
// Adding needs the server's write lock; reading takes any.
type idOrder struct {
	mu      sync.Mutex
	sorted  []uuid.UUID
	pending []uuid.UUID
	removed int
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// add notes a new id. The simulator makes ids that ascend, so that sorting them
// in is an append.
func (o *idOrder) add(id uuid.UUID) {
	o.mu.Lock()
	o.pending = append(o.pending, id)
	o.mu.Unlock()
}

// remove notes that an id is gone.
func (o *idOrder) remove() {
	o.mu.Lock()
	o.removed++
	o.mu.Unlock()
}

// ids returns every id in ascending order, without repetitions. live tells which
// are still records; the others may be left out. The result stays as it is.
func (o *idOrder) ids(live func(uuid.UUID) bool) []uuid.UUID {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) > 0 {
		slices.SortFunc(o.pending, compareIDs)
		o.pending = slices.Compact(o.pending)
		if n := len(o.sorted); n == 0 || compareIDs(o.sorted[n-1], o.pending[0]) < 0 {
			o.sorted = append(o.sorted, o.pending...)
		} else {
			o.sorted = mergeIDs(o.sorted, o.pending)
		}
		o.pending = o.pending[:0]
	}
	if o.removed > 1024 && o.removed*2 > len(o.sorted) {
		kept := make([]uuid.UUID, 0, len(o.sorted)/2)
		for _, id := range o.sorted {
			if live(id) {
				kept = append(kept, id)
			}
		}
		o.sorted, o.removed = kept, 0
	}
	return o.sorted
}

func mergeIDs(a, b []uuid.UUID) []uuid.UUID {
	out := make([]uuid.UUID, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := compareIDs(a[0], b[0]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// after returns the index of the first id above id.
func after(ids []uuid.UUID, id uuid.UUID) int {
	i, found := slices.BinarySearchFunc(ids, id, compareIDs)
	if found {
		i++
	}
	return i
}

// reset replaces all ids.
func (o *idOrder) reset(ids []uuid.UUID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sorted, o.pending, o.removed = nil, ids, 0
}
