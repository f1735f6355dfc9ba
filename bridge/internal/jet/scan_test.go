package jet

import (
	"context"
	"errors"
	"testing"

	"cebridge/outbound"
)

func TestScanShowsTheLastHeadersOfEveryRecordAndNoBodies(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	seq := mustCommit(t, l, events(0, 999, 50), 0)
	for range 3 { // the first 900 records get three more events each
		seq = mustCommit(t, l, events(0, 900, 50), seq)
	}
	seen := map[string]uint64{}
	err := l.Scan(t.Context(), names.Table("account"), names.Checkpoint("account"), seq, func(s outbound.Stored) error {
		if len(s.Data) != 0 {
			t.Fatalf("%s has a body of %d bytes", s.Subject, len(s.Data))
		}
		if _, twice := seen[s.Subject]; twice {
			t.Fatalf("%s comes twice", s.Subject)
		}
		seen[s.Subject] = s.Sequence
		return nil
	})
	if err != nil || len(seen) != 999 {
		t.Fatalf("%d records, %v", len(seen), err)
	}
	if got := seen[names.Record("account", recordID(0))]; got <= 1000 {
		t.Errorf("record 0 at sequence %d: not its last event", got)
	}
}

func TestScanRefusesAStreamThatHasNotReachedTheFence(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	all := func(outbound.Stored) error { return nil }
	if err := l.Scan(t.Context(), names.Table("account"), names.Checkpoint("account"), 0, all); err != nil {
		t.Errorf("an empty stream without a fence: %v", err)
	}
	if err := l.Scan(t.Context(), names.Table("account"), names.Checkpoint("account"), 7, all); !errors.Is(err, outbound.ErrFenced) {
		t.Errorf("a fence that vanished: %v", err)
	}
	mustCommit(t, l, events(0, 5, 5), 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Scan(ctx, names.Table("account"), names.Checkpoint("account"), 1, all); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestScanReturnsItsCallersError(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	seq := mustCommit(t, l, events(0, 5, 5), 0)
	stop := errors.New("enough")
	n := 0
	err := l.Scan(t.Context(), names.Table("account"), names.Checkpoint("account"), seq, func(outbound.Stored) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
}
