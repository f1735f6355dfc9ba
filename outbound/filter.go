package outbound

import "hash/maphash"

const (
	filterFirstBits = 1 << 19 // 64 KiB
	filterLastBits  = 1 << 26 // 8 MiB; all layers together stay below 16 MiB
	filterBitsPerID = 16
	filterProbes    = 6
)

// idFilter is a Bloom filter of record ids: it never denies an id that was
// added, and may claim one that was not. It grows in layers, each twice the size
// of the one before, so that a small table pays for a small filter. The layers
// reach 16 MiB at about 8 million ids; beyond, the last one fills up and the
// filter merely claims more often.
type idFilter struct {
	seed   maphash.Seed
	layers [][]uint64
	room   int
}

// newIDFilter makes an empty one. It has no seed before something is added: most rounds
// find nothing.
func newIDFilter() *idFilter { return &idFilter{} }

// has tells whether id may have been added.
func (f *idFilter) has(id string) bool {
	return len(f.layers) > 0 && f.holds(maphash.String(f.seed, id))
}

// add adds id.
func (f *idFilter) add(id string) {
	f.begin()
	f.put(maphash.String(f.seed, id))
}

// hasVersion and addVersion do the same for one version of a record.
func (f *idFilter) hasVersion(id string, version int64) bool {
	return len(f.layers) > 0 && f.holds(f.ofVersion(id, version))
}

func (f *idFilter) addVersion(id string, version int64) {
	f.begin()
	f.put(f.ofVersion(id, version))
}

func (f *idFilter) begin() {
	if len(f.layers) == 0 {
		f.grow()
	}
}

func (f *idFilter) ofVersion(id string, version int64) uint64 {
	return maphash.Comparable(f.seed, struct {
		id      string
		version int64
	}{id, version})
}

func (f *idFilter) holds(h uint64) bool {
	for _, layer := range f.layers {
		if layerHas(layer, h) {
			return true
		}
	}
	return false
}

func (f *idFilter) put(h uint64) {
	if f.room == 0 {
		f.grow()
	}
	layer := f.layers[len(f.layers)-1]
	mask := uint64(len(layer)*64 - 1)
	step := h>>32 | 1
	for range filterProbes {
		layer[h&mask>>6] |= 1 << (h & 63)
		h += step
	}
	f.room--
}

func (f *idFilter) grow() {
	if len(f.layers) == 0 {
		f.seed = maphash.MakeSeed()
	}
	bits := filterFirstBits << len(f.layers)
	if bits > filterLastBits {
		f.room = -1 // the last layer takes all the rest
		return
	}
	f.layers = append(f.layers, make([]uint64, bits/64))
	f.room = bits / filterBitsPerID
}

func layerHas(layer []uint64, h uint64) bool {
	mask := uint64(len(layer)*64 - 1)
	step := h>>32 | 1
	for range filterProbes {
		if layer[h&mask>>6]&(1<<(h&63)) == 0 {
			return false
		}
		h += step
	}
	return true
}
