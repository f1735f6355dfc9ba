package logtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/outbound"
)

// patience bounds the wait for what has to happen: far longer than it takes on a machine
// that does other things at the same time.
const patience = 2 * time.Minute

// writer commits tagged batches as a worker would: what is unknown is settled by
// reading the checkpoint.
type writer struct {
	mu        sync.Mutex
	committed map[string]uint64 // tag -> sequence of its checkpoint
	before    map[string]uint64 // tag -> sequence that it replaced
	fenced    int
	unknown   int
}

func newWriter() *writer {
	return &writer{committed: map[string]uint64{}, before: map[string]uint64{}}
}

// write commits one batch or learns that it was fenced.
func (w *writer) write(ctx context.Context, s outbound.Stream, tag string, n int) error {
	var expected uint64
	for known := false; ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("batch %s: %w", tag, err)
		}
		data, seq, err := s.Checkpoint(ctx, Names.Checkpoint("account"))
		if err != nil {
			continue
		}
		switch {
		case !known:
			expected, known = seq, true
		case string(data) == tag:
			w.done(tag, seq, expected)
			return nil
		case seq != expected:
			w.mu.Lock()
			w.fenced++
			w.mu.Unlock()
			return nil
		}
		call, cancel := context.WithTimeout(ctx, 3*time.Second)
		got, err := s.Commit(call, tagged(tag, n, expected))
		cancel()
		switch {
		case err == nil:
			w.done(tag, got, expected)
			return nil
		case errors.Is(err, outbound.ErrFenced), errors.Is(err, outbound.ErrUnavailable), errors.Is(err, outbound.ErrFull):
		case errors.Is(err, outbound.ErrUnknown), errors.Is(err, context.DeadlineExceeded):
			w.mu.Lock()
			w.unknown++
			w.mu.Unlock()
		default:
			return fmt.Errorf("batch %s: %w", tag, err)
		}
	}
}

func (w *writer) done(tag string, seq, expected uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committed[tag], w.before[tag] = seq, expected
}

// check holds the stream against what the writers believe: every batch is there whole
// and alone, and the checkpoints are one chain.
func (w *writer) check(t *testing.T, stored []outbound.Stored, size int) {
	t.Helper()
	bySeq := map[uint64]string{}
	for _, s := range stored {
		bySeq[s.Sequence] = string(s.Data)
	}
	if want := len(w.committed) * size; len(bySeq) != want {
		t.Errorf("%d events are stored, want %d", len(bySeq), want)
	}
	heirs := map[uint64]string{}
	for tag, seq := range w.committed {
		for i := range uint64(size) {
			if got := bySeq[seq-uint64(size)+i]; got != tag {
				t.Errorf("sequence %d is of %q, want %s", seq-uint64(size)+i, got, tag)
			}
		}
		if other, twice := heirs[w.before[tag]]; twice {
			t.Errorf("%s and %s both took the place of checkpoint %d", tag, other, w.before[tag])
		}
		heirs[w.before[tag]] = tag
	}
	for at, n := uint64(0), 0; n < len(w.committed); n++ {
		tag, ok := heirs[at]
		if !ok {
			t.Fatalf("nobody took the place of checkpoint %d: the chain is broken after %d of %d", at, n, len(w.committed))
		}
		at = w.committed[tag]
	}
}

// rivals is what several writers may rely on.
func rivals(t *testing.T, fresh func(t *testing.T) Setup) {
	t.Run("batches never mix and checkpoints are one chain", func(t *testing.T) {
		su := fresh(t)
		run(t, su, 3, 12, nil)
	})
	t.Run("a stalled writer that wakes up later stores nothing", func(t *testing.T) {
		su := fresh(t)
		need(t, su.Stalled != nil, "hold a batch back")
		first := mustCommit(t, su.Stream, events(0, 2, 5), 0)
		slow, held, release := su.Stalled(t)
		result := make(chan error, 1)
		go func() {
			_, err := slow.Commit(t.Context(), tagged("slow", 5, first))
			result <- err
		}()
		within(t, held, "the batch to get stuck")
		second := mustCommit(t, su.Stream, events(10, 2, 5), first)
		release()
		if err := within(t, result, "the stalled writer"); !errors.Is(err, outbound.ErrFenced) && !errors.Is(err, outbound.ErrUnknown) {
			t.Errorf("the stalled writer got %v", err)
		}
		if third := mustCommit(t, su.Stream, nil, second); third != second+1 {
			t.Errorf("the stalled batch used sequences: %d follows %d", third, second)
		}
		for _, m := range su.All(t) {
			if string(m.Data) == "slow" {
				t.Errorf("sequence %d is of the stalled writer", m.Sequence)
			}
		}
	})
}

// run lets writers compete for rounds, with something that happens meanwhile.
func run(t *testing.T, su Setup, n, rounds int, meanwhile func(round int)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	w := newWriter()
	const size = 10
	streams := make([]outbound.Stream, n) // all of them before any begins: else one might end before the next begins
	for i := range streams {
		streams[i] = su.Rival(t)
	}
	var wg sync.WaitGroup
	for i, s := range streams {
		wg.Go(func() {
			for r := range rounds {
				if meanwhile != nil && i == 0 {
					meanwhile(r)
				}
				if err := w.write(ctx, s, fmt.Sprintf("%d/%d", i, r), size); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if len(w.committed) < rounds || n > 1 && w.fenced == 0 {
		t.Errorf("%d commits, %d fenced: the writers did not meet", len(w.committed), w.fenced)
	}
	w.check(t, su.All(t), size)
}

// trouble is what holds while the stream cannot do what it is asked.
func trouble(t *testing.T, fresh func(t *testing.T) Setup) {
	t.Run("an unknown outcome is settled by the checkpoint", func(t *testing.T) {
		su := fresh(t)
		need(t, su.Mute != nil, "lose an answer")
		first := mustCommit(t, su.Stream, nil, 0)
		s, hear := su.Mute(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		result := make(chan error, 1)
		go func() {
			_, err := s.Commit(ctx, tagged("mine", 3, first))
			result <- err
		}()
		eventually(t, "the batch to be stored", func() bool {
			_, seq, err := su.Stream.Checkpoint(t.Context(), Names.Checkpoint("account"))
			return err == nil && seq != first
		})
		cancel()
		if err := within(t, result, "the writer to give up"); !errors.Is(err, outbound.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
		hear()
		data, seq := checkpointOf(t, su.Stream)
		if data != "mine" || seq != first+4 {
			t.Errorf("the checkpoint is %q at %d, want mine at %d", data, seq, first+4)
		}
		if _, err := su.Stream.Commit(t.Context(), tagged("mine", 3, first)); !errors.Is(err, outbound.ErrFenced) {
			t.Errorf("the same batch again: got %v", err)
		}
	})
	t.Run("a full stream stores nothing and says so", func(t *testing.T) {
		su := fresh(t)
		need(t, su.Fill != nil, "be filled")
		first := mustCommit(t, su.Stream, events(0, 1, 5), 0)
		su.Fill(t)
		if _, err := su.Stream.Commit(t.Context(), outbound.Batch{Messages: events(10, 5, 2000), Checkpoint: checkpoint("late"), Expected: first}); !errors.Is(err, outbound.ErrFull) {
			t.Errorf("got %v", err)
		}
		if data, seq := checkpointOf(t, su.Stream); seq != first || data == "late" {
			t.Errorf("the checkpoint is %q at %d", data, seq)
		}
	})
	t.Run("a lowered batch limit is named and a smaller batch stored", func(t *testing.T) {
		su := fresh(t)
		need(t, su.Limit != nil, "be limited")
		su.Limit(t, 10)
		if _, err := su.Stream.Commit(t.Context(), outbound.Batch{Messages: events(0, 30, 5), Checkpoint: checkpoint("c")}); !errors.Is(err, outbound.ErrBatchTooLong) {
			t.Errorf("got %v", err)
		}
		mustCommit(t, su.Stream, events(0, 5, 5), 0)
		if n := len(su.All(t)); n != 5 {
			t.Errorf("%d events are stored, want 5", n)
		}
	})
	t.Run("too many open batches pass by", func(t *testing.T) {
		su := fresh(t)
		need(t, su.OpenBatches != nil, "run out of batches")
		end := su.OpenBatches(t)
		if _, err := su.Stream.Commit(t.Context(), outbound.Batch{Messages: events(0, 3, 5), Checkpoint: checkpoint("c")}); !errors.Is(err, outbound.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		end()
		eventually(t, "a batch to be taken again", func() bool {
			_, err := su.Stream.Commit(t.Context(), outbound.Batch{Messages: events(0, 3, 5), Checkpoint: checkpoint("c")})
			return err == nil
		})
		if n := len(su.All(t)); n != 3 {
			t.Errorf("%d events are stored, want 3", n)
		}
	})
	t.Run("a message that is too large is named and nothing stored", func(t *testing.T) {
		su := fresh(t)
		need(t, su.MaxMessage > 0, "bound a message")
		ms := append(events(0, 2, 5), events(2, 1, su.MaxMessage)...)
		_, err := su.Stream.Commit(t.Context(), outbound.Batch{Messages: ms, Checkpoint: checkpoint("c")})
		if !errors.Is(err, outbound.ErrTooLarge) || !strings.Contains(err.Error(), recordID(2)) {
			t.Errorf("got %v", err)
		}
		if seq := mustCommit(t, su.Stream, nil, 0); seq != 1 {
			t.Errorf("the refused batch used sequences: the next is %d", seq)
		}
	})
	t.Run("leaders change under rivals", func(t *testing.T) {
		su := fresh(t)
		need(t, su.NewLeader != nil, "change its leader")
		run(t, su, 2, 12, func(round int) {
			if round%4 == 2 {
				su.NewLeader(t)
			}
		})
	})
	t.Run("a replica that lags is not believed", func(t *testing.T) {
		su := fresh(t)
		need(t, su.Lag != nil, "lag")
		first := mustCommit(t, su.Stream, events(0, 3, 5), 0)
		behind, catchUp := su.Lag(t)
		second := mustCommit(t, su.Stream, events(0, 3, 9), first)
		seen := 0
		err := behind.Last(t.Context(), Names.Checkpoint("account"), second, []string{events(0, 1, 0)[0].Subject}, func(m outbound.Stored) error {
			seen = len(m.Data)
			return nil
		})
		// A replica that is cut off may also give no answer at all.
		if !errors.Is(err, outbound.ErrStale) && !errors.Is(err, outbound.ErrUnavailable) {
			t.Errorf("got %v, and a message of %d bytes", err, seen)
		}
		catchUp()
		eventually(t, "the replica to follow", func() bool {
			return last(t, behind, second, 3) == nil
		})
	})
}

func checkpointOf(t *testing.T, s outbound.Log) (string, uint64) {
	t.Helper()
	var data []byte
	var seq uint64
	eventually(t, "a leader to answer", func() bool {
		var err error
		data, seq, err = s.Checkpoint(t.Context(), Names.Checkpoint("account"))
		return err == nil
	})
	return string(data), seq
}

// need says openly what an implementation cannot bring about.
func need(t *testing.T, able bool, what string) {
	t.Helper()
	if !able {
		t.Skipf("this setup cannot %s", what)
	}
}

func within[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ask(); {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
