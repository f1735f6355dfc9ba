package jet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

// walked starts a server with a stream of n messages, two on each subject, and
// returns what a walk shows.
func walked(t *testing.T, n int) (*Conn, func(Walk) []string) {
	t.Helper()
	srv, err := StartEmbedded(EmbeddedOptions{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	c, err := Connect(t.Context(), Config{Embedded: srv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowRollup: true, AllowMsgTTL: true}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := c.js.Publish(t.Context(), fmt.Sprint("s.", i/2), []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	return c, func(w Walk) (got []string) {
		t.Helper()
		w.Stream = "S"
		err := c.Walk(t.Context(), w, func(s Step) error {
			got = append(got, s.Subject+" "+string(s.Data))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
}

func TestAWalkShowsWhatItWasAskedForAndEnds(t *testing.T) {
	t.Parallel()
	c, walk := walked(t, 6)
	for what, x := range map[string]struct {
		w    Walk
		want []string
	}{
		"all":          {Walk{}, []string{"s.0 0", "s.0 1", "s.1 2", "s.1 3", "s.2 4", "s.2 5"}},
		"one subject":  {Walk{Filter: []string{"s.1"}}, []string{"s.1 2", "s.1 3"}},
		"latest":       {Walk{Latest: true}, []string{"s.0 1", "s.1 3", "s.2 5"}},
		"headers only": {Walk{Latest: true, HeadersOnly: true}, []string{"s.0 ", "s.1 ", "s.2 "}},
		"nothing":      {Walk{Filter: []string{"s.9"}}, nil},
		"too young":    {Walk{Since: time.Now().Add(time.Hour)}, nil},
	} {
		if diff := cmp.Diff(x.want, walk(x.w)); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	stop := errors.New("enough")
	if err := c.Walk(t.Context(), Walk{Stream: "S"}, func(Step) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of fn becomes %v", err)
	}
	if err := c.Walk(t.Context(), Walk{Stream: "NONE"}, nil); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("a missing stream: %v", err)
	}
}

func TestAWalkTakesMessagesOfEverySizeWithoutLosingOne(t *testing.T) {
	t.Parallel()
	c, _ := walked(t, 0)
	var slow atomic.Int32 // what the client library reports
	c.nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) { slow.Add(1) })
	var want []int
	for i := range 3000 {
		n := 100
		if i%1000 == 999 {
			n = 7 << 20 // nearly the largest one
		}
		want = append(want, n)
		if _, err := c.js.PublishAsync("s.x", make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	<-c.js.PublishAsyncComplete()
	var got []int
	if err := c.Walk(t.Context(), Walk{Stream: "S"}, func(s Step) error { got = append(got, len(s.Data)); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := slow.Load(); n > 0 {
		t.Errorf("%d errors were reported", n)
	}
}

// More than one request's worth: the server skips messages where requests are bounded by
// bytes.
func TestTheLatestOfManySubjectsAreAllShown(t *testing.T) {
	t.Parallel()
	c, walk := walked(t, 0)
	const n = 4000
	for i := range n {
		if _, err := c.js.PublishAsync(fmt.Sprint("s.", i), make([]byte, 8<<10)); err != nil {
			t.Fatal(err)
		}
	}
	<-c.js.PublishAsyncComplete()
	for range 2 {
		if got := len(walk(Walk{Latest: true})); got != n {
			t.Errorf("%d subjects are shown, want %d", got, n)
		}
		if got := len(walk(Walk{Latest: true, HeadersOnly: true})); got != n {
			t.Errorf("headers of %d subjects are shown, want %d", got, n)
		}
	}
}

func TestAFollowingWalkGoesOnUntilItIsEnded(t *testing.T) {
	t.Parallel()
	c, _ := walked(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen, done := make(chan string), make(chan error, 1)
	go func() {
		done <- c.Walk(ctx, Walk{Stream: "S", Since: time.Unix(1, 0), Follow: true}, func(s Step) error {
			seen <- string(s.Data)
			return nil
		})
	}()
	for _, want := range []string{"0", "1"} {
		if got := <-seen; got != want {
			t.Errorf("saw %s, want %s", got, want)
		}
	}
	if _, err := c.js.Publish(ctx, "s.0", []byte("later")); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "later" {
		t.Errorf("saw %s", got)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestARollUpIsRefusedOnceTheSubjectMovedOn(t *testing.T) {
	t.Parallel()
	c, walk := walked(t, 4)
	last, n, err := c.Newest(t.Context(), "S", "s.0")
	if err != nil || last.Sequence != 2 || n != 2 || string(last.Data) != "1" {
		t.Fatalf("newest %+v, %d, %v", last, n, err)
	}
	m := outbound.Message{Subject: "s.0", Data: []byte("marker")}
	if _, err := c.RollUp(t.Context(), "S", m, 1, time.Hour); !errors.Is(err, ErrMoved) {
		t.Errorf("with an old sequence: %v", err)
	}
	seq, err := c.RollUp(t.Context(), "S", m, 2, time.Hour)
	if err != nil || seq != 5 {
		t.Fatalf("sequence %d, %v", seq, err)
	}
	if removed, err := c.PurgeBefore(t.Context(), "S", "s.0", seq); err != nil || removed != 0 {
		t.Errorf("the rollup left %d messages, %v", removed, err)
	}
	if diff := cmp.Diff([]string{"s.1 2", "s.1 3", "s.0 marker"}, walk(Walk{})); diff != "" {
		t.Error(diff)
	}
	for range 2 { // the second time it is gone already
		if err := c.Remove(t.Context(), "S", 3); err != nil {
			t.Error(err)
		}
	}
	if last, n, err := c.Newest(t.Context(), "S", "s.9"); err != nil || last.Sequence != 0 || n != 0 {
		t.Errorf("a subject without messages: %+v, %d, %v", last, n, err)
	}
}

func TestAStoreIsTakenByOneServerAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := StartEmbedded(EmbeddedOptions{StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if second, err := StartEmbedded(EmbeddedOptions{StoreDir: dir}); err == nil {
		second.Stop()
		t.Error("a second server opened the same store")
	}
	first.Stop()
	again, err := StartEmbedded(EmbeddedOptions{StoreDir: dir})
	if err != nil {
		t.Fatalf("after the first one ended: %v", err)
	}
	again.Stop()
}
