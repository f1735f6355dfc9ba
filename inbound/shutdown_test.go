package inbound

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/outcome"
)

func TestTheEndLetsARunningWriteFinishAndSettlesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
			sleep(ctx, 15*time.Second)
			return ctx.Err()
		}
		h.b.publish("A")
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		began := time.Now()
		h.close()
		if took := time.Since(began); took != 14*time.Second {
			t.Errorf("took %s", took)
		}
		if diff := cmp.Diff([]uint64{1}, h.crm.sequences("A")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]uint64{2}, h.b.unsettled()); diff != "" {
			t.Error("unsettled", diff)
		}
		if h.b.deliveriesOf(1) != 1 {
			t.Error("the message was not extended while the route ended")
		}
		if st := h.route.Status(); st.State != StateIdle {
			t.Errorf("%+v", st)
		}
	})
}

func TestTheEndIsBoundedByGraceAndIsNoVerdict(t *testing.T) {
	cases := map[string]func(error) error{
		"the context's error":      func(err error) error { return err },
		"wrapped":                  func(err error) error { return fmt.Errorf("PATCH: %w", err) },
		"under a rash rejection":   func(err error) error { return &outcome.Error{Verdict: outcome.Reject, Err: err} },
		"under a retry":            func(err error) error { return &outcome.Error{Verdict: outcome.Retry, Err: err} },
		"hidden under a lost race": func(err error) error { return &outcome.Error{Verdict: outcome.RetryRace, Err: err} },
	}
	for name, wrap := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newBench(t, testConfig())
				h.crm.before = func(ctx context.Context, _ string, _ uint64, _ int) error {
					<-ctx.Done()
					return wrap(ctx.Err())
				}
				h.b.publish("A")
				h.start()
				h.after(time.Second)
				began := time.Now()
				h.close()
				if took := time.Since(began); took != DefaultGrace {
					t.Errorf("took %s", took)
				}
				if len(h.b.unsettled()) != 1 || len(h.out.letters) != 0 || len(h.outcomes()) != 0 {
					t.Error("the end was taken for a verdict")
				}
			})
		})
	}
}

func TestTheEndDoesNotWaitForUnconfirmedSettlementForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.c.ackFails = 1 << 30
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		began := time.Now()
		h.close()
		if took := time.Since(began); took > DefaultGrace+DefaultSettleTimeout {
			t.Errorf("took %s", took)
		}
		if len(h.b.unsettled()) != 1 {
			t.Error("acknowledged")
		}
	})
}

func TestTheEndCutsShortAnyWait(t *testing.T) {
	cases := map[string]*outcome.Error{
		"between attempts":   {Verdict: outcome.RetryAfter, Reason: outcome.Throttled, RetryAfter: time.Hour},
		"missing a referent": {Verdict: outcome.Park, Reason: outcome.MissingReference, RetryAfter: time.Hour},
		"after a stop":       {Verdict: outcome.Stop, Reason: outcome.Config},
	}
	for name, err := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newBench(t, testConfig())
				h.crm.before = func(context.Context, string, uint64, int) error { return err }
				h.b.publish("A")
				h.start()
				h.after(time.Second)
				began := time.Now()
				h.close()
				if took := time.Since(began); took != 0 {
					t.Errorf("took %s", took)
				}
				if len(h.b.unsettled()) != 1 || len(h.out.letters) != 0 {
					t.Error("the end was taken for a verdict")
				}
			})
		})
	}
}

func TestAPausedRouteTakesNothingAndGoesOnAfterResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.b.publish("A")
		h.start()
		h.after(time.Second)
		h.route.Pause()
		h.after(time.Second)
		h.b.publish("A")
		h.after(time.Minute)
		if st := h.route.Status(); st.State != StatePaused || st.InFlight != 0 {
			t.Errorf("%+v", st)
		}
		if n := len(h.crm.writes()); n != 1 {
			t.Errorf("%d writes", n)
		}
		h.route.Resume()
		h.after(10 * time.Second)
		if len(h.b.unsettled()) != 0 || h.route.Status().State != StateRunning {
			t.Errorf("unsettled %v: %+v", h.b.unsettled(), h.route.Status())
		}
	})
}

func TestResumeWhileAStoppedRouteStillFinishesIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		broken := true
		h.crm.before = func(ctx context.Context, key string, _ uint64, _ int) error {
			if key == "slow" {
				sleep(ctx, 5*time.Second)
				return nil
			}
			if broken {
				return failing(outcome.Stop, outcome.Config)
			}
			return nil
		}
		h.b.publish("slow")
		h.start()
		h.after(time.Second)
		h.b.publish("A")
		h.after(time.Second)
		if st := h.route.Status(); st.State != StateStopped || !strings.Contains(st.Detail, "then resume") {
			t.Errorf("%+v", st)
		}
		broken = false
		h.route.Resume()
		h.after(time.Minute)
		if len(h.b.unsettled()) != 0 {
			t.Errorf("%+v", h.route.Status())
		}
	})
}

func TestResumeOfARunningRouteDoesNotHideALaterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(context.Context, string, uint64, int) error { return failing(outcome.Stop, outcome.Config) }
		h.start()
		h.after(time.Second)
		h.route.Resume()
		h.b.publish("A")
		h.after(time.Minute)
		if st := h.route.Status(); st.State != StateStopped || h.crm.calls != 1 {
			t.Errorf("%+v after %d calls", st, h.crm.calls)
		}
	})
}

func TestALostFeedStopsTheRouteAndSaysWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.start()
		h.after(time.Second)
		h.c.set(func(c *client) { c.lost = true })
		h.after(time.Second)
		if st := h.route.Status(); st.State != StateStopped || !strings.Contains(st.Detail, "restore or provision") {
			t.Errorf("%+v", st)
		}
		h.c.set(func(c *client) { c.lost = false })
		h.b.publish("A")
		h.route.Resume()
		h.after(10 * time.Second)
		if len(h.b.unsettled()) != 0 {
			t.Errorf("%+v", h.route.Status())
		}
	})
}

// brittleFeed ends by itself a few times before it works.
type brittleFeed struct {
	*client
	fails, runs int
}

func (f *brittleFeed) Run(ctx context.Context, handle func(Delivery)) error {
	if f.runs++; f.runs <= f.fails {
		return nil
	}
	return f.client.Run(ctx, handle)
}

func TestAFeedThatEndsByItselfIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		f := &brittleFeed{client: h.c, fails: 3}
		h.route.feed = f
		h.b.publish("A")
		h.start()
		h.after(30 * time.Second)
		if f.runs != 4 || len(h.b.unsettled()) != 0 {
			t.Errorf("%d runs, unsettled %v", f.runs, h.b.unsettled())
		}
	})
}

func TestARouteRunsOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.start()
		synctest.Wait()
		if err := h.route.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
			t.Error(err)
		}
		h.close()
		h.start() // but again afterwards
		h.b.publish("A")
		h.after(10 * time.Second)
		if len(h.b.unsettled()) != 0 {
			t.Error("the second run did nothing")
		}
	})
}
