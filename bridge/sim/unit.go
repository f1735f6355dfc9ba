package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
)

// atomically runs fn with a handler whose writes all take effect, or none when fn
// returns an error, which it passes on. The server is locked meanwhile: fn must
// send its requests to h and wait for nothing else of this server.
func (s *Server) atomically(fn func(h http.Handler) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := &tx{s: s, now: s.opts.Now(), set: true}
	if err := s.transact(set, func() error {
		return fn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			set.request = r.Header.Get(clientRequestHeader)
			s.dispatch(w, r.WithContext(context.WithValue(r.Context(), txKey{}, set)))
		}))
	}); err != nil {
		return fmt.Errorf("change set rolled back: %w", err)
	}
	return nil
}

// unit runs fn as a whole: all of its writes take effect, or none when it returns
// an error. Inside of a change set it is a part of that.
func (s *Server) unit(ctx context.Context, fn func(*tx) *apiError) *apiError {
	if open := inTx(ctx); open != nil {
		return fn(open)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &tx{s: s, now: s.opts.Now(), request: requestID(ctx), set: true}
	err := s.transact(x, func() error {
		if e := fn(x); e != nil {
			return e
		}
		return nil
	})
	if e := (*apiError)(nil); errors.As(err, &e) {
		return e
	}
	if err != nil {
		return &apiError{Status: http.StatusServiceUnavailable, Message: err.Error()}
	}
	return nil
}

// transact runs fn as the unit x, and takes back what it wrote if it fails or the
// data file cannot take it. It needs the lock.
func (s *Server) transact(x *tx, fn func() error) error {
	var undo []func()
	x.undo = &undo
	mark := s.log.next()
	done := false
	roll := func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
		s.log.rollback(mark, s.opts.Now().UnixNano())
	}
	defer func() {
		if !done { // fn panicked
			roll()
		}
	}()
	err := fn()
	if err == nil {
		err = x.persist()
	}
	done = true
	if err != nil {
		roll()
		return err
	}
	s.hooks.send(s, x.announced...)
	for _, t := range s.tables() {
		t.compact()
	}
	return nil
}

// persist appends the unit's writes to the data file.
func (x *tx) persist() error {
	if len(x.stored) == 0 {
		return nil
	}
	st := x.s.store
	st.reserve(x.s.version)
	st.buf = append(append(st.buf[:0], `{"do":[`...), x.stored...)
	st.buf = append(st.buf, "]}\n"...)
	return st.append(st.buf)
}

// store notes a write for the data file; r is nil for a delete.
func (x *tx) store(d *tableDef, id uuid.UUID, version int64, r *row) {
	if x.s.store == nil {
		return
	}
	if len(x.stored) > 0 {
		x.stored = append(x.stored, ',')
	}
	x.stored = appendChange(x.stored, d, id, version, r)
}
