package jet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// errNobodyConfirms: the server knows no consumer that would take the acknowledgement.
var errNobodyConfirms = errors.New("no consumer takes the acknowledgement: it is gone, or has no leader now")

// acks confirms acknowledgements: each is a request of its own, since an answer
// proves nothing about another (a consumer's leader may change between two). What a
// request of the client library costs beside that, an inbox token and two contexts
// each, is spared: one subscription serves all, and a number tells them apart.
type acks struct {
	nc    *nats.Conn
	inbox string

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan error
}

func newAcks(nc *nats.Conn) (*acks, error) {
	a := &acks{nc: nc, inbox: nc.NewInbox() + ".", waiting: make(map[uint64]chan error)}
	if _, err := nc.Subscribe(a.inbox+"*", a.answered); err != nil {
		return nil, fmt.Errorf("subscribe to the confirmations of acknowledgements: %w", err)
	}
	return a, nil
}

// confirm sends body to the reply subject of a delivery and returns once the server
// answered. It fails when ctx or the connection, which broken stands for, ends first.
func (a *acks) confirm(ctx, broken context.Context, reply string, body []byte) error {
	answer := make(chan error, 1)
	a.mu.Lock()
	a.last++
	id := a.last
	a.waiting[id] = answer
	a.mu.Unlock()
	defer a.forget(id)
	if err := a.nc.PublishRequest(reply, a.inbox+strconv.FormatUint(id, 36), body); err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-broken.Done():
		return errBrokenConnection
	}
}

func (a *acks) forget(id uint64) {
	a.mu.Lock()
	delete(a.waiting, id)
	a.mu.Unlock()
}

// answered hands an answer to the one who waits for it. One that nobody waits for
// any more is dropped: the acknowledgement is repeated then, and answered again.
func (a *acks) answered(m *nats.Msg) {
	id, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, a.inbox), 36, 64)
	if err != nil {
		return
	}
	a.mu.Lock()
	answer := a.waiting[id]
	delete(a.waiting, id)
	a.mu.Unlock()
	if answer == nil {
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		answer <- errNobodyConfirms
		return
	}
	answer <- nil
}
