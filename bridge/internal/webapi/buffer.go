package webapi

import (
	"bytes"
	"sync"
)

// keepBuffer is the largest buffer kept for the next page.
const keepBuffer = 16 << 20

// buffers hold the raw bytes of pages while they are split.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func takeBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func giveBuffer(b *bytes.Buffer) {
	if b.Cap() > keepBuffer {
		return
	}
	b.Reset()
	buffers.Put(b)
}
