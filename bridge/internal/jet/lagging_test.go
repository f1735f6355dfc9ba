package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// lagging is a stream on three nodes with a replica that is behind, and two clients: one
// at a node that is not, and one at the node of that replica.
type lagging struct {
	*cluster
	conn, behind *Conn
	fence        uint64 // before the replica stayed behind
}

// newLagging stores 30 events and lets the third node's replica stay behind them: frozen, or
// cut off from the others.
func newLagging(t *testing.T, cutOff bool) *lagging {
	t.Helper()
	if testing.Short() {
		t.Skip("three servers take half a minute; the full run has them")
	}
	t.Parallel()
	l := &lagging{cluster: newCluster(t)}
	l.conn = dial(t, l.nodes[0].addr())
	s := eventStream()
	s.Replicas = 3
	waitUntil(t, "the stream to be made", func() bool {
		return l.conn.EnsureEventStream(t.Context(), ProvisionApply, s, true) == nil
	})
	l.fence = l.commit(t, l.conn, events(0, 30, 5), 0)
	l.behind = l.follower(t, l.conn, testStream)
	if cutOff {
		l.cutOff(true)
		t.Cleanup(func() { l.cutOff(false) })
		return l
	}
	l.frozen.Store(true)
	t.Cleanup(func() { l.frozen.Store(false) })
	return l
}

// commit stores a batch, through a change of leaders too.
func (l *lagging) commit(t *testing.T, c *Conn, ms []outbound.Message, expected uint64) (seq uint64) {
	t.Helper()
	var err error
	waitUntil(t, "a batch to be stored", func() bool {
		if seq, err = c.Log(testStream).Commit(t.Context(), outbound.Batch{Messages: ms, Checkpoint: checkpoint("c"), Expected: expected}); err == nil {
			return true
		}
		if errors.Is(err, outbound.ErrUnknown) {
			_, seq, err = c.Log(testStream).Checkpoint(t.Context(), names.Checkpoint("account"))
			return err == nil && seq > expected
		}
		return false
	})
	return seq
}

// raw is what a plain direct read of the last message on a subject answers: its sequence.
func raw(c *Conn, subject string) (seq uint64) {
	body, _ := json.Marshal(map[string]string{"last_by_subj": subject})
	m, err := c.nc.Request(apiPrefix+"DIRECT.GET."+testStream, body, time.Second)
	if err != nil {
		return 0
	}
	seq, _ = strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	return seq
}

func (l *lagging) old(t *testing.T, subject string, seq uint64) {
	t.Helper()
	waitUntil(t, "a plain direct read to be answered by the replica that is behind", func() bool {
		got := raw(l.behind, subject)
		return got > 0 && got < seq
	})
}

// A replica that gets nothing new goes on answering direct reads, a third of those asked at
// its node: no answer of Last is older than the fence.
func TestAReplicaThatGetsNothingNewIsNeverBelieved(t *testing.T) {
	l := newLagging(t, false)
	fence, log := l.fence, l.behind.Log(testStream)
	for round := range 5 {
		fence = l.commit(t, l.behind, events(0, 30, 10+round), fence)
		l.old(t, names.Record("account", recordID(0)), fence-30)
		answers := 0
		for range 20 {
			n := 0
			err := log.Last(t.Context(), names.Checkpoint("account"), fence, subjectsOf(events(0, 30, 0)), func(m outbound.Stored) error {
				if n++; len(m.Data) != 10+round {
					return fmt.Errorf("%s has %d bytes, want %d", m.Subject, len(m.Data), 10+round)
				}
				return nil
			})
			switch {
			case errors.Is(err, outbound.ErrStale), errors.Is(err, outbound.ErrUnavailable): // six stale answers in a row
			case err != nil || n != 30:
				t.Fatalf("%d messages, %v", n, err)
			default:
				answers++
			}
		}
		if answers == 0 {
			t.Errorf("round %d: no read was answered although two replicas of three are up to date", round)
		}
	}
}

func subjectsOf(ms []outbound.Message) (list []string) {
	for _, m := range ms {
		list = append(list, m.Subject)
	}
	return list
}

// A node that is cut off keeps answering direct reads by itself: Last says that it is
// behind, and what needs the leader that it does not answer.
func TestANodeThatIsCutOffIsNamedAsBehind(t *testing.T) {
	l := newLagging(t, true)
	fence := l.commit(t, l.conn, events(0, 30, 10), l.fence)
	l.old(t, names.Record("account", recordID(0)), fence-30)
	log, none := l.behind.Log(testStream), func(outbound.Stored) error { return nil }
	if err := log.Last(t.Context(), names.Checkpoint("account"), fence, subjectsOf(events(0, 30, 0)), none); !errors.Is(err, outbound.ErrStale) {
		t.Errorf("Last: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	var asking sync.WaitGroup
	for what, ask := range map[string]func() error{
		"Checkpoint": func() error { _, _, err := log.Checkpoint(ctx, names.Checkpoint("account")); return err },
		"Scan":       func() error { return log.Scan(ctx, names.Table("account"), names.Checkpoint("account"), fence, none) },
		"ReadStream": func() error { _, err := l.behind.ReadStream(ctx, testStream, nil, none); return err },
		"Walk":       func() error { return l.behind.Walk(ctx, Walk{Stream: testStream}, func(Step) error { return nil }) },
		"Commit": func() error {
			_, err := log.Commit(ctx, outbound.Batch{Messages: events(0, 1, 1), Checkpoint: checkpoint("x"), Expected: fence})
			return err
		},
	} {
		asking.Go(func() {
			if ask() == nil {
				t.Errorf("%s succeeds at a node that is cut off", what)
			}
		})
	}
	asking.Wait()
	l.cutOff(false)
	waitUntil(t, "the node to be where the others are", func() bool {
		return log.Last(t.Context(), names.Checkpoint("account"), fence, subjectsOf(events(0, 30, 0)), none) == nil
	})
}

// The consumer behind a read lives on one of the three nodes. Where that is the one whose
// replica is behind, the read waits for it and shows all, once.
func TestAReadOnAReplicaThatLagsEndsWhereTheLeaderSays(t *testing.T) {
	l := newLagging(t, false)
	fence := l.commit(t, l.conn, events(0, 30, 10), l.fence)
	fence = l.commit(t, l.conn, events(30, 30, 10), fence)
	log := l.conn.Log(testStream)
	table := []string{names.Table("account")}
	type show func(subject string) error
	reads := map[string]func(ctx context.Context, fn show) error{
		"all": func(ctx context.Context, fn show) error {
			_, err := l.conn.ReadStream(ctx, testStream, nil, func(s outbound.Stored) error { return fn(s.Subject) })
			return err
		},
		"walk": func(ctx context.Context, fn show) error {
			return l.conn.Walk(ctx, Walk{Stream: testStream, Filter: table}, func(s Step) error { return fn(s.Subject) })
		},
		"since": func(ctx context.Context, fn show) error {
			return l.conn.Walk(ctx, Walk{Stream: testStream, Since: time.Unix(1, 0)}, func(s Step) error { return fn(s.Subject) })
		},
		"latest": func(ctx context.Context, fn show) error {
			return l.conn.Walk(ctx, Walk{Stream: testStream, Filter: table, Latest: true}, func(s Step) error { return fn(s.Subject) })
		},
		"scan": func(ctx context.Context, fn show) error {
			return log.Scan(ctx, table[0], names.Checkpoint("account"), fence, func(s outbound.Stored) error { return fn(s.Subject) })
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	var ended atomic.Int32
	begin := func(what string, read func(context.Context, show) error) {
		running.Go(func() {
			defer ended.Add(1)
			n, seen := 0, map[string]bool{}
			err := read(ctx, func(subject string) error {
				if strings.HasPrefix(subject, strings.TrimSuffix(table[0], "*")) {
					n, seen[subject] = n+1, true
				}
				return nil
			})
			// What moved on behind the replica's back may come twice among the last.
			if last := what == "latest" || what == "scan"; err != nil || len(seen) != 60 || n != 90 && !(last && n == 60) {
				t.Errorf("%s shows %d events of %d records, %v", what, n, len(seen), err)
			}
		})
	}
	all := int32(0)
	for what, read := range reads {
		// They are placed at random: with 12 of a kind one is on the third node in 99 of 100 runs.
		for range 12 {
			begin(what, read)
			all++
		}
	}
	waitUntil(t, "the reads at the replica that is behind to be all that is left", func() bool {
		listed, held := int32(0), int32(0)
		s, err := l.conn.js.Stream(t.Context(), testStream)
		if err != nil {
			return false
		}
		list := s.ListConsumers(t.Context())
		for info := range list.Info() {
			if listed++; on(info) == l.nodes[2].opts.ServerName {
				held++
			}
		}
		return list.Err() == nil && listed == all && held > 0 && ended.Load() == all-held
	})
	l.frozen.Store(false)
	running.Wait()
}

// That an object is gone halts a table. A replica that does not have it yet is no proof.
func TestAnObjectThatALaggingReplicaDoesNotHaveIsNotGone(t *testing.T) {
	l := newLagging(t, false)
	l.frozen.Store(false)
	third, stream := l.nodes[2].opts.ServerName, bucketStream(testBucket)
	waitUntil(t, "the bucket to be made", func() bool {
		return l.conn.EnsureBucket(t.Context(), ProvisionApply, testBucket, 3) == nil
	})
	waitUntil(t, "all replicas of the bucket to be current, and another node to lead", func() bool {
		s, err := l.conn.js.Stream(t.Context(), stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		c := s.CachedInfo().Cluster
		if c.Leader == third {
			stepDown(t, l.conn, stream)
			return false
		}
		return c.Leader != "" && len(c.Replicas) == 2 && c.Replicas[0].Current && c.Replicas[1].Current
	})
	l.frozen.Store(true)
	uri, err := l.conn.Payloads(testBucket, l.conn.Log(testStream), 0).Put(t.Context(), "account/a/1/d", []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	behind := l.behind.Payloads(testBucket, l.behind.Log(testStream), 0)
	var read, lags bool
	waitUntil(t, "the object to be read, and to be missed by the replica that is behind", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		data, err := behind.Get(ctx, uri)
		if errors.Is(err, outbound.ErrNoPayload) {
			t.Fatalf("a replica that lags is believed: %v", err)
		}
		read = read || string(data) == "data"
		lags = lags || errors.Is(err, outbound.ErrUnavailable) && strings.Contains(err.Error(), "lags")
		return read && lags
	})
	if _, err := behind.Get(t.Context(), uri+"x"); !errors.Is(err, outbound.ErrNoPayload) {
		t.Errorf("an object that never was: %v", err)
	}
}

// on is the node where a consumer lives.
func on(info *jetstream.ConsumerInfo) string {
	if info.Cluster == nil {
		return ""
	}
	return info.Cluster.Leader
}
