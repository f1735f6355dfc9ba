package http1

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// ending is what is left to do when an exchange is over.
type ending struct {
	conn     *conn
	sender   *sender
	stop     func() bool
	reusable bool
}

// end gives the connection back, if the whole answer was read and nothing speaks
// against it, or closes it. It must be called once.
func (e *ending) end(whole bool) {
	c := e.conn
	unended := e.stop() // false: the context ended, and cut the connection
	if whole && unended && e.reusable && c.exhausted() &&
		(e.sender == nil || e.sender.settled()) {
		c.forget()
		c.pool.put(c)
		return
	}
	if e.sender != nil {
		e.sender.cut()
	}
	c.pool.drop(c)
}

// answerBody is the body of an answer. Close may be called while Read runs, and again.
type answerBody struct {
	ending
	ctx context.Context
	src io.Reader

	mu     sync.Mutex
	err    error // of the last Read; io.EOF: all was read
	closed bool
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	err, closed := b.err, b.closed
	b.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	if err == nil {
		return n, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return n, b.err
	case b.closed:
		return n, http.ErrBodyReadAfterClose
	case err != io.EOF && b.ctx.Err() != nil:
		err = context.Cause(b.ctx)
	}
	b.err = err
	b.end(err == io.EOF)
	return n, err
}

// Close implements io.Closer. Before the end was read it closes the connection.
func (b *answerBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	if b.err == nil {
		b.end(false)
	}
	return nil
}
