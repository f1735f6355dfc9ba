package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// failoverAckWait is the ack_wait of the route, which is also how long the server
// keeps a client the active one that is not heard of (the pin).
const failoverAckWait = 2 * time.Second

// Of two processes that share a route, the one that works is killed: messages sent
// after that are written by the other one, soon after the pin and the claim on what
// the dead one held are over, and in the order of their key.
func TestWhenTheActiveInstanceIsKilledTheOtherGoesOnSoon(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	r := &run{o: Options{Seed: 1, Dir: t.TempDir(), Child: childOf(t)}}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	slower := strings.Replace(string(text), "ack_wait: 1s", "ack_wait: "+failoverAckWait.String(), 1)
	if err := os.WriteFile(r.config, []byte(slower), 0o600); err != nil {
		t.Fatal(err)
	}

	order := 0
	send := func() int {
		t.Helper()
		order++
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": fmt.Sprint(order), "source": "/soak", "type": "com.example.soak",
			"data": map[string]any{"key": "K", "name": fmt.Sprint("message ", order), "order": order},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.js.PublishMsg(ctx, &nats.Msg{
			Subject: sourceSubject, Data: body, Header: nats.Header{"Content-Type": {"application/cloudevents+json"}},
		}); err != nil {
			t.Fatal(err)
		}
		return order
	}
	// written waits until the record shows that message or a later one, while more are
	// sent all the time.
	written := func(want int) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if id, ok := r.sim.FindByKey("account", map[string]any{KeyColumn: "K"}); ok {
				if row, ok := r.sim.Row("account", id); ok {
					var at int
					if _, err := fmt.Sscan(fmt.Sprint(row[OrderColumn]), &at); err == nil && at >= want {
						return
					}
				}
			}
			select {
			case <-ctx.Done():
				t.Fatalf("message %d was not written in time; see the log:\n%s", want, r.lastLines())
			case <-tick.C:
				send()
			}
		}
	}
	start := func() *child {
		t.Helper()
		c, err := r.start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.kill() })
		return c
	}

	active := start()
	written(send())
	for round := range 3 {
		other := start()
		// The other one is there when it asks for messages, too.
		r.awaitPulls(ctx, t, 2)
		began := time.Now()
		if err := active.kill(); err != nil {
			t.Fatal(err)
		}
		written(send())
		took := time.Since(began)
		t.Logf("round %d: the other instance wrote %s after the kill (ack_wait and pin: %s each)", round, took.Round(time.Millisecond), failoverAckWait)
		// The slack is for a machine that does other things at the same time; it is less
		// than the ack_wait and pin of a route that says nothing of them.
		if limit := 2*failoverAckWait + 20*time.Second; took > limit {
			t.Errorf("round %d: failover took %s, more than %s", round, took, limit)
		}
		active = other
	}
	last := 0
	for _, e := range r.sim.Log(1) {
		if e.Kind != "commit" || e.Table != "account" || e.Columns[KeyColumn] != "K" {
			continue
		}
		var at int
		if _, err := fmt.Sscan(fmt.Sprint(e.Columns[OrderColumn]), &at); err != nil {
			t.Fatal(err)
		}
		if at < last {
			t.Errorf("message %d was written after message %d", at, last)
		}
		last = max(last, at)
	}
}

// awaitPulls waits until so many clients wait for messages of the route.
func (r *run) awaitPulls(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	for {
		c, err := r.js.Consumer(ctx, sourceStream, "crm-"+org+"-"+route)
		if err == nil {
			if info, err := c.Info(ctx); err == nil && info.NumWaiting >= n {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no %d clients wait for messages; see the log:\n%s", n, r.lastLines())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastLines is the end of what the bridges wrote to their log.
func (r *run) lastLines() string {
	text, err := os.ReadFile(r.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}
