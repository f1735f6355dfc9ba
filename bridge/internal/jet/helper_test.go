package jet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cebridge/outbound"
	"cebridge/schema"
)

var names = schema.Names{Prefix: "crm", Org: "contoso"}

// patience is how long a test waits for what must come: far longer than it takes on a
// machine that does other things at the same time.
const patience = 2 * time.Minute

const testStream = "CRM_CONTOSO"

// startServer runs an embedded server for the length of the test.
func startServer(t testing.TB, change ...func(*EmbeddedOptions)) *Embedded {
	t.Helper()
	o := EmbeddedOptions{StoreDir: t.TempDir()}
	for _, f := range change {
		f(&o)
	}
	e, err := StartEmbedded(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

func connect(t testing.TB, e *Embedded) *Conn {
	t.Helper()
	c, err := Connect(context.Background(), Config{Embedded: e, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	servers.Store(c, e)
	t.Cleanup(func() { servers.Delete(c) })
	return c
}

// servers remembers the server of each connection.
var servers sync.Map

func embeddedOf(c *Conn) *Embedded {
	e, _ := servers.Load(c)
	return e.(*Embedded)
}

// eventStream is the stream most tests use.
func eventStream() EventStream {
	return EventStream{Name: testStream, Subjects: names.EventSubjects(), Replicas: 1, HistoryPerRecord: -1}
}

// newLog starts a server with an event stream.
func newLog(t testing.TB, change ...func(*EventStream)) (*Conn, *Log) {
	t.Helper()
	c := connect(t, startServer(t))
	s := eventStream()
	for _, f := range change {
		f(&s)
	}
	if err := c.EnsureEventStream(t.Context(), ProvisionApply, s, true); err != nil {
		t.Fatal(err)
	}
	return c, c.Log(testStream)
}

func recordID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

// events makes n messages of distinct records, from record number first.
func events(first, n, size int) []outbound.Message {
	ms := make([]outbound.Message, n)
	for i := range ms {
		ms[i] = outbound.Message{
			Subject: names.Record("account", recordID(first+i)),
			Header:  map[string][]string{"Content-Type": {"application/cloudevents+json"}, "Crm-Version": {fmt.Sprint(first + i)}},
			Data:    []byte(strings.Repeat("x", size)),
		}
	}
	return ms
}

func checkpoint(text string) outbound.Message {
	return outbound.Message{Subject: names.Checkpoint("account"), Data: []byte(text)}
}

// all reads the whole stream.
func all(t testing.TB, c *Conn, stream string, filter ...string) []outbound.Stored {
	t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(50 * time.Millisecond) {
		var got []outbound.Stored
		_, err := c.ReadStream(context.Background(), stream, filter, func(s outbound.Stored) error {
			got = append(got, s)
			return nil
		})
		if err == nil {
			return got
		}
		// A stream may be without a leader for a while.
		if time.Now().After(end) || !errors.Is(err, outbound.ErrUnavailable) && !errors.Is(err, outbound.ErrStale) {
			t.Fatal(err)
		}
	}
}

// within fails the test when ch yields nothing in time.
func within[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}

// record is a slog handler that keeps lines.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(p))
	return len(p), nil
}

func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "")
}

// echo answers a request with its own data, as something else than JetStream might.
func echo(m *nats.Msg) { _ = m.Respond([]byte("{}")) }
