package webapi

// The sizes of the pieces of an arena.
const (
	minChunk = 4 << 10
	maxChunk = 256 << 10
)

// arena holds the text of many rows in few pieces of memory. Pieces never move and are
// never used again: one lives as long as any row in it.
type arena struct {
	chunk []byte
}

// room makes sure that the next n bytes that are appended to chunk stay where they are.
// Each piece is twice the one before, so that a small page takes little.
func (a *arena) room(n int) {
	if cap(a.chunk)-len(a.chunk) < n {
		a.chunk = make([]byte, 0, max(n, min(max(2*cap(a.chunk), minChunk), maxChunk)))
	}
}
