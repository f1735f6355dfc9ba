package jet

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAReadIsAskedForAgainWhileNobodyAnswers(t *testing.T) {
	for _, passing := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrReconnectBufExceeded, errBrokenConnection,
		&jetstream.APIError{ErrorCode: codeNoLeader}, &jetstream.APIError{ErrorCode: codeNotLeader}, &jetstream.APIError{ErrorCode: codeOffline},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			err := patiently(t.Context(), func() error {
				if asked++; asked < 4 {
					return fmt.Errorf("read: %w", passing)
				}
				return nil
			})
			if err != nil || asked != 4 {
				t.Errorf("%v: asked %d times, ended with %v", passing, asked, err)
			}
		})
	}
}

func TestAReadThatNobodyAnswersEndsWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		err := patiently(t.Context(), func() error { asked++; return nats.ErrNoResponders })
		if !errors.Is(err, nats.ErrNoResponders) || asked != readWaits {
			t.Errorf("asked %d times, ended with %v", asked, err)
		}
	})
}

func TestAReadThatAPersonMustHelpIsNotAskedForAgain(t *testing.T) {
	for _, lasting := range []error{
		fmt.Errorf("%w: %w", context.DeadlineExceeded, nats.ErrPermissionViolation), // see explain
		&jetstream.APIError{ErrorCode: codeStreamNotFound}, nats.ErrConnectionClosed, errors.New("another"),
	} {
		asked := 0
		if err := patiently(t.Context(), func() error { asked++; return lasting }); !errors.Is(err, lasting) || asked != 1 {
			t.Errorf("%v: asked %d times, ended with %v", lasting, asked, err)
		}
	}
}

func TestAReadIsNotAskedForAgainAfterItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began, asked := time.Now(), 0
		err := patiently(ctx, func() error { asked++; return nats.ErrTimeout })
		if !errors.Is(err, context.DeadlineExceeded) || asked != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("asked %d times, ended with %v after %s", asked, err, time.Since(began))
		}
	})
}
