package inbound

import (
	"time"

	"github.com/cenkalti/backoff/v5"

	"cebridge/schema/outcome"
)

// action is what follows from a failed attempt.
type action int

const (
	again  action = iota // the same request, after a delay
	reject               // dead letter
	stop                 // nothing of this route can succeed now
)

// maxRaces is how often in a row a lost race is repeated at once.
const maxRaces = 2

// maxDelay bounds what a server may ask for.
const maxDelay = time.Hour

// retryPolicy turns a verdict into an action. It reads no clock.
type retryPolicy struct {
	min, max     time.Duration
	giveUpParked time.Duration
}

// retryState is what a policy remembers of one message.
type retryState struct {
	backoff     *backoff.ExponentialBackOff
	races       int
	parkedSince time.Time
}

// next decides after a failed attempt at the time now. The delay is for again
// only.
func (p retryPolicy) next(st *retryState, err *outcome.Error, now time.Time) (action, time.Duration) {
	if err.Verdict != outcome.RetryRace {
		st.races = 0
	}
	if err.Verdict != outcome.Park {
		st.parkedSince = time.Time{}
	}
	switch err.Verdict {
	case outcome.Reject:
		return reject, 0
	case outcome.Stop:
		return stop, 0
	case outcome.RetryRace:
		if st.races++; st.races > maxRaces {
			return reject, 0
		}
		return again, 0
	case outcome.Park:
		if st.parkedSince.IsZero() {
			st.parkedSince = now
		}
		left := st.parkedSince.Add(p.giveUpParked).Sub(now)
		if left <= 0 {
			return reject, 0
		}
		return again, min(p.delay(st, err), left)
	}
	return again, p.delay(st, err)
}

// delay is the longer of the own backoff, with jitter, and what the server asked for.
func (p retryPolicy) delay(st *retryState, err *outcome.Error) time.Duration {
	if st.backoff == nil {
		st.backoff = &backoff.ExponentialBackOff{
			InitialInterval: p.min, MaxInterval: p.max,
			Multiplier: 2, RandomizationFactor: backoff.DefaultRandomizationFactor,
		}
	}
	d := min(st.backoff.NextBackOff(), p.max)
	return max(d, min(err.RetryAfter, maxDelay))
}
