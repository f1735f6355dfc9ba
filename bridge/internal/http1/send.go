package http1

import (
	"io"
	"sync"
	"time"
)

// send writes the request, and closes its body.
func (c *conn) send(w interface {
	io.Writer
	Flush() error
}) error {
	err := c.out.Write(w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil && c.sent.err != nil {
		return c.sent.err // the caller's own, which Request.Write hides
	}
	return err
}

// sentBody is the request's body. It remembers how reading it failed, since Request.Write
// hides that, and closes it once.
type sentBody struct {
	body   io.ReadCloser
	closed sync.Once
	err    error // for the goroutine that writes
}

// Read implements io.Reader.
func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// Close implements io.Closer.
func (b *sentBody) Close() (err error) {
	b.closed.Do(func() {
		if b.body != nil {
			err = b.body.Close()
		}
	})
	return err
}

// sender writes a request while its caller reads the answer.
type sender struct {
	conn  *conn
	ended chan struct{}

	mu   sync.Mutex
	err  error // how writing failed
	own  bool  // not for the connection: the request cannot be written
	over bool  // the connection was cut, or an answer is there: leave the deadline alone
}

func newSender(c *conn) *sender {
	s := &sender{conn: c, ended: make(chan struct{})}
	go s.run()
	return s
}

func (s *sender) run() {
	defer close(s.ended)
	c := s.conn
	var err error
	if c.out.GetBody != nil {
		err = c.send(memory{c.write})
	} else {
		// A body that comes by and by must not wait for a full buffer.
		err = c.send(c.write)
	}
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.own = err, c.writeErr == nil
	if s.over {
		return
	}
	if s.own {
		c.cut()
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(answerGrace))
}

// cut ends the exchange: the sender fails with its next step.
func (s *sender) cut() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.conn.cut()
	_ = s.conn.sent.Close()
}

// answered notes that an answer began: its body may take its time.
func (s *sender) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.err != nil {
		_ = s.conn.raw.SetReadDeadline(time.Time{})
	}
}

// failed is the error of writing so far; own says that the connection is not to blame.
func (s *sender) failed() (err error, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err, s.own
}

// settled tells whether all was written, and waits a little for it.
func (s *sender) settled() bool {
	select {
	case <-s.ended:
	default:
		timer := time.NewTimer(senderGrace)
		defer timer.Stop()
		select {
		case <-s.ended:
		case <-timer.C:
			return false
		}
	}
	err, _ := s.failed()
	return err == nil
}
