package inbound

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// twoOn makes two instances of a route that share a broker.
func twoOn(t *testing.T, b *broker) (one, two *bench) {
	org, out := &crm{}, &outbox{}
	return newBenchOn(t, testConfig(), b, org, out), newBenchOn(t, testConfig(), b, org, out)
}

func inStates(t *testing.T, when string, want []State, all ...*bench) {
	t.Helper()
	var got []State
	for _, h := range all {
		got = append(got, h.route.Status().State)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", when, diff)
	}
}

func TestOfTwoInstancesOneRunsAndTheOtherStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		b.lazy = true
		one, two := twoOn(t, b)
		one.start()
		one.after(time.Second)
		inStates(t, "before the first message", []State{StateReady, StateIdle}, one, two)
		b.publish("A")
		one.after(time.Second)
		two.start()
		two.after(time.Second)
		inStates(t, "after it", []State{StateRunning, StateStandby}, one, two)
		if st := two.route.Status(); !strings.Contains(st.Detail, "another instance has been the active one since ") {
			t.Errorf("the detail is %q", st.Detail)
		}
		if st := one.route.Status(); st.Detail != "" {
			t.Errorf("the detail of the active one is %q", st.Detail)
		}
		one.close()
		two.after(positionEvery)
		inStates(t, "after the end of the active one", []State{StateIdle, StateReady}, one, two)
		b.publish("A")
		two.after(100 * time.Millisecond)
		inStates(t, "after the next message", []State{StateIdle, StateRunning}, one, two)
		one.start()
		one.after(positionEvery)
		inStates(t, "after the first came back", []State{StateStandby, StateRunning}, one, two)
	})
}

func TestAnInstanceWhoseConnectionIsCutDoesNotSayThatItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		one, two := twoOn(t, b)
		b.publish("A")
		one.start()
		one.after(time.Second)
		two.start()
		two.after(time.Second)
		inStates(t, "at first", []State{StateRunning, StateStandby}, one, two)
		one.c.cut(true)
		b.publish("A")
		one.after(time.Second)
		inStates(t, "within the ack wait", []State{StateRunning, StateStandby}, one, two)
		one.after(30 * time.Second)
		inStates(t, "after it", []State{StateReady, StateRunning}, one, two)
		if st := one.route.Status(); !strings.Contains(st.Detail, "could not be read since ") {
			t.Errorf("the detail is %q", st.Detail)
		}
		one.c.cut(false)
		one.after(time.Minute)
		inStates(t, "connected again", []State{StateStandby, StateRunning}, one, two)
	})
}

func TestAPositionThatIsReadForTheStatusShowsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		one, two := twoOn(t, b)
		b.publish("A")
		one.start()
		one.after(time.Second)
		two.start()
		two.after(time.Second)
		b.mu.Lock()
		b.claims++
		b.pinned, b.claim, b.lastPull = two.c, "forced", time.Now()
		b.mu.Unlock()
		if p, err := one.route.Position(t.Context()); err != nil || p.Active != ActiveOther {
			t.Fatalf("%+v, %v", p, err)
		}
		inStates(t, "one", []State{StateStandby}, one)
	})
}

func TestAPositionAskedForBeforeAMessageCameSaysNothingAnyMore(t *testing.T) {
	var st standing
	st.begin()
	now := time.Now()
	asked := st.turn()
	if !st.took(now) || st.took(now) {
		t.Error("only the first message under a claim is news")
	}
	if st.learn(asked, FeedState{Active: ActiveOther}, now) {
		t.Error("an old position is news")
	}
	st.failed(asked)
	if state, detail := st.state(now.Add(time.Hour), time.Minute); state != StateRunning || detail != "" {
		t.Errorf("%s, %s", state, detail)
	}
	asked = st.turn()
	st.begin()
	st.learn(asked, FeedState{Active: ActiveSelf}, now)
	if state, _ := st.state(now, time.Minute); state != StateReady {
		t.Errorf("a new session is %s", state)
	}
}

func TestAFeedThatDoesNotTellWhoIsActiveLeavesTheRouteRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.c.noClaims = true
		h.start()
		h.after(time.Second)
		inStates(t, "without a message", []State{StateRunning}, h)
	})
}

func TestAnUnreadablePositionAtTheStartIsNoStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBench(t, testConfig())
		h.c.stateErr = errors.New("no responders")
		h.start()
		h.after(time.Minute)
		if st := h.route.Status(); st.State != StateReady || !strings.Contains(st.Detail, "not known") {
			t.Errorf("%+v", st)
		}
	})
}

func TestWhoTriesParkedMessagesRunsThoughNothingIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l, o := newBroker(), &lot{}, &orphan{keys: "A"}
		first := parkedBench(t, parkConfig(), b, &crm{before: o.before}, &outbox{}, l)
		first.start()
		b.publish("A")
		first.after(time.Minute)
		if st := first.route.Status(); st.State != StateRunning || st.Parked != 1 {
			t.Fatalf("not the situation: %+v", st)
		}
		l.mu.Lock()
		l.fail = func(call string) error { // else the second would have the term at once
			if call == "end" {
				return errors.New("no answer")
			}
			return nil
		}
		l.mu.Unlock()
		first.close()
		b.mu.Lock()
		b.lazy = true
		b.mu.Unlock()
		second := parkedBench(t, parkConfig(), b, &crm{before: o.before}, &outbox{}, l)
		second.start()
		second.after(time.Second)
		inStates(t, "while the term may be another's", []State{StateReady}, second)
		second.after(time.Minute)
		if st := second.route.Status(); st.State != StateRunning || st.Parked != 1 || !strings.Contains(st.Detail, "1 messages are parked") {
			t.Errorf("with the term: %+v", st)
		}
	})
}
