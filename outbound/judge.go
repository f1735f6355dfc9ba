package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cebridge/schema/outcome"
)

// maxRetryAfter bounds what a server may ask a table to wait.
const maxRetryAfter = time.Hour

// haltError ends the work on a table until a person resumes it. Its text says
// what is wrong and what to do.
type haltError struct {
	reason string
	err    error
}

func (e *haltError) Error() string { return e.err.Error() }
func (e *haltError) Unwrap() error { return e.err }

func halt(reason, format string, args ...any) error {
	return &haltError{reason, fmt.Errorf(format, args...)}
}

// The reasons of failures that are not the Web API's own; each is a metric label.
const (
	failFenced        = "fenced"
	failUnknown       = "commit_unknown"
	failStale         = "stale_replica"
	failUnavailable   = "stream_unavailable"
	failFull          = "stream_full"
	failBatch         = "batch_too_long"
	failTooLarge      = "event_too_large"
	failMisconfigured = "stream_misconfigured"
	failCheckpoint    = "checkpoint"
	failForeign       = "foreign_message"
	failDeletes       = "max_deletes"
	failColumns       = "columns"
	failEncode        = "encode"
	failFilter        = "filter"
	failBadPage       = "bad_page"
	failSecured       = "column_secured"
	failRecount       = "recount"
	failRestarted     = "resync_restarted"
	failOther         = "other"
)

// ruling says what a failure means for the table.
type ruling struct {
	halt   *haltError
	reason string
	// resync is the remedy, if everything must be read again.
	resync *needResync
	// fenced: another writer was first; start over from its checkpoint at once.
	fenced bool
	// lost: what the worker holds in memory is void.
	lost bool
	// after is the least delay that the server asked for.
	after time.Duration
}

// judge turns any failure of a round into a ruling. What it does not know is
// tried again: only a named refusal halts a table.
func judge(err error) ruling {
	var stop *haltError
	if errors.As(err, &stop) {
		return ruling{halt: stop, reason: stop.reason, lost: true}
	}
	var need *needResync
	if errors.As(err, &need) {
		return ruling{resync: need, reason: need.reason}
	}
	for _, s := range [...]struct {
		err    error
		ruling ruling
	}{
		{ErrFenced, ruling{reason: failFenced, fenced: true, lost: true}},
		{ErrStale, ruling{reason: failStale}},
		{ErrUnavailable, ruling{reason: failUnavailable}},
		{ErrFull, ruling{reason: failFull}},
		{ErrBatchTooLong, ruling{reason: failBatch, lost: true}},
		{ErrUnknown, ruling{reason: failUnknown, lost: true}},
		{errBadPage, ruling{reason: failBadPage}},
	} {
		if errors.Is(err, s.err) {
			return s.ruling
		}
	}
	if errors.Is(err, ErrMisconfigured) {
		return haltRuling(failMisconfigured, fmt.Errorf("%w; run `cebridge plan`, then resume the table", err))
	}
	if errors.Is(err, ErrTooLarge) {
		return haltRuling(failTooLarge, fmt.Errorf("%w; configure outbound.claim_check, raise the server's max_payload or leave out large columns, "+
			"then resume the table", err))
	}
	if e := outcome.Of(err); e != nil {
		return judgeSource(e, err)
	}
	return ruling{reason: failOther, lost: errors.Is(err, context.Canceled)}
}

func haltRuling(reason string, err error) ruling {
	return ruling{halt: &haltError{reason, err}, reason: reason, lost: true}
}

// judgeSource rules on a failed read of the Web API by its verdict; only two
// reasons overrule it.
func judgeSource(e *outcome.Error, err error) ruling {
	reason := string(e.Reason)
	switch {
	case e.Reason == outcome.BadAnswer:
		return ruling{reason: reason, after: clampRetryAfter(e.RetryAfter)}
	case e.Reason == outcome.TokenExpired:
		return ruling{resync: expiredToken(err), reason: reason}
	}
	switch e.Verdict {
	case outcome.Stop, outcome.Reject:
		return haltRuling(reason, fmt.Errorf("%w; %s", err, nextAction(e.Reason)))
	}
	return ruling{reason: reason, after: clampRetryAfter(e.RetryAfter)}
}

func clampRetryAfter(d time.Duration) time.Duration { return min(max(d, 0), maxRetryAfter) }

// nextAction says what a person can do about a refusal.
func nextAction(r outcome.Reason) string {
	switch r {
	case outcome.Forbidden, outcome.TargetForbidden:
		return "give the bridge's user organization-level read on the table, then resume it"
	case outcome.Unauthorized:
		return "check the bridge's credentials, then resume the table"
	case outcome.Config, outcome.NotFound, outcome.Invalid:
		return "check that the table and its columns exist and that change tracking is on (`cebridge plan`), then resume the table"
	case outcome.ForeignLink:
		return "check the configured address of the organization (a proxy may rewrite it), then resume the table"
	case outcome.TooLarge:
		return "use a smaller page size, then resume the table"
	}
	return "run `cebridge plan`, then resume the table"
}

// refusedLink tells whether the failure may be the fault of the link alone: a
// paging cookie has a life that nobody documents.
func refusedLink(err error) bool {
	e := outcome.Of(err)
	if e == nil || (e.Verdict != outcome.Reject && e.Verdict != outcome.Stop) {
		return false
	}
	switch e.Reason {
	case outcome.Invalid, outcome.NotFound, outcome.Unsupported, outcome.TokenExpired:
		return true
	}
	return false
}
