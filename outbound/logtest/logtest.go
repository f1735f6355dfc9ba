// Package logtest is the conformance suite of outbound.Stream: what every
// implementation must do, with one writer and with rivals, and while the stream, its
// leader and its replicas are in trouble. An implementation brings a Setup; what it
// cannot bring about by itself it leaves nil, and that part of the suite says so.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"cebridge/outbound"
	"cebridge/schema"
)

// Setup is one empty stream, and the ways to bring it into trouble.
type Setup struct {
	Stream outbound.Stream
	// Rival opens the same stream as another process would.
	Rival func(t *testing.T) outbound.Stream
	// All reads the messages on a table's subjects, in order.
	All func(t *testing.T) []outbound.Stored

	// Stalled opens the stream for a writer whose next batch gets stuck on its way.
	// held is closed when it is stuck; release lets it go on.
	Stalled func(t *testing.T) (s outbound.Stream, held <-chan struct{}, release func())
	// Mute opens the stream for a writer that stops hearing answers once its batch is
	// on the way; hear lets it hear again.
	Mute func(t *testing.T) (s outbound.Stream, hear func())
	// Fill makes the stream full.
	Fill func(t *testing.T)
	// Limit lowers the number of messages that the server takes in a batch.
	Limit func(t *testing.T, n int)
	// OpenBatches begins batches until the server takes no more; end gives them up.
	OpenBatches func(t *testing.T) (end func())
	// NewLeader makes the stream change its leader.
	NewLeader func(t *testing.T)
	// Lag opens the stream at a replica that gets nothing new; catchUp lets it follow.
	Lag func(t *testing.T) (s outbound.Stream, catchUp func())
	// MaxMessage is the largest message that the stream takes.
	MaxMessage int
}

// Names are the subjects that a Setup's stream takes.
var Names = schema.Names{Prefix: "crm", Org: "contoso"}

// Run runs the suite. fresh returns a stream without messages.
func Run(t *testing.T, fresh func(t *testing.T) Setup) {
	t.Run("one writer", func(t *testing.T) { single(t, fresh) })
	t.Run("rivals", func(t *testing.T) { rivals(t, fresh) })
	t.Run("trouble", func(t *testing.T) { trouble(t, fresh) })
}

// single is what one writer and reader may rely on.
func single(t *testing.T, fresh func(t *testing.T) Setup) {
	cp := Names.Checkpoint("account")

	t.Run("no checkpoint reads as sequence 0", func(t *testing.T) {
		data, seq, err := fresh(t).Stream.Checkpoint(t.Context(), cp)
		if data != nil || seq != 0 || err != nil {
			t.Fatalf("got %q, %d, %v", data, seq, err)
		}
	})
	t.Run("a checkpoint alone is a batch", func(t *testing.T) {
		l := fresh(t).Stream
		seq, err := l.Commit(t.Context(), outbound.Batch{Checkpoint: checkpoint("one")})
		if err != nil || seq != 1 {
			t.Fatalf("got %d, %v", seq, err)
		}
		data, got, err := l.Checkpoint(t.Context(), cp)
		if string(data) != "one" || got != 1 || err != nil {
			t.Fatalf("read %q, %d, %v", data, got, err)
		}
	})
	for _, n := range []int{1, 2, 249, 250, 251, 999} {
		t.Run(fmt.Sprintf("%d events and a checkpoint are one batch", n), func(t *testing.T) {
			l := fresh(t).Stream
			seq, err := l.Commit(t.Context(), outbound.Batch{Messages: events(0, n, 20), Checkpoint: checkpoint("c")})
			if err != nil || seq != uint64(n+1) {
				t.Fatalf("got %d, %v", seq, err)
			}
		})
	}
	t.Run("a batch can be sent again unchanged", func(t *testing.T) {
		l := fresh(t).Stream
		b := outbound.Batch{Messages: events(0, 3, 5), Checkpoint: checkpoint("c"), Expected: 7}
		before := fmt.Sprint(b)
		if _, err := l.Commit(t.Context(), b); !errors.Is(err, outbound.ErrFenced) {
			t.Fatalf("got %v", err)
		}
		if after := fmt.Sprint(b); after != before {
			t.Errorf("the batch was changed: %s", after)
		}
		b.Expected = 0
		if _, err := l.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a stale expectation stores nothing", func(t *testing.T) {
		l := fresh(t).Stream
		first := mustCommit(t, l, events(0, 2, 5), 0)
		for _, expected := range []uint64{0, first - 1, first + 1} {
			_, err := l.Commit(t.Context(), outbound.Batch{Messages: events(10, 2, 5), Checkpoint: checkpoint("late"), Expected: expected})
			if !errors.Is(err, outbound.ErrFenced) {
				t.Fatalf("expected %d: got %v", expected, err)
			}
		}
		if next := mustCommit(t, l, nil, first); next != first+1 {
			t.Errorf("the refused batches used sequences: %d follows %d", next, first)
		}
	})
	t.Run("last shows each subject's newest message and no transport headers", func(t *testing.T) {
		l := fresh(t).Stream
		seq := mustCommit(t, l, events(0, 3, 5), 0)
		newer := events(1, 1, 9)
		seq = mustCommit(t, l, newer, seq)
		got := map[string]outbound.Stored{}
		subjects := []string{events(0, 1, 0)[0].Subject, newer[0].Subject, Names.Record("account", recordID(77))}
		if err := l.Last(t.Context(), cp, seq, subjects, func(s outbound.Stored) error {
			got[s.Subject] = s
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := map[string]outbound.Stored{
			subjects[0]: {Subject: subjects[0], Sequence: 1, Header: events(0, 1, 0)[0].Header, Data: []byte("xxxxx")},
			subjects[1]: {Subject: subjects[1], Sequence: 5, Header: newer[0].Header, Data: newer[0].Data},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("last refuses a checkpoint that moved on", func(t *testing.T) {
		l := fresh(t).Stream
		old := mustCommit(t, l, events(0, 1, 5), 0)
		mustCommit(t, l, events(1, 1, 5), old)
		for _, fence := range []uint64{0, old} {
			if err := last(t, l, fence, 2); !errors.Is(err, outbound.ErrFenced) {
				t.Errorf("fence %d: got %v", fence, err)
			}
		}
	})
	t.Run("last refuses an answer older than the checkpoint", func(t *testing.T) {
		l := fresh(t).Stream
		seq := mustCommit(t, l, events(0, 1, 5), 0)
		if err := last(t, l, seq+100, 2); !errors.Is(err, outbound.ErrStale) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("last of nothing on an empty stream is empty", func(t *testing.T) {
		if err := last(t, fresh(t).Stream, 0, 3); err != nil {
			t.Error(err)
		}
	})
	t.Run("last proves the fence even when asked about no subject", func(t *testing.T) {
		l := fresh(t).Stream
		seq := mustCommit(t, l, nil, 0)
		if err := last(t, l, seq, 0); err != nil {
			t.Error(err)
		}
		if err := last(t, l, seq-1, 0); !errors.Is(err, outbound.ErrFenced) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("last passes on what the caller's function returns", func(t *testing.T) {
		l := fresh(t).Stream
		seq := mustCommit(t, l, events(0, 1, 5), 0)
		mine := errors.New("mine")
		err := l.Last(t.Context(), cp, seq, []string{events(0, 1, 0)[0].Subject}, func(outbound.Stored) error { return mine })
		if !errors.Is(err, mine) || errors.Is(err, outbound.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a cancelled caller gets no verdict about the data", func(t *testing.T) {
		l := fresh(t).Stream
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := l.Commit(ctx, outbound.Batch{Checkpoint: checkpoint("c")})
		_, _, err2 := l.Checkpoint(ctx, cp)
		err3 := l.Last(ctx, cp, 0, []string{"crm.contoso.account.x"}, nil)
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, context.Canceled) || errors.Is(err, outbound.ErrUnavailable) || errors.Is(err, outbound.ErrMisconfigured) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func recordID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

// events makes n messages of distinct records, from record number first.
func events(first, n, size int) []outbound.Message {
	ms := make([]outbound.Message, n)
	for i := range ms {
		ms[i] = outbound.Message{
			Subject: Names.Record("account", recordID(first+i)),
			Header:  map[string][]string{"Content-Type": {"application/cloudevents+json"}, "Crm-Version": {fmt.Sprint(first + i)}},
			Data:    []byte(strings.Repeat("x", size)),
		}
	}
	return ms
}

func checkpoint(text string) outbound.Message {
	return outbound.Message{Subject: Names.Checkpoint("account"), Data: []byte(text)}
}

// tagged is a batch whose messages all carry its tag.
func tagged(tag string, n int, expected uint64) outbound.Batch {
	ms := events(0, n, 0)
	for i := range ms {
		ms[i].Data = []byte(tag)
	}
	return outbound.Batch{Messages: ms, Checkpoint: checkpoint(tag), Expected: expected}
}

// mustCommit stores a batch that nobody else hinders. Servers may change their leader at
// any time, which is no fault: what was surely not stored is tried again, and what is
// unknown is settled by the checkpoint.
func mustCommit(t *testing.T, l outbound.Log, ms []outbound.Message, expected uint64) (seq uint64) {
	t.Helper()
	var err error
	eventually(t, "a batch to be stored", func() bool {
		seq, err = l.Commit(t.Context(), outbound.Batch{Messages: ms, Checkpoint: checkpoint("c"), Expected: expected})
		if errors.Is(err, outbound.ErrUnknown) {
			eventually(t, "a leader to answer", func() bool {
				_, seq, err = l.Checkpoint(t.Context(), Names.Checkpoint("account"))
				return err == nil
			})
			return seq != expected
		}
		if err != nil && !errors.Is(err, outbound.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
	return seq
}

// last asks for n subjects and throws the messages away.
func last(t testing.TB, l outbound.Log, fence uint64, n int) error {
	var subjects []string
	for _, m := range events(0, n, 0) {
		subjects = append(subjects, m.Subject)
	}
	return l.Last(t.Context(), Names.Checkpoint("account"), fence, subjects, func(outbound.Stored) error { return nil })
}
