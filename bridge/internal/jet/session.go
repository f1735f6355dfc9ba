package jet

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// errBrokenConnection: no answer can arrive any more. Whether the request did is
// unknown.
var errBrokenConnection = errors.New("the connection to NATS is down, or broke while an answer was awaited")

// session is the time between connecting and disconnecting. An answer goes to the
// connection that asked, so waiting longer than that is in vain; the client library
// would wait all the same.
type session struct {
	ctx context.Context
	end context.CancelFunc
}

func newSession() *session {
	ctx, end := context.WithCancel(context.Background())
	return &session{ctx, end}
}

// roundTrip sends a request and waits until ctx or the connection ends. Its errors
// tell what the server reported meanwhile.
func (c *Conn) roundTrip(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	started := time.Now()
	s := c.session.Load()
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	answer, err := c.nc.RequestMsgWithContext(wait, m)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, c.explain(ctx.Err(), started)
	case s.ctx.Err() != nil:
		return nil, errBrokenConnection
	}
	return nil, c.explain(err, started)
}
