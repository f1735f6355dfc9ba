package inbound

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

// waiting is how many messages are queued.
func (c *crew) waiting() int { return len(c.queue) - c.first }

func TestEveryQueuedMessageIsWorkedOnOnceAndInItsOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := crew{limit: 1 + random.IntN(5)}
		var queued, begun []*entry // in the order of the queue
		var turns []*turn
		working, aside := 0, 0
		// Whose turn came goes on.
		come := func() {
			turns = slices.DeleteFunc(turns, func(t *turn) bool {
				select {
				case <-t.come:
					working++
					return true
				default:
					return false
				}
			})
		}
		check := func(what string) {
			t.Helper()
			if c.busy != working || c.waiting() > 0 && c.busy < c.limit {
				t.Fatalf("seed %d, %s: %d busy of %d, %d wait, %d work", seed, what, c.busy, c.limit, c.waiting(), working)
			}
		}
		next := func() {
			working--
			if e := c.next(); e != nil {
				begun = append(begun, e)
				working++
			}
			come()
		}
		for range 1000 {
			switch at := random.IntN(12); {
			case at < 5:
				if e := (&entry{}); c.take(e) {
					working++
				} else {
					queued = append(queued, e)
				}
				check("one came")
			case at < 6 && working > 0:
				next()
				check("one was done")
			case at < 7 && working > 0:
				one := &entry{}
				queued = append(queued, one)
				working--
				if e := c.inTurn(one); e != nil {
					begun = append(begun, e)
					working++
				}
				come()
				check("one was done and handed another one in")
			case at < 9 && working > 0:
				aside++
				next()
				check("one stepped aside")
			case at < 10 && aside > 0:
				aside--
				c.back()
				working++
				check("one came back")
			case at < 11 && working > 0:
				if turn, e := c.behind(); turn != nil {
					turns = append(turns, turn)
					working--
					if e != nil {
						begun = append(begun, e)
						working++
					}
					come()
				}
				check("one waits for its turn")
			case len(turns) > 0:
				c.giveUp(turns[0])
				turns = turns[1:]
				working++
				check("one gave up")
			}
		}
		for ; aside > 0; aside-- {
			c.back()
			working++
		}
		for working > 0 {
			next()
			check("the rest")
		}
		if len(begun) != len(queued) || c.waiting() != 0 || len(turns) != 0 {
			t.Fatalf("seed %d: %d of %d begun, %d wait", seed, len(begun), len(queued), c.waiting())
		}
		for i := range queued {
			if begun[i] != queued[i] {
				t.Fatalf("seed %d: another one is the %dth", seed, i)
			}
		}
	}
}

func TestMessagesThatWaitForASlotTakeNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Concurrency, cfg.MaxHeld = 4, 1000
		h := newBench(t, cfg)
		h.b.maxAckPending = 1000
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, time.Hour)
			return nil
		}
		h.start()
		h.after(time.Second)
		before := runtime.NumGoroutine()
		for i := range 500 {
			h.b.publish("k" + strconv.Itoa(i))
		}
		h.after(time.Second)
		if st := h.route.Status(); st.InFlight != 500 {
			t.Fatalf("%d in hand", st.InFlight)
		}
		if more := runtime.NumGoroutine() - before; more > 50 {
			t.Errorf("%d goroutines for 500 messages, of which 4 are written", more)
		}
	})
}

func TestAMessageThatWaitsForItsLetterOrItsTurnKeepsNobodyFromBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Concurrency = 1
		h := newBench(t, cfg)
		h.out.fail = func(int) error { return errors.New("no connection") }
		h.crm.before = func(_ context.Context, key string, _ uint64, _ int) error {
			switch key {
			case "rejected":
				return failing(outcome.Reject, outcome.Invalid)
			case "throttled":
				return &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, RetryAfter: 10 * time.Minute}
			}
			return nil
		}
		for _, key := range []string{"rejected", "throttled", "a", "b", "c"} {
			h.b.publish(key)
		}
		h.start()
		h.after(time.Minute)
		if n := len(h.crm.writes()); n != 3 {
			t.Errorf("%d of 3 written while one waits for its dead letter and one as it was asked to", n)
		}
	})
}
