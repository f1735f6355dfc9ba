package inbound

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema/outcome"
)

func TestEveryVerdictHasItsEffect(t *testing.T) {
	const ever = 1 << 30
	cases := []struct {
		name  string
		err   error
		times int // failures before success
		// what must follow
		outcome    string // "" for nothing within two minutes
		calls      int    // 0: any number
		atLeast    time.Duration
		atMost     time.Duration
		state      State
		letterWith outcome.Verdict
	}{
		{name: "retry until it succeeds", err: failing(outcome.Retry, outcome.Server), times: 3,
			outcome: Written, calls: 4, atLeast: 300 * time.Millisecond, atMost: 2 * time.Second},
		{name: "retry for ever", err: failing(outcome.Retry, outcome.Network), times: ever, state: StateRunning},
		{name: "retry-after waits as told", err: &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, RetryAfter: 7 * time.Second},
			times: 1, outcome: Written, calls: 2, atLeast: 7 * time.Second, atMost: 7*time.Second + 300*time.Millisecond},
		{name: "retry-after without a delay backs off", err: &outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled},
			times: 1, outcome: Written, calls: 2, atLeast: 50 * time.Millisecond, atMost: 150 * time.Millisecond},
		{name: "a lost race is repeated at once", err: failing(outcome.RetryRace, outcome.Duplicate), times: 2,
			outcome: Written, calls: 3, atMost: time.Millisecond},
		{name: "a third lost race is a rejection", err: failing(outcome.RetryRace, outcome.Duplicate), times: ever,
			outcome: Rejected, calls: 3, atMost: time.Millisecond, letterWith: outcome.RetryRace},
		{name: "a missing reference may appear", err: failing(outcome.Park, outcome.MissingReference), times: 4,
			outcome: Written, calls: 5, atMost: 5 * time.Second},
		{name: "a missing reference is given up", err: failing(outcome.Park, outcome.MissingReference), times: ever,
			outcome: Rejected, atLeast: 30 * time.Second, atMost: 30*time.Second + time.Millisecond, letterWith: outcome.Park},
		{name: "refused credentials are tried again", err: failing(outcome.Reauthenticate, outcome.Unauthorized), times: 2,
			outcome: Written, calls: 3, atLeast: 100 * time.Millisecond, atMost: time.Second},
		{name: "reject", err: failing(outcome.Reject, outcome.Invalid), times: ever,
			outcome: Rejected, calls: 1, atMost: time.Millisecond, letterWith: outcome.Reject},
		{name: "stop", err: failing(outcome.Stop, outcome.Forbidden), times: ever, calls: 1, state: StateStopped},
		{name: "an error without a verdict is tried again", err: errors.New("bug"), times: 1,
			outcome: Written, calls: 2, atMost: time.Second},
		{name: "an unknown verdict is tried again", err: &outcome.Error{Verdict: "later"}, times: 1,
			outcome: Written, calls: 2, atMost: time.Second},
		{name: "a deadline of the writer's own is tried again", err: context.DeadlineExceeded, times: 1,
			outcome: Written, calls: 2, atMost: time.Second},
		{name: "an answer to an interrupted call is no verdict", err: context.Canceled, times: 1,
			outcome: Written, calls: 2, atMost: time.Second},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newBench(t, testConfig())
				h.crm.before = func(_ context.Context, _ string, _ uint64, call int) error {
					if call <= tc.times {
						return tc.err
					}
					return nil
				}
				h.b.publish("A")
				h.start()
				began := time.Now()
				var took time.Duration
				for took = 0; took < 2*time.Minute && len(h.outcomes()) == 0; took = time.Since(began) {
					h.after(time.Millisecond)
				}
				want := map[string]int{}
				if tc.outcome != "" {
					want[tc.outcome] = 1
					if took < tc.atLeast || took > tc.atMost+2*time.Millisecond {
						t.Errorf("took %s, want %s to %s", took, tc.atLeast, tc.atMost)
					}
				}
				if diff := cmp.Diff(want, h.outcomes()); diff != "" {
					t.Error(diff)
				}
				if acked := len(h.b.unsettled()) == 0; acked != (tc.outcome != "") {
					t.Errorf("acknowledged: %t", acked)
				}
				if tc.calls != 0 && h.crm.calls != tc.calls {
					t.Errorf("%d calls, want %d", h.crm.calls, tc.calls)
				}
				if st := h.route.Status(); tc.state != "" && st.State != tc.state {
					t.Errorf("state %s (%s), want %s", st.State, st.Detail, tc.state)
				}
				if n := len(h.out.letters); (n == 1) != (tc.letterWith != "") {
					t.Errorf("%d dead letters", n)
				} else if n == 1 && h.out.letters[0].Verdict != string(tc.letterWith) {
					t.Errorf("letter with verdict %s", h.out.letters[0].Verdict)
				}
				h.close()
			})
		})
	}
}

func TestADeadLetterTellsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(context.Context, string, uint64, int) error {
			return failing(outcome.RetryRace, outcome.Duplicate)
		}
		h.b.publish("A")
		began := time.Now()
		h.start()
		h.after(time.Second)
		if len(h.out.letters) != 1 {
			t.Fatalf("%d letters", len(h.out.letters))
		}
		l := *h.out.letters[0]
		if l.First.Sub(began) > time.Second || l.Last.Before(l.First) {
			t.Errorf("first %s, last %s", l.First, l.Last)
		}
		l.First, l.Last = time.Time{}, time.Time{}
		want := Letter{
			Route: "erp", Message: l.Message, Verdict: "retry-race", Reason: "duplicate", Code: "0x80040265",
			Status: 400, Text: "the text of the server about SECRET-KEY", Method: "PATCH",
			Path: "accounts(accountnumber='A')", Body: []byte(`{"sequence":1}`), Attempts: 3,
			Key: KeyHash("account\x00accountnumber\x01a"),
		}
		if diff := cmp.Diff(want, l); diff != "" {
			t.Error(diff)
		}
		if string(l.Message.Data) != `{"key":"A"}` || l.Message.Sequence != 1 {
			t.Errorf("the original is not in the letter: %+v", l.Message)
		}

	})
}

func TestAStoppedRouteAcknowledgesNothingAndGoesOnAfterResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		broken := true
		h.crm.before = func(context.Context, string, uint64, int) error {
			if broken {
				return failing(outcome.Stop, outcome.Forbidden)
			}
			return nil
		}
		h.b.publish("A")
		h.b.publish("B")
		h.start()
		h.after(time.Minute)
		st := h.route.Status()
		if st.State != StateStopped || !strings.Contains(st.Detail, "grant the missing privilege") {
			t.Errorf("%+v", st)
		}
		if strings.Contains(st.Detail+h.logs.String(), "SECRET") {
			t.Error("a business key got into the status or the log")
		}
		if n := len(h.b.unsettled()); n != 2 || len(h.out.letters) != 0 {
			t.Errorf("%d unsettled, %d letters", n, len(h.out.letters))
		}
		broken = false
		h.route.Resume()
		h.after(10 * time.Second)
		if n := len(h.b.unsettled()); n != 0 || h.route.Status().State != StateRunning {
			t.Errorf("%d unsettled after resume: %+v", n, h.route.Status())
		}

	})
}

func TestRefusedCredentialsRaiseOneAlarmUntilTheyWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.crm.before = func(_ context.Context, _ string, _ uint64, call int) error {
			if call <= 5 {
				return failing(outcome.Reauthenticate, outcome.Unauthorized)
			}
			return nil
		}
		h.b.publish("A")
		h.start()
		h.after(300 * time.Millisecond)
		if st := h.route.Status(); !strings.Contains(st.Detail, "credentials") {
			t.Errorf("%+v", st)
		}
		h.after(time.Minute)
		if st := h.route.Status(); st.Detail != "" {
			t.Errorf("the alarm stayed: %+v", st)
		}
		if n := strings.Count(h.logs.String(), "the credentials are refused"); n != 1 {
			t.Errorf("%d alarms in the log", n)
		}

	})
}

func TestRefusalsOverDistinctKeysInARowStopTheRoute(t *testing.T) {
	cases := []struct {
		name   string
		window int
		reason outcome.Reason
		key    func(i int) string
		stops  bool
	}{
		{"rights, by default", 0, outcome.Forbidden, distinctKey, true},
		{"values, by default", 0, outcome.Invalid, distinctKey, false},
		{"values, when configured", 20, outcome.Invalid, distinctKey, true},
		{"one key only", 20, outcome.Invalid, func(int) string { return "A" }, false},
		{"never", -1, outcome.Forbidden, distinctKey, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.StopWindow = tc.window
				h := newBench(t, cfg)
				h.crm.before = func(context.Context, string, uint64, int) error { return failing(outcome.Reject, tc.reason) }
				for i := range 40 {
					h.b.publish(tc.key(i))
				}
				h.start()
				h.after(10 * time.Second)
				st := h.route.Status()
				stopped := st.State == StateStopped
				if stopped && !strings.Contains(st.Detail, "20 keys were refused and no write was accepted in between, the last one: reject: "+string(tc.reason)) {
					t.Errorf("the route says %q", st.Detail)
				}
				if stopped != tc.stops {
					t.Errorf("stopped: %t", stopped)
				}
				if tc.stops && len(h.b.unsettled()) < 40-DefaultStopWindow {
					t.Errorf("only %d unsettled", len(h.b.unsettled()))
				}
				if !tc.stops && len(h.b.unsettled()) != 0 {
					t.Errorf("%d unsettled", len(h.b.unsettled()))
				}
				h.close()
			})
		})
	}
}

func distinctKey(i int) string { return "k" + strconv.Itoa(i) }

func TestWritesThatAreAcceptedBetweenRefusalsKeepTheRouteRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.StopWindow, cfg.Concurrency = 3, 1
		h := newBench(t, cfg)
		h.crm.before = func(_ context.Context, _ string, seq uint64, _ int) error {
			if seq%3 != 0 {
				return failing(outcome.Reject, outcome.Invalid)
			}
			return nil
		}
		h.start()
		for i := range 30 {
			h.b.publish(distinctKey(i))
			h.after(100 * time.Millisecond)
		}
		if st := h.route.Status(); st.State != StateRunning || len(h.b.unsettled()) != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAnAcceptedWriteClearsTheWindow(t *testing.T) {
	w := newWindow(3)
	for range 5 {
		if w.refused("a", outcome.Invalid) || w.refused("b", outcome.Invalid) {
			t.Fatal("filled by two keys")
		}
		w.clear()
	}
	if w.refused("a", outcome.Invalid) || w.refused("b", outcome.Invalid) || !w.refused("c", outcome.Invalid) {
		t.Error("not filled by three keys")
	}
}
