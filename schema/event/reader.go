package event

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// reader is a JSON decoder that is used again: what it keeps of its own, name sets
// and a stack, is most of what the decoding of a small event allocates.
type reader struct {
	buf bytes.Buffer
	dec jsontext.Decoder
}

var decoders = sync.Pool{New: func() any { return new(reader) }}

// over begins to decode data, in place: values share its memory.
func (r *reader) over(data []byte, opts ...jsontext.Options) *jsontext.Decoder {
	r.buf = *bytes.NewBuffer(data)
	r.dec.Reset(&r.buf, opts...)
	return &r.dec
}

// release gives the reader back, without a hold on what it read.
func (r *reader) release() {
	r.over(nil)
	decoders.Put(r)
}
