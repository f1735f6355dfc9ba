package jet

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// patiently asks again, readWaits times at most, while no answer comes or there is no
// leader to give one: that passes by itself. What only a person can change is told at once.
func patiently(ctx context.Context, ask func() error) error {
	for try := 1; ; try++ {
		err := ask()
		if err == nil || ctx.Err() != nil || try == readWaits || !passes(err) {
			return err
		}
		timer := time.NewTimer(readIdle)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// passes tells whether a request that failed so may succeed without anybody's doing.
func passes(err error) bool {
	switch code(err) {
	case codeNoLeader, codeNotLeader, codeOffline:
		return true
	}
	return !errors.Is(err, nats.ErrPermissionViolation) &&
		(silence(err) || errors.Is(err, errBrokenConnection) || errors.Is(err, nats.ErrReconnectBufExceeded))
}
