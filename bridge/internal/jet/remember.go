package jet

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Remember stores a message in the place of everything on its subject, for a time. It
// waits for no confirmation and returns before the stream has it, or refused it: this
// is for what may be lost.
func (c *Conn) Remember(stream, subject string, data []byte, ttl time.Duration) error {
	err := checkSubject(subject)
	if err == nil {
		err = c.nc.PublishMsg(&nats.Msg{Subject: subject, Data: data, Header: nats.Header{
			jetstream.MsgRollup:            {jetstream.MsgRollupSubject},
			jetstream.MsgTTLHeader:         {ttl.String()},
			jetstream.ExpectedStreamHeader: {stream},
		}})
	}
	if err != nil {
		return fmt.Errorf("remember on %s: %w", subject, err)
	}
	return nil
}
