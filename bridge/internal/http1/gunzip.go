package http1

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"sync"
)

// gunzip decodes the body of an answer while it is read. Close may be called while Read
// runs, and again.
type gunzip struct {
	body *answerBody

	mu     sync.Mutex
	r      *gzip.Reader // nil: not begun, or Read has it
	err    error        // for the next Read
	reads  bool         // Read runs
	closed bool
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

var errReadTwice = errors.New("http: two reads of one body at the same time")

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (int, error) {
	r, err := g.take()
	if err != nil {
		return 0, err
	}
	n := 0
	if r == nil {
		r = gzipReaders.Get().(*gzip.Reader)
		err = r.Reset(g.body)
	}
	if err == nil {
		n, err = r.Read(p)
	}
	g.give(r, err)
	return n, err
}

func (g *gunzip) take() (*gzip.Reader, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, http.ErrBodyReadAfterClose
	case g.err != nil:
		return nil, g.err
	case g.reads:
		return nil, errReadTwice
	}
	r := g.r
	g.r, g.reads = nil, true
	return r, nil
}

func (g *gunzip) give(r *gzip.Reader, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reads, g.err = false, err
	if err != nil || g.closed {
		recycle(r)
		return
	}
	g.r = r
}

// recycle keeps a decoder for another body.
func recycle(r *gzip.Reader) {
	_ = r.Reset(bytes.NewReader(nil)) // so that it holds on to nothing; the error is EOF
	gzipReaders.Put(r)
}

// Close implements io.Closer.
func (g *gunzip) Close() error {
	g.mu.Lock()
	if !g.closed && g.r != nil {
		recycle(g.r)
		g.r = nil
	}
	g.closed = true
	g.mu.Unlock()
	return g.body.Close()
}

var _ io.ReadCloser = (*gunzip)(nil)
