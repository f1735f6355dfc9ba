package inbound

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"cebridge/schema/outcome"
)

var policy = retryPolicy{min: 100 * time.Millisecond, max: 5 * time.Second, giveUpParked: time.Minute}

func TestDelaysGrowToTheBoundAndStayAboveWhatTheServerAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var st retryState
		expected := policy.min
		for range rapid.IntRange(1, 30).Draw(t, "attempts") {
			asked := time.Duration(rapid.Int64Range(-1e9, 1e14).Draw(t, "asked"))
			act, d := policy.next(&st, &outcome.Error{Verdict: outcome.RetryAfter, RetryAfter: asked}, time.Time{})
			asked = min(asked, maxDelay)
			low := min(expected/2, policy.max)
			high := max(min(expected*3/2+1, policy.max), asked)
			if act != again || d < low || d < asked || d > high {
				t.Fatalf("action %d, delay %s; want %s to %s, asked %s", act, d, low, high, asked)
			}
			expected = min(expected*2, policy.max)
		}
	})
}

func TestRacesCountOnlyInARow(t *testing.T) {
	var st retryState
	race := &outcome.Error{Verdict: outcome.RetryRace}
	other := &outcome.Error{Verdict: outcome.Retry}
	for i, e := range []*outcome.Error{race, race, other, race, race} {
		if act, _ := policy.next(&st, e, time.Time{}); act != again {
			t.Errorf("attempt %d: action %d", i, act)
		}
	}
	if act, _ := policy.next(&st, race, time.Time{}); act != reject {
		t.Errorf("the third race in a row: action %d", act)
	}
}

func TestParkingIsMeasuredFromTheFirstMissAndTheLastTryIsAtItsEnd(t *testing.T) {
	var st retryState
	park := &outcome.Error{Verdict: outcome.Park}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	began := now
	for {
		act, d := policy.next(&st, park, now)
		if act == reject {
			break
		}
		if act != again || d <= 0 {
			t.Fatalf("action %d after %s", act, now.Sub(began))
		}
		now = now.Add(d)
	}
	if took := now.Sub(began); took != policy.giveUpParked {
		t.Errorf("given up after %s", took)
	}
}

func TestAMissThatWasInterruptedByAnotherFaultStartsAgain(t *testing.T) {
	var st retryState
	park := &outcome.Error{Verdict: outcome.Park}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	policy.next(&st, park, now)
	policy.next(&st, &outcome.Error{Verdict: outcome.Retry}, now.Add(time.Second))
	if act, _ := policy.next(&st, park, now.Add(2*time.Hour)); act != again {
		t.Errorf("action %d: an outage was counted as a missing reference", act)
	}
}

func TestEveryVerdictIsDecided(t *testing.T) {
	want := map[outcome.Verdict]action{
		outcome.Retry: again, outcome.RetryAfter: again, outcome.RetryRace: again, outcome.Park: again,
		outcome.Reauthenticate: again, outcome.Reject: reject, outcome.Stop: stop,
	}
	for _, v := range outcome.Verdicts {
		var st retryState
		act, d := policy.next(&st, &outcome.Error{Verdict: v}, time.Time{}.Add(time.Hour))
		if w, ok := want[v]; !ok || act != w {
			t.Errorf("%s: action %d", v, act)
		}
		if d < 0 || d > policy.max {
			t.Errorf("%s: delay %s", v, d)
		}
	}
}
