package inbound

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema/outcome"
)

// successors are instances of one route that follow each other; message 1, of key A, gets
// parked. The ack wait is an hour, so that what goes on sooner did not wait for it.
type successors struct {
	t   *testing.T
	cfg RouteConfig
	b   *broker
	c   *crm
	o   *orphan
	l   *lot

	mu sync.Mutex
	// once is called instead of the organization, for the next write.
	once func(ctx context.Context) error
}

func newSuccessors(t *testing.T) *successors {
	cfg := parkConfig()
	cfg.AckWait, cfg.GiveUpParked = time.Hour, 48*time.Hour
	x := &successors{t: t, cfg: cfg, b: newBroker(), c: &crm{}, o: &orphan{keys: "A"}, l: &lot{}}
	x.b.ackWait = cfg.AckWait
	x.c.before = func(ctx context.Context, key string, seq uint64, call int) error {
		x.mu.Lock()
		once := x.once
		x.once = nil
		x.mu.Unlock()
		if once != nil {
			return once(ctx)
		}
		return x.o.before(ctx, key, seq, call)
	}
	x.b.publish("A")
	return x
}

func (x *successors) next() *bench {
	h := parkedBench(x.t, x.cfg, x.b, x.c, &outbox{}, x.l)
	h.start()
	return h
}

// parked runs the first instance until message 1 is parked.
func (x *successors) parked() *bench {
	x.t.Helper()
	h := x.next()
	h.after(10 * time.Second)
	if x.l.count() != 1 || len(x.b.unsettled()) != 0 {
		x.t.Fatalf("%d parked, unsettled %v", x.l.count(), x.b.unsettled())
	}
	return h
}

// released tells how long after now message 1 was written, looking for at most limit.
func (x *successors) released(limit time.Duration) time.Duration {
	began := time.Now()
	for time.Since(began) < limit && len(x.c.sequences("A")) == 0 {
		time.Sleep(time.Second)
		synctest.Wait()
	}
	return time.Since(began)
}

func TestAfterAnOrderlyEndParkedMessagesAreTriedAtOnce(t *testing.T) {
	for name, arrives := range map[string]bool{"while messages arrive": true, "while nothing arrives": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newSuccessors(t)
				x.parked().close()
				x.o.arrive()
				if arrives {
					x.b.publish("B")
				}
				h := x.next()
				if took := x.released(10 * time.Hour); took > time.Minute || x.l.resumed != 1 {
					t.Errorf("released after %s, %d resumed", took, x.l.resumed)
				}
				x.b.publish("A")
				h.after(time.Minute)
				if got := x.c.sequences("A"); len(got) != 2 || got[0] != 1 || len(x.b.unsettled()) != 0 {
					t.Errorf("written %v, unsettled %v", got, x.b.unsettled())
				}
			})
		})
	}
}

func TestParkedMessagesAreTriedInTheirOwnTimeHoweverLongTheAckWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSuccessors(t)
		h := x.parked()
		h.after(2 * time.Minute)
		x.o.arrive() // nobody tells
		if took := x.released(10 * time.Hour); took > 2*time.Minute {
			t.Errorf("released after %s: half of the time it waited so far is its next wait", took)
		}
		h.close()
	})
}

func TestMessagesThatArriveWhileAParkedOneIsTriedWaitForNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSuccessors(t)
		x.parked().close()
		x.once = func(context.Context) error { // the try, when the first message after the restart comes
			x.b.publish("A")
			time.Sleep(5 * time.Second)
			return &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Throttled}
		}
		x.o.arrive()
		h := x.next()
		h.after(time.Minute)
		if got := x.c.sequences("A"); !slices.Equal(got, []uint64{1, 2}) || len(x.b.unsettled()) != 0 || x.l.count() != 0 {
			t.Errorf("written %v, unsettled %v, %d parked", got, x.b.unsettled(), x.l.count())
		}
	})
}

func TestAnIndexThatCannotBeReadIsReadAgainSoonHoweverLongTheAckWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSuccessors(t)
		failing := 3
		x.l.fail = func(call string) error {
			if call == "open" && failing > 0 {
				failing--
				return errors.New("no connection")
			}
			return nil
		}
		x.o.arrive()
		h := x.next()
		h.after(time.Minute)
		if got := x.c.sequences("A"); failing != 0 || len(got) != 1 {
			t.Errorf("written %v, the index was read %d times less often than it fails", got, failing)
		}
	})
}

func TestAfterACrashParkedMessagesWaitAnAckWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSuccessors(t)
		first := x.parked()
		x.l.mu.Lock()
		x.l.fail = func(call string) error { // it cannot tell anybody
			if call == "end" {
				return errors.New("no connection")
			}
			return nil
		}
		x.l.mu.Unlock()
		first.close()
		x.o.arrive()
		x.b.publish("B")
		second := x.next()
		second.after(30 * time.Minute)
		if len(x.c.sequences("A")) != 0 || len(x.c.sequences("B")) != 1 {
			t.Errorf("written %v", x.c.writes())
		}
		// Ending in order within that time is no help to the next one: it may be over sooner.
		x.l.mu.Lock()
		x.l.fail = nil
		x.l.mu.Unlock()
		second.close()
		if x.l.ended {
			t.Error("the term was ended before the one that was killed had surely stopped")
		}
		x.b.publish("B")
		third := x.next()
		if took := x.released(10 * time.Hour); took < time.Hour || took > 2*time.Hour {
			t.Errorf("released after %s", took)
		}
		third.close()
	})
}

func TestATermIsEndedOnlyWhenNothingOfItMayStillTakeEffect(t *testing.T) {
	lost := &outcome.Error{Verdict: outcome.Retry, Reason: outcome.Timeout, Ambiguous: true}
	for name, c := range map[string]struct {
		bound time.Duration
		try   func(ctx context.Context) error
		after time.Duration // from then on to the stop
		want  bool
	}{
		"the parent is still missing":             {time.Minute, nil, 0, true},
		"an answer was lost":                      {10 * time.Minute, func(context.Context) error { return lost }, 0, false},
		"an answer was lost long ago":             {time.Minute, func(context.Context) error { return lost }, 3 * time.Minute, true},
		"a try is running when it ends":           {time.Minute, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0, false},
		"a try was not sent when it ends":         {time.Minute, func(ctx context.Context) error { <-ctx.Done(); return errors.Join(ErrNotSent, ctx.Err()) }, 0, true},
		"what may come late is not to be awaited": {-1, nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newSuccessors(t)
				x.cfg.AmbiguityBound = c.bound
				h := x.parked()
				if c.try != nil {
					x.mu.Lock()
					x.once = c.try
					x.mu.Unlock()
					h.route.deps.Arrivals.Announce("contacts(emailaddress1='p')")
					h.after(2 * time.Second)
					x.mu.Lock()
					waits := x.once != nil
					x.mu.Unlock()
					if waits {
						t.Fatal("it was not tried")
					}
				}
				h.after(c.after)
				h.close()
				if x.l.ended != c.want {
					t.Errorf("ended: %v", x.l.ended)
				}
			})
		})
	}
}

func TestAnInstanceThatWasReplacedDoesNotEndTheTermOfTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSuccessors(t)
		h := x.parked()
		other := &terminal{lot: x.l}
		if _, err := other.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.close()
		if x.l.ended || strings.Contains(h.logs.String(), "end the term") {
			t.Errorf("ended: %v, %s", x.l.ended, h.logs)
		}
	})
}

func TestWhatAnInstanceParkedItselfIsTriedWithoutWaitingForThoseBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSuccessors(t)
		first := x.parked()
		first.c.cut(true)
		x.l.mu.Lock()
		x.l.term++ // it was killed, and cannot end its term
		x.l.mu.Unlock()
		first.close()
		x.o.mu.Lock()
		x.o.keys = "ABC"
		x.o.mu.Unlock()
		for _, key := range []string{"A", "B", "C", "C"} {
			x.b.publish(key)
		}
		second := x.next()
		second.after(time.Minute)
		if x.l.count() != 5 {
			t.Fatalf("%d parked", x.l.count())
		}
		x.o.arrive()
		second.route.deps.Arrivals.Announce("contacts(emailaddress1='p')")
		second.after(time.Minute)
		if a, b, c := x.c.sequences("A"), x.c.sequences("B"), x.c.sequences("C"); len(a) != 0 || !slices.Equal(b, []uint64{3}) || !slices.Equal(c, []uint64{4, 5}) {
			t.Errorf("A %v, B %v, C %v: what is known to nobody else need not wait, and the rest must", a, b, c)
		}
		second.after(2 * time.Hour)
		if a := x.c.sequences("A"); !slices.Equal(a, []uint64{1, 2}) {
			t.Errorf("A %v", a)
		}
	})
}

func TestAnInstanceWaitsOnceForThoseBeforeItHoweverOftenItOpensTheIndex(t *testing.T) {
	now := time.Unix(1000, 0)
	wait, some := time.Minute, []*Parked{{}}
	type opening struct {
		after time.Duration
		o     Opened
		want  time.Duration
	}
	for name, list := range map[string][]opening{
		"after a crash":            {{0, Opened{Parked: some}, wait}, {10 * time.Second, Opened{Parked: some, Own: true}, wait}},
		"after an end":             {{0, Opened{Parked: some, Ended: true}, 0}, {time.Hour, Opened{Parked: some, Own: true}, 0}},
		"nothing is parked":        {{0, Opened{}, 0}, {time.Second, Opened{Parked: some, Own: true}, 0}},
		"no room for a term":       {{0, Opened{Unsure: true}, wait}, {time.Second, Opened{Parked: some, Own: true}, wait}},
		"somebody was in between":  {{0, Opened{}, 0}, {time.Second, Opened{Parked: some}, time.Second + wait}},
		"an earlier session's own": {{0, Opened{Parked: some, Own: true}, wait}},
	} {
		var y yard
		for i, step := range list {
			y.settle(step.o, now.Add(step.after), wait)
			if got := y.calm.Sub(now); got != step.want {
				t.Errorf("%s, opening %d: calm after %s, want %s", name, i, got, step.want)
			}
		}
	}
}
