package jet

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// The most that waits to be handled of what Hear listens to. What is beyond is lost.
const (
	hearMessages = 8192
	hearBytes    = 32 << 20
)

// Hear calls fn with header and data of every message that is published on a subject
// while it listens, one at a time, until stop is called. It is a plain subscription:
// it costs the server no consumer, and tells neither what came before nor whether a
// stream took the message. The header and data must not be changed.
func (c *Conn) Hear(subject string, fn func(header map[string][]string, data []byte)) (stop func() error, err error) {
	if err := checkFilter(subject); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) { fn(m.Header, m.Data) })
	if err == nil {
		err = sub.SetPendingLimits(hearMessages, hearBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", subject, err)
	}
	return c.heard(sub), nil
}
