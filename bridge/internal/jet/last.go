package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"cebridge/outbound"
)

const (
	// chunkSubjects is how many subjects one request names; the server answers at
	// most 1024 (413 beyond).
	chunkSubjects = 1000
	// pageBytes ends a page after the message that reaches it. Without it a page of
	// large messages would exceed what the server queues for one client (64 MB), and
	// the server would cut the connection.
	pageBytes = 8 << 20
	// pageIdle is how long the next message of a page may take.
	pageIdle = 5 * time.Second
	// staleTries is how often a page is asked for until a replica answers that is
	// not behind.
	staleTries = 6
	staleWait  = 20 * time.Millisecond
)

// Last implements outbound.Log. fn gets only messages of answers that were proven
// complete and fresh when they were read; if a later one is not, Last fails and what
// fn got is void. While fn works, the next chunk is on its way. Memory is bounded by two
// pages, each 8 MiB and one message.
func (l *Log) Last(ctx context.Context, fenceSubject string, fence uint64, subjects []string, fn func(outbound.Stored) error) error {
	if err := checkSubject(fenceSubject); err != nil {
		return fmt.Errorf("read the last messages: %w", err)
	}
	for _, subject := range subjects {
		if err := checkSubject(subject); err != nil {
			return fmt.Errorf("read the last messages: %w", err)
		}
	}
	r := l.lastReader(subjects, 0, fenceSubject, fence, fn)
	for {
		var ahead *lastReader
		err := r.read(ctx, func() {
			if r.end < len(subjects) {
				ahead = l.lastReader(subjects, r.end, fenceSubject, fence, fn)
			}
		})
		if err != nil {
			ahead.drop()
			return l.readError(ctx, fmt.Sprintf("read the last messages of %d subjects of stream %s", len(r.subjects)-1, l.stream), err)
		}
		if ahead == nil {
			return nil
		}
		r = ahead
	}
}

// lastReader begins to read the chunk that begins at start: its first page is asked for.
func (l *Log) lastReader(subjects []string, start int, fenceSubject string, fence uint64, fn func(outbound.Stored) error) *lastReader {
	r := &lastReader{l: l, fenceSubject: fenceSubject, fence: fence, fn: fn, end: l.chunk(subjects, start)}
	r.subjects = append(append(make([]string, 0, r.end-start+1), subjects[start:r.end]...), fenceSubject)
	r.asked, r.err = r.ask(0)
	return r
}

// chunk ends the chunk that begins at start: bounded by subjects and, for servers
// with a small maximum, by the bytes of the request.
func (l *Log) chunk(subjects []string, start int) (end int) {
	room := min(int(l.c.nc.MaxPayload())/2, 512<<10)
	for end = start; end < len(subjects) && end-start < chunkSubjects; end++ {
		if room -= len(subjects[end]) + 3; room < 0 && end > start {
			break
		}
	}
	return end
}

// lastReader reads one chunk, page by page.
type lastReader struct {
	l            *Log
	subjects     []string
	end          int // of the chunk
	fenceSubject string
	fence        uint64
	fn           func(outbound.Stored) error

	seen uint64 // the fence subject's sequence as read, 0 for none
	// asked is the request whose answer was not read yet; err is why there is none.
	asked *pageRequest
	err   error
}

// multiLast is the request body of a direct read of the last messages of subjects.
// Source: ADR-31.
type multiLast struct {
	Subjects []string `json:"multi_last"`
	MaxBytes int      `json:"max_bytes"`
	Seq      uint64   `json:"seq,omitempty"`
}

// page is one answer.
type page struct {
	messages []outbound.Stored
	pending  uint64 // messages of the chunk after this page
	last     uint64 // sequence of the page's last message
	upTo     uint64 // last sequence of the replica that answered
	none     bool   // no subject has any message
}

// read reads the chunk. It calls ended when the last page is here, before fn gets it.
func (r *lastReader) read(ctx context.Context, ended func()) error {
	if r.err != nil {
		return r.err
	}
	for {
		p, err := r.freshPage(ctx)
		if err != nil {
			return err
		}
		more := !p.none && p.pending > 0 && len(p.messages) > 0
		if more {
			if r.asked, err = r.ask(p.last + 1); err != nil {
				return err
			}
		} else {
			ended()
		}
		if err := r.take(p); err != nil {
			r.drop()
			return err
		}
		if !more {
			break
		}
	}
	if r.seen == r.fence {
		return nil
	}
	if r.seen == 0 {
		return fmt.Errorf("%w: %s holds nothing, sequence %d was expected", outbound.ErrFenced, r.fenceSubject, r.fence)
	}
	return fmt.Errorf("%w: %s is at sequence %d, %d was expected", outbound.ErrStale, r.fenceSubject, r.seen, r.fence)
}

// take hands a page on.
func (r *lastReader) take(p *page) error {
	for _, m := range p.messages {
		if m.Subject == r.fenceSubject {
			r.seen = m.Sequence
			continue
		}
		if err := r.fn(m); err != nil {
			return &callerError{err}
		}
	}
	if r.seen > r.fence {
		return fmt.Errorf("%w: %s is at sequence %d, not %d", outbound.ErrFenced, r.fenceSubject, r.seen, r.fence)
	}
	return nil
}

// callerError is what fn returned: it passes through without a verdict of ours.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }
func (e *callerError) Unwrap() error { return e.err }

// freshPage reads the page that was asked for, and asks again until a replica answers
// that has the fence's sequence.
func (r *lastReader) freshPage(ctx context.Context) (*page, error) {
	wait := staleWait
	for try := 1; ; try++ {
		asked := r.asked
		r.asked = nil
		p, err := asked.answer(ctx, r.l.c)
		if err != nil {
			return nil, err
		}
		if r.fence == 0 || !p.none && p.upTo >= r.fence {
			return p, nil
		}
		if try == staleTries {
			return nil, fmt.Errorf("%w: %d answers in a row came from before sequence %d, the last one from %d",
				outbound.ErrStale, try, r.fence, p.upTo)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
		wait *= 2
		if r.asked, err = r.ask(asked.next); err != nil {
			return nil, err
		}
	}
}

// drop gives up the request whose answer was not read, if there is one.
func (r *lastReader) drop() {
	if r != nil && r.asked != nil {
		r.asked.drop()
		r.asked = nil
	}
}

// pageRequest is a page on its way.
type pageRequest struct {
	next    uint64 // the least sequence that it shows
	started time.Time
	session *session
	sub     *nats.Subscription
	in      chan *nats.Msg
}

// ask asks for the page that begins at sequence next.
func (r *lastReader) ask(next uint64) (*pageRequest, error) {
	body, err := json.Marshal(multiLast{Subjects: r.subjects, MaxBytes: pageBytes, Seq: next})
	if err != nil {
		return nil, err
	}
	nc := r.l.c.nc
	inbox := nc.NewInbox()
	// Room for the largest answer, so that the client never drops a message of it.
	q := &pageRequest{next: next, started: time.Now(), session: r.l.c.session.Load(), in: make(chan *nats.Msg, 1100)}
	if q.sub, err = nc.ChanSubscribe(inbox, q.in); err != nil {
		return nil, err
	}
	if err := nc.PublishRequest(apiPrefix+"DIRECT.GET."+r.l.stream, inbox, body); err != nil {
		q.drop()
		return nil, err
	}
	return q, nil
}

// drop fails only on a closed connection, where there is nothing to undo.
func (q *pageRequest) drop() { _ = q.sub.Unsubscribe() }

// answer reads the page to its end.
func (q *pageRequest) answer(ctx context.Context, c *Conn) (*page, error) {
	defer q.drop()
	idle := time.NewTimer(pageIdle)
	defer idle.Stop()
	p := &page{}
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-q.session.ctx.Done():
			return nil, errBrokenConnection
		case <-idle.C:
			return nil, c.explain(nats.ErrTimeout, q.started)
		case m := <-q.in:
			done, err := p.add(m)
			if done || err != nil {
				return p, err
			}
			idle.Reset(pageIdle)
		}
	}
}

var errBroken = errors.New("the answer has a hole")

// add takes one message of the answer; done is the end of it.
func (p *page) add(m *nats.Msg) (done bool, err error) {
	// The server appends its headers, so the last value is its own.
	text := func(name string) string {
		if vs := m.Header[name]; len(vs) > 0 {
			return vs[len(vs)-1]
		}
		return ""
	}
	number := func(name string) uint64 {
		n, e := strconv.ParseUint(text(name), 10, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("%w: header %s is %q", errBroken, name, text(name))
		}
		return n
	}
	if status := m.Header.Get("Status"); status != "" && text("Nats-Sequence") == "" {
		switch status {
		case "204":
			last := number("Nats-Last-Sequence")
			p.pending, p.upTo = number("Nats-Num-Pending"), number("Nats-UpTo-Sequence")
			if err == nil && last != p.last {
				err = fmt.Errorf("%w: it ends at sequence %d, sequence %d was sent last", errBroken, p.last, last)
			}
			return true, err
		case "404":
			// Sent alone when nothing matches; after messages it is a failed load.
			if len(p.messages) > 0 || m.Header.Get("Description") == "Message Not Found" {
				return true, fmt.Errorf("%w: a message could not be loaded", errBroken)
			}
			p.none = true
			return true, nil
		case "503":
			return true, nats.ErrNoResponders
		}
		return true, fmt.Errorf("direct read refused: %s %s", status, m.Header.Get("Description"))
	}
	s := outbound.Stored{Subject: text("Nats-Subject"), Sequence: number("Nats-Sequence"), Data: m.Data}
	if before := number("Nats-Last-Sequence"); err == nil && before != p.last {
		err = fmt.Errorf("%w: sequence %d follows %d, not %d", errBroken, s.Sequence, before, p.last)
	}
	if err != nil {
		return true, err
	}
	s.Header = strip(m.Header)
	p.last = s.Sequence
	p.messages = append(p.messages, s)
	return false, nil
}
