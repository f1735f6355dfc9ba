package jet

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// errNobodyConfirms: the server knows nobody who would answer, no consumer and no stream.
// It is the library's error for that, too.
var errNobodyConfirms = fmt.Errorf("nothing takes the message: the consumer or stream is gone, or has no leader now: %w", nats.ErrNoResponders)

// acks asks the server about messages without what a request of the client library
// costs beside that, an inbox token and two contexts each: one subscription serves all,
// and a number tells them apart. Each acknowledgement is a question of its own, since an
// answer proves nothing about another: a consumer's leader may change between two.
type acks struct {
	nc    *nats.Conn
	inbox string

	// answers are the channels of acknowledgements that were confirmed, for others.
	answers sync.Pool

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan *nats.Msg
	// awaited are those for which nobody waits, see confirmLater.
	awaited  map[uint64]*awaited
	watching bool
	pace     pace
}

func newAcks(nc *nats.Conn) (*acks, error) {
	a := &acks{nc: nc, inbox: nc.NewInbox() + ".", waiting: make(map[uint64]chan *nats.Msg), awaited: make(map[uint64]*awaited)}
	a.answers.New = func() any { return make(chan *nats.Msg, 1) }
	if _, err := nc.Subscribe(a.inbox+"*", a.answered); err != nil {
		return nil, fmt.Errorf("subscribe to the confirmations of acknowledgements: %w", err)
	}
	return a, nil
}

// confirm sends body to the reply subject of a delivery and returns once the server
// answered. It fails when ctx or the connection, which broken stands for, ends first.
func (a *acks) confirm(ctx, broken context.Context, reply string, body []byte) error {
	q := a.open()
	if err := a.nc.PublishRequest(reply, q.inbox(), body); err != nil {
		q.drop()
		return err
	}
	if _, err := q.wait(ctx, broken); err != nil {
		return err
	}
	// Its one answer was taken, and it is known no more: nobody has the channel.
	a.answers.Put(q.answer)
	return nil
}

// question is one message that the server is to answer. It must be waited for, or
// dropped.
type question struct {
	a      *acks
	id     uint64
	answer chan *nats.Msg
}

// ask sends m. Its reply subject is set.
func (a *acks) ask(m *nats.Msg) (question, error) {
	q := a.open()
	m.Reply = q.inbox()
	if err := a.nc.PublishMsg(m); err != nil {
		q.drop()
		return q, err
	}
	return q, nil
}

// open makes a question that is not asked yet.
func (a *acks) open() question {
	q := question{a: a, answer: a.answers.Get().(chan *nats.Msg)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	q.id = a.last
	a.waiting[q.id] = q.answer
	return q
}

// inbox is where the answer goes.
func (q question) inbox() string { return q.a.inbox + strconv.FormatUint(q.id, 36) }

// wait returns the answer. It fails when nobody is there to answer, or when ctx or the
// connection, which broken stands for, ends first.
func (q question) wait(ctx, broken context.Context) (*nats.Msg, error) {
	defer q.drop()
	select {
	case m := <-q.answer:
		if nobody(m) {
			return nil, errNobodyConfirms
		}
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-broken.Done():
		return nil, errBrokenConnection
	}
}

// nobody tells an answer of the server itself: there is none else to give one.
func nobody(m *nats.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") == "503" }

// drop forgets the question.
func (q question) drop() {
	q.a.mu.Lock()
	delete(q.a.waiting, q.id)
	q.a.mu.Unlock()
}

// answered hands an answer to the one who waits for it, or tells of it. One that nobody waits for
// any more is dropped: the acknowledgement is repeated then, and answered again.
func (a *acks) answered(m *nats.Msg) {
	id, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, a.inbox), 36, 64)
	if err != nil {
		return
	}
	w := a.take(id, m)
	switch {
	case w == nil:
	case nobody(m):
		w.end(errNobodyConfirms)
	default:
		w.end(nil)
	}
}

// take hands m to the one who waits for it, or returns whom to tell of it.
func (a *acks) take(id uint64, m *nats.Msg) *awaited {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answer := a.waiting[id]; answer != nil {
		delete(a.waiting, id)
		answer <- m // it has room for the one answer there is
		return nil
	}
	w := a.awaited[id]
	delete(a.awaited, id)
	return w
}
