package bridge

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"cebridge/schema/event"
)

// The kinds of a difference.
const (
	kindMissing   = "missing"
	kindExtra     = "extra"
	kindDifferent = "different"
)

// lastIndex knows the last event of every record of a table in 16 bytes each: a
// hash of the id, and one of what was published. Two ids with one hash (odds below
// one in a million for a table of five million records) make the record a
// difference that is then looked at again, never one that is overlooked.
type lastIndex struct {
	entries []indexEntry
}

type indexEntry struct{ id, state uint64 }

// States that are no digest.
const (
	stateDeleted = iota
	stateSettled // Customer Engagement showed exactly that
	stateDoubted // Customer Engagement showed something else
	firstDigest
)

func (x *lastIndex) add(id string, p event.Published) {
	state := uint64(stateDeleted)
	if !p.Deleted() {
		state = digest(p.Version, p.Hash)
	}
	x.entries = append(x.entries, indexEntry{xxhash.Sum64String(id), state})
}

// digest is of what makes two rows the same.
func digest(version int64, hash uint64) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(version))
	binary.LittleEndian.PutUint64(b[8:], hash)
	return max(xxhash.Sum64(b[:]), firstDigest)
}

// seal makes the index ready to be asked and returns the number of live records.
// Of several entries of one record the one that was added last holds.
func (x *lastIndex) seal() (live int64) {
	slices.SortStableFunc(x.entries, func(a, b indexEntry) int { return cmp.Compare(a.id, b.id) })
	kept := x.entries[:0]
	for i, e := range x.entries {
		if i+1 < len(x.entries) && x.entries[i+1].id == e.id {
			continue
		}
		if kept = append(kept, e); e.state != stateDeleted {
			live++
		}
	}
	x.entries = kept
	return live
}

func (x *lastIndex) find(id string) *indexEntry {
	i, ok := slices.BinarySearchFunc(x.entries, xxhash.Sum64String(id), func(e indexEntry, h uint64) int { return cmp.Compare(e.id, h) })
	if !ok {
		return nil
	}
	return &x.entries[i]
}

func (x *lastIndex) has(id string) bool { return x.find(id) != nil }

// settled tells whether the stream shows a record exactly so, and notes that it is not
// left over.
func (x *lastIndex) settled(id string, version int64, hash uint64) bool {
	e := x.find(id)
	switch {
	case e == nil || e.state == stateDeleted:
		return false
	case e.state == stateSettled:
		return true // a record that moved between two pages is shown twice
	case e.state == digest(version, hash):
		e.state = stateSettled
		return true
	}
	e.state = stateDoubted
	return false
}

// kind is what a record is that Customer Engagement shows and that is not settled.
func (x *lastIndex) kind(id string) string {
	if e := x.find(id); e != nil && e.state != stateDeleted {
		return kindDifferent
	}
	return kindMissing
}

// left counts the live records that were never asked for.
func (x *lastIndex) left() (n int) {
	for _, e := range x.entries {
		if e.state >= firstDigest {
			n++
		}
	}
	return n
}

func (x *lastIndex) isLeft(id string) bool {
	e := x.find(id)
	return e != nil && e.state >= firstDigest
}
