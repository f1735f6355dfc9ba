package jet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

func mustCommit(t testing.TB, l outbound.Log, ms []outbound.Message, expected uint64) uint64 {
	t.Helper()
	seq, err := l.Commit(t.Context(), outbound.Batch{Messages: ms, Checkpoint: checkpoint("c"), Expected: expected})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// last asks for n subjects and throws the messages away.
func last(t testing.TB, l outbound.Log, fence uint64, n int) error {
	var subjects []string
	for _, m := range events(0, n, 0) {
		subjects = append(subjects, m.Subject)
	}
	return l.Last(t.Context(), names.Checkpoint("account"), fence, subjects, func(outbound.Stored) error { return nil })
}

func TestRivalsNeverMixTheirBatches(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	const rivals, rounds, size = 4, 30, 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	committed := map[string]uint64{} // writer/round -> sequence of the checkpoint
	fenced := 0
	var conns []*Conn // all of them before any begins: else one might end before the next begins
	for range rivals {
		conns = append(conns, connectAgain(t, c))
	}
	for w, rival := range conns {
		wg.Go(func() {
			l := rival.Log(testStream)
			for r := range rounds {
				_, seq, err := l.Checkpoint(t.Context(), names.Checkpoint("account"))
				if err != nil {
					t.Error(err)
					return
				}
				tag := fmt.Sprintf("%d/%d", w, r)
				ms := events(0, size, 0)
				for i := range ms {
					ms[i].Data = []byte(tag)
				}
				got, err := l.Commit(t.Context(), outbound.Batch{Messages: ms, Checkpoint: checkpoint(tag), Expected: seq})
				mu.Lock()
				switch {
				case err == nil:
					committed[tag] = got
				case errors.Is(err, outbound.ErrFenced):
					fenced++
				default:
					t.Errorf("%s: %v", tag, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(committed) == 0 || fenced == 0 {
		t.Fatalf("%d commits, %d fenced: the rivals did not meet", len(committed), fenced)
	}
	// Checkpoints roll up, so only the last one is left: groups are told by their tag.
	bySeq := map[uint64]string{}
	for _, s := range all(t, c, testStream, names.Table("account")) {
		bySeq[s.Sequence] = string(s.Data)
	}
	if want := len(committed) * size; len(bySeq) != want {
		t.Errorf("%d events stored, want %d", len(bySeq), want)
	}
	for tag, seq := range committed {
		for i := range uint64(size) {
			if got := bySeq[seq-size+i]; got != tag {
				t.Errorf("sequence %d is of %q, want %s", seq-size+i, got, tag)
			}
		}
	}
}

func connectAgain(t *testing.T, c *Conn) *Conn {
	t.Helper()
	again, err := Connect(t.Context(), Config{Embedded: embeddedOf(c)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	return again
}

func TestLastReadsManySubjectsInChunks(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	var seq uint64
	for i := range 5 {
		seq = mustCommit(t, l, events(i*999, 999, 30), seq)
	}
	var subjects []string
	for _, m := range events(0, 5000, 0) {
		subjects = append(subjects, m.Subject)
	}
	seen := map[string]bool{}
	if err := l.Last(t.Context(), names.Checkpoint("account"), seq, subjects, func(s outbound.Stored) error {
		if seen[s.Subject] {
			t.Errorf("%s came twice", s.Subject)
		}
		seen[s.Subject] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 4995 {
		t.Errorf("%d subjects have a message, want 4995", len(seen))
	}
}

func TestLastReadsLargeMessagesInPages(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	const n, size = 30, 1 << 20 // 30 MiB: four pages
	seq := mustCommit(t, l, events(0, n, size), 0)
	var subjects []string
	for _, m := range events(0, n, 0) {
		subjects = append(subjects, m.Subject)
	}
	seen := map[string]int{}
	if err := l.Last(t.Context(), names.Checkpoint("account"), seq, subjects, func(s outbound.Stored) error {
		seen[s.Subject] += len(s.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, s := range subjects {
		if seen[s] != size {
			t.Errorf("%s: %d bytes, want %d", s, seen[s], size)
		}
	}
}

func TestCommitRefusesWhatTheStreamCannotTakeBeforeSending(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	max := int(c.NATS().MaxPayload())
	one := func(change func(*outbound.Message)) []outbound.Message {
		ms := events(0, 3, 5)
		change(&ms[1])
		return ms
	}
	for _, tt := range []struct {
		name string
		ms   []outbound.Message
		want error
		says string
	}{
		{"a message of exactly the limit with headers is too large", one(func(m *outbound.Message) { m.Data = make([]byte, max) }), outbound.ErrTooLarge, recordID(1)},
		{"headers beyond 64 KiB", one(func(m *outbound.Message) { m.Header = map[string][]string{"X": {strings.Repeat("x", 65536)}} }), outbound.ErrTooLarge, recordID(1)},
		{"1000 events and a checkpoint", events(0, 1000, 5), outbound.ErrTooLarge, "1001"},
		{"an overlong subject", one(func(m *outbound.Message) { m.Subject = "crm.contoso.account." + strings.Repeat("x", MaxSubject) }), outbound.ErrTooLarge, "subject"},
		{"a subject twice", one(func(m *outbound.Message) { m.Subject = names.Record("account", recordID(0)) }), outbound.ErrMisconfigured, "twice"},
		{"a wildcard", one(func(m *outbound.Message) { m.Subject = "crm.contoso.account.*" }), outbound.ErrMisconfigured, "*"},
		{"a blank in the subject", one(func(m *outbound.Message) { m.Subject = "crm.contoso.account.a b" }), outbound.ErrMisconfigured, "a b"},
		{"an empty token", one(func(m *outbound.Message) { m.Subject = "crm.contoso..x" }), outbound.ErrMisconfigured, ".."},
		{"a subject of another stream", one(func(m *outbound.Message) { m.Subject = "crm.fabrikam.account.x" }), outbound.ErrMisconfigured, "fabrikam"},
		{"a line end in a header", one(func(m *outbound.Message) { m.Header = map[string][]string{"X": {"a\r\nNats-Rollup: all"}} }), outbound.ErrMisconfigured, "X"},
		{"a colon in a header's name", one(func(m *outbound.Message) { m.Header = map[string][]string{"X:Y": {"a"}} }), outbound.ErrMisconfigured, "X:Y"},
		{"a message id", one(func(m *outbound.Message) { m.Header = map[string][]string{"Nats-Msg-Id": {"a"}} }), outbound.ErrMisconfigured, "Nats-Msg-Id"},
		{"a header of the batch", one(func(m *outbound.Message) { m.Header = map[string][]string{"Nats-Batch-Commit": {"1"}} }), outbound.ErrMisconfigured, "Nats-Batch-Commit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.Commit(t.Context(), outbound.Batch{Messages: tt.ms, Checkpoint: checkpoint("c")})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := all(t, c, testStream); len(got) != 0 {
		t.Errorf("%d messages were stored", len(got))
	}
	if seq := mustCommit(t, l, events(0, 2, 5), 0); seq != 3 {
		t.Errorf("the stream is at %d", seq)
	}
}

func TestCommitTakesTheLargestMessageThatFits(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	ms := events(0, 2, 0)
	ms[1].Header = nil
	// The batch's own headers: id of 22 bytes, sequence of 1.
	head := headerSize(map[string][]string{"Nats-Batch-Id": {strings.Repeat("x", 22)}, "Nats-Batch-Sequence": {"2"}})
	ms[1].Data = make([]byte, int(c.NATS().MaxPayload())-head)
	mustCommit(t, l, ms, 0)
	ms[1].Data = append(ms[1].Data, 0)
	if _, err := l.Commit(t.Context(), outbound.Batch{Messages: ms, Checkpoint: checkpoint("c"), Expected: 3}); !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestCommitRespectsTheStreamsOwnMaximum(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	updateStream(t, c, func(cfg *jetstream.StreamConfig) { cfg.MaxMsgSize = 2000 })
	_, err := l.Commit(t.Context(), outbound.Batch{Messages: events(0, 1, 2000), Checkpoint: checkpoint("c")})
	if !errors.Is(err, outbound.ErrTooLarge) || !strings.Contains(err.Error(), recordID(0)) {
		t.Errorf("got %v", err)
	}
}

func TestAFullStreamStoresNothing(t *testing.T) {
	t.Parallel()
	c, l := newLog(t, func(s *EventStream) { s.MaxBytes = 20_000 })
	seq := mustCommit(t, l, events(0, 5, 1000), 0)
	before := len(all(t, c, testStream))
	_, err := l.Commit(t.Context(), outbound.Batch{Messages: events(10, 50, 1000), Checkpoint: checkpoint("c"), Expected: seq})
	if !errors.Is(err, outbound.ErrFull) {
		t.Fatalf("got %v", err)
	}
	if got := len(all(t, c, testStream)); got != before {
		t.Errorf("%d messages, want %d", got, before)
	}
	if _, got, err := l.Checkpoint(t.Context(), names.Checkpoint("account")); got != seq || err != nil {
		t.Errorf("checkpoint at %d, %v; want %d", got, err, seq)
	}
}

func TestAStreamWithoutTheSettingsIsNamed(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	l := c.Log(testStream)
	_, err := l.Commit(t.Context(), outbound.Batch{Checkpoint: checkpoint("c")})
	if !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("no stream: got %v", err)
	}
	if _, _, err := l.Checkpoint(t.Context(), names.Checkpoint("account")); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("no stream, checkpoint: got %v", err)
	}
	if err := last(t, l, 0, 1); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("no stream, last: got %v", err)
	}
	if _, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: testStream, Subjects: names.EventSubjects(), AllowRollup: true}); err != nil {
		t.Fatal(err)
	}
	_, err = l.Commit(t.Context(), outbound.Batch{Checkpoint: checkpoint("c")})
	if !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), "allow_atomic allow_msg_ttl allow_direct") {
		t.Errorf("flags: got %v", err)
	}
	if err := last(t, l, 0, 1); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("flags, last: got %v", err)
	}
}

func TestASwitchedOffStreamIsNoticedInTheMiddle(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	seq := mustCommit(t, l, events(0, 2, 5), 0)
	updateStream(t, c, func(cfg *jetstream.StreamConfig) { cfg.AllowAtomicPublish = false })
	for range 2 { // with cached settings, then with fresh ones
		_, err := l.Commit(t.Context(), outbound.Batch{Messages: events(5, 2, 5), Checkpoint: checkpoint("c"), Expected: seq})
		if !errors.Is(err, outbound.ErrMisconfigured) {
			t.Errorf("got %v", err)
		}
	}
	updateStream(t, c, func(cfg *jetstream.StreamConfig) { cfg.AllowAtomicPublish = true })
	mustCommit(t, l, events(5, 2, 5), seq)
}

func TestTheCheckpointOutlivesMaxAge(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	mustCommit(t, l, events(0, 2, 5), 0)
	got := all(t, c, testStream, names.Checkpoint("account"))
	want := map[string][]string{"Nats-Rollup": {"sub"}, "Nats-TTL": {"never"}}
	if len(got) != 1 {
		t.Fatalf("%d checkpoints", len(got))
	}
	if diff := cmp.Diff(want, got[0].Header); diff != "" {
		t.Error(diff)
	}
}

func TestADisconnectedLogSaysSoAtOnce(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	c := connect(t, e)
	if err := c.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), true); err != nil {
		t.Fatal(err)
	}
	l := c.Log(testStream)
	seq := mustCommit(t, l, events(0, 2, 5), 0)
	e.Stop()
	// Without a connection each call would wait as long as its context allows.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := l.Commit(ctx, outbound.Batch{Messages: events(5, 2, 5), Checkpoint: checkpoint("c"), Expected: seq})
	if !errors.Is(err, outbound.ErrUnavailable) && !errors.Is(err, outbound.ErrUnknown) {
		t.Errorf("commit: %v", err)
	}
	if _, _, err := l.Checkpoint(ctx, names.Checkpoint("account")); !errors.Is(err, outbound.ErrUnavailable) {
		t.Errorf("checkpoint: %v", err)
	}
	if err := l.Last(ctx, names.Checkpoint("account"), seq, []string{names.Record("account", recordID(0))}, func(outbound.Stored) error { return nil }); !errors.Is(err, outbound.ErrUnavailable) {
		t.Errorf("last: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("the calls waited for a connection")
	}
}

func updateStream(t testing.TB, c *Conn, change func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := c.js.Stream(t.Context(), testStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	change(&cfg)
	if _, err := c.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}
