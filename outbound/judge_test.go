package outbound

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cebridge/schema/outcome"
)

func TestOnlyNamedRefusalsHaltATable(t *testing.T) {
	t.Parallel()
	source := func(v outcome.Verdict, r outcome.Reason) error {
		return fmt.Errorf("page: %w", &outcome.Error{Verdict: v, Reason: r})
	}
	for _, c := range []struct {
		err    error
		halt   bool
		lost   bool
		fenced bool
		reason string
	}{
		{source(outcome.Retry, outcome.Server), false, false, false, "server"},
		{source(outcome.RetryAfter, outcome.Throttled), false, false, false, "throttled"},
		{source(outcome.RetryRace, outcome.Duplicate), false, false, false, "duplicate"},
		{source(outcome.Park, outcome.MissingReference), false, false, false, "missing_reference"},
		{source(outcome.Reauthenticate, outcome.Unauthorized), false, false, false, "unauthorized"},
		{source(outcome.Stop, outcome.Forbidden), true, true, false, "forbidden"},
		{source(outcome.Stop, outcome.Config), true, true, false, "config"},
		{source(outcome.Reject, outcome.Unsupported), true, true, false, "unsupported"},
		{source(outcome.Reject, outcome.ForeignLink), true, true, false, "foreign_link"},
		{source(outcome.Reject, outcome.TooLarge), true, true, false, "too_large"},
		{source(outcome.Reject, outcome.BadAnswer), false, false, false, "bad_answer"},
		{source(outcome.Stop, outcome.BadAnswer), false, false, false, "bad_answer"},
		{source(outcome.Retry, outcome.TokenExpired), false, false, false, "token_expired"},
		{source(outcome.Stop, outcome.TokenExpired), false, false, false, "token_expired"},
		{fmt.Errorf("x: %w", ErrFenced), false, true, true, failFenced},
		{fmt.Errorf("x: %w", ErrUnknown), false, true, false, failUnknown},
		{fmt.Errorf("x: %w", ErrStale), false, false, false, failStale},
		{fmt.Errorf("x: %w", ErrUnavailable), false, false, false, failUnavailable},
		{fmt.Errorf("x: %w", ErrFull), false, false, false, failFull},
		{fmt.Errorf("x: %w", ErrTooLarge), true, true, false, failTooLarge},
		{fmt.Errorf("x: %w", ErrMisconfigured), true, true, false, failMisconfigured},
		{fmt.Errorf("x: %w", errBadPage), false, false, false, failBadPage},
		{halt(failForeign, "foreign"), true, true, false, failForeign},
		{errors.New("what is this"), false, false, false, failOther},
		{context.DeadlineExceeded, false, false, false, failOther},
		{context.Canceled, false, true, false, failOther},
	} {
		r := judge(c.err)
		if (r.halt != nil) != c.halt || r.lost != c.lost || r.fenced != c.fenced || r.reason != c.reason {
			t.Errorf("judge(%v) = %+v, want halt %v lost %v fenced %v reason %s", c.err, r, c.halt, c.lost, c.fenced, c.reason)
		}
	}
}

func TestExpiredTokensAndRewoundSourcesAreResynced(t *testing.T) {
	t.Parallel()
	for _, v := range []outcome.Verdict{outcome.Reject, outcome.Stop, outcome.Retry} {
		r := judge(fmt.Errorf("page: %w", &outcome.Error{Verdict: v, Reason: outcome.TokenExpired}))
		if r.resync == nil || r.resync.reason != ResyncTokenExpired || r.resync.renew || r.halt != nil {
			t.Errorf("%s: %+v", v, r)
		}
	}
	need := &needResync{reason: ResyncRestored, renew: true}
	if r := judge(fmt.Errorf("compare: %w", need)); r.resync != need || r.halt != nil {
		t.Errorf("restored: %+v", r)
	}
}

func TestEveryVerdictHasARuling(t *testing.T) {
	t.Parallel()
	for _, v := range outcome.Verdicts {
		r := judge(&outcome.Error{Verdict: v, Reason: outcome.Plugin})
		if stops := v == outcome.Stop || v == outcome.Reject; (r.halt != nil) != stops {
			t.Errorf("verdict %s: halt = %v", v, r.halt)
		}
	}
}

func TestHaltNamesTheNextAction(t *testing.T) {
	t.Parallel()
	for reason, want := range map[outcome.Reason]string{
		outcome.Forbidden:    "organization-level read",
		outcome.Unauthorized: "credentials",
		outcome.Config:       "change tracking is on",
		outcome.ForeignLink:  "address",
		outcome.TooLarge:     "page size",
		outcome.Plugin:       "cebridge plan",
	} {
		r := judge(&outcome.Error{Verdict: outcome.Stop, Reason: reason})
		if r.halt == nil || !strings.Contains(r.halt.Error(), want) {
			t.Errorf("%s: %v, want %q in it", reason, r.halt, want)
		}
	}
}

func TestRetryAfterIsHonouredWithinBounds(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 7 * time.Second: 7 * time.Second, 1e9 * time.Second: maxRetryAfter,
	} {
		if got := judge(&outcome.Error{Verdict: outcome.RetryAfter, Reason: outcome.Throttled, RetryAfter: given}).after; got != want {
			t.Errorf("Retry-After %s becomes %s, want %s", given, got, want)
		}
	}
}

func TestBackoffDoublesWithinItsBounds(t *testing.T) {
	t.Parallel()
	j := newJitter(nil)
	b := Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for n := range 100 {
		top := b.Max
		if n < 6 {
			top = b.Min << n
		}
		for range 20 {
			if d := b.wait(n, 0, j); d < top/2 || d > top {
				t.Fatalf("try %d waits %s, want within [%s, %s]", n, d, top/2, top)
			}
		}
	}
	if d := b.wait(0, time.Minute, j); d != time.Minute {
		t.Errorf("a demanded minute became %s", d)
	}
	if d := (Backoff{Min: time.Hour, Max: time.Duration(1<<63 - 1)}).wait(31, 0, j); d < time.Hour {
		t.Errorf("a long backoff overflowed to %s", d)
	}
}
