package jet

import (
	"context"
	"errors"
	"testing"

	"cebridge/outbound"
)

// A read of several chunks asks for the next one while the caller works on the last:
// however it ends, the caller gets every message once, and nothing stays behind.
func TestAReadOfManySubjectsShowsEachOnceAndLeavesNoRequestBehind(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	const records = 2500
	var seq uint64
	for first := 0; first < records; first += 900 {
		seq = mustCommit(t, l, events(first, min(900, records-first), 10), seq)
	}
	subjects := subjectsOf(events(0, records+10, 0)) // the last ten have no message
	cp := names.Checkpoint("account")
	before := c.nc.NumSubscriptions()
	errStop := errors.New("stop")

	for name, tc := range map[string]struct {
		stop   int // the message at which fn fails, -1 for none
		cancel int // the message at which the context ends
		fence  uint64
		want   error
	}{
		"to the end":             {stop: -1, cancel: -1, fence: seq},
		"first message":          {stop: 0, cancel: -1, fence: seq, want: errStop},
		"within the first chunk": {stop: 700, cancel: -1, fence: seq, want: errStop},
		"last of the first":      {stop: chunkSubjects - 1, cancel: -1, fence: seq, want: errStop},
		"within the last":        {stop: 2400, cancel: -1, fence: seq, want: errStop},
		"context ends":           {stop: -1, cancel: 500, fence: seq, want: context.Canceled},
		"an earlier fence":       {stop: -1, cancel: -1, fence: seq - 1, want: outbound.ErrFenced},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		seen := map[string]bool{}
		err := l.Last(ctx, cp, tc.fence, subjects, func(m outbound.Stored) error {
			switch n := len(seen); {
			case seen[m.Subject]:
				t.Errorf("%s: %s is shown twice", name, m.Subject)
			case n == tc.stop:
				return errStop
			case n == tc.cancel:
				cancel()
			}
			seen[m.Subject] = true
			return nil
		})
		cancel()
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if tc.want == nil && len(seen) != records {
			t.Errorf("%s: %d records, want %d", name, len(seen), records)
		}
		if n := c.nc.NumSubscriptions(); n != before {
			t.Errorf("%s: %d subscriptions, %d before", name, n, before)
		}
	}
}
