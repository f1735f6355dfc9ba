package outbound

import "slices"

// sequenceSet remembers sequences of the stream. Of every 65,536 in a row it holds
// either a sorted list (2 bytes for each) or, from 4,096 members on, a bitmap of
// 8 KiB: never more than 2 bytes for a member beside the index.
type sequenceSet struct {
	blocks map[uint64]*sequenceBlock
	size   int
}

type sequenceBlock struct {
	list []uint16
	bits *[1024]uint64
}

// denseFrom is where a bitmap is no larger than the list.
const denseFrom = 4096

// add adds a sequence.
func (s *sequenceSet) add(seq uint64) {
	if s.blocks == nil {
		s.blocks = map[uint64]*sequenceBlock{}
	}
	b := s.blocks[seq>>16]
	if b == nil {
		b = &sequenceBlock{}
		s.blocks[seq>>16] = b
	}
	if b.add(uint16(seq)) {
		s.size++
	}
}

// has tells whether a sequence was added.
func (s *sequenceSet) has(seq uint64) bool {
	b := s.blocks[seq>>16]
	if b == nil {
		return false
	}
	low := uint16(seq)
	if b.bits != nil {
		return b.bits[low>>6]&(1<<(low&63)) != 0
	}
	_, found := slices.BinarySearch(b.list, low)
	return found
}

func (b *sequenceBlock) add(low uint16) (added bool) {
	if b.bits != nil {
		added = b.bits[low>>6]&(1<<(low&63)) == 0
		b.bits[low>>6] |= 1 << (low & 63)
		return added
	}
	i, found := slices.BinarySearch(b.list, low)
	if found {
		return false
	}
	if b.list = slices.Insert(b.list, i, low); len(b.list) >= denseFrom {
		b.bits = new([1024]uint64)
		for _, v := range b.list {
			b.bits[v>>6] |= 1 << (v & 63)
		}
		b.list = nil
	}
	return true
}
