package jet

import (
	"context"
	"errors"
	"slices"
	"testing"

	"cebridge/outbound"
)

func TestReadStreamReadsEverythingInOrder(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	if last, err := c.ReadStream(t.Context(), testStream, nil, nil); last != 0 || err != nil {
		t.Errorf("an empty stream: %d, %v", last, err)
	}
	seq := mustCommit(t, l, events(0, 999, 50), 0)
	seq = mustCommit(t, l, events(999, 999, 50), seq)
	var got []uint64
	last, err := c.ReadStream(t.Context(), testStream, nil, func(s outbound.Stored) error {
		got = append(got, s.Sequence)
		if _, ok := s.Header["Nats-Batch-Id"]; ok {
			t.Errorf("sequence %d has transport headers", s.Sequence)
		}
		return nil
	})
	// The first checkpoint was rolled up.
	if err != nil || last != seq || len(got) != 1999 || !slices.IsSorted(got) || got[1998] != seq {
		t.Errorf("%d messages up to %d, %v", len(got), last, err)
	}
}

func TestReadStreamStopsAtTheLastMatch(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	seq := mustCommit(t, l, events(0, 5, 5), 0)
	for _, tt := range []struct {
		filter []string
		want   int
	}{
		{[]string{names.Table("account")}, 5},
		{[]string{names.Record("account", recordID(2))}, 1},
		{[]string{names.Record("account", recordID(2)), names.Checkpoint("account")}, 2},
		{[]string{names.Table("contact")}, 0},
	} {
		n := 0
		last, err := c.ReadStream(t.Context(), testStream, tt.filter, func(outbound.Stored) error { n++; return nil })
		if n != tt.want || last != seq || err != nil {
			t.Errorf("%v: %d messages, last %d, %v", tt.filter, n, last, err)
		}
	}
}

func TestReadStreamEndsWithItsCallerOrItsStream(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	mustCommit(t, l, events(0, 5, 5), 0)
	mine := errors.New("mine")
	if _, err := c.ReadStream(t.Context(), testStream, nil, func(outbound.Stored) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.ReadStream(ctx, testStream, nil, func(outbound.Stored) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := c.ReadStream(t.Context(), "NOPE", nil, nil); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("got %v", err)
	}
}
