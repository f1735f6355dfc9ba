package outcome

import (
	"errors"
	"fmt"
	"time"
)

// Verdict says what to do with the work whose call failed.
type Verdict string

// The verdicts. There are no others.
const (
	// Retry: try again later; nothing says how much later.
	Retry Verdict = "retry"
	// RetryAfter: the server named a delay that holds for everybody who uses the
	// same user.
	RetryAfter Verdict = "retry-after"
	// RetryRace: two writers met; the same request sent again at once succeeds.
	RetryRace Verdict = "retry-race"
	// Park: something the request refers to is not there yet.
	Park Verdict = "park"
	// Reauthenticate: renew the credentials, then try once more.
	Reauthenticate Verdict = "reauthenticate"
	// Reject: this work will never succeed as it is.
	Reject Verdict = "reject"
	// Stop: no work of this kind can succeed until a person changes something.
	Stop Verdict = "stop"
)

// Verdicts lists every verdict, for tests and for metrics that start at zero.
var Verdicts = [...]Verdict{Retry, RetryAfter, RetryRace, Park, Reauthenticate, Reject, Stop}

// Reason is why, in one word that may be a metric label.
type Reason string

// The reasons. There are no others.
const (
	Network          Reason = "network"           // no answer, or a cut one
	Timeout          Reason = "timeout"           // no answer within the deadline
	Server           Reason = "server"            // 5xx, SQL errors
	Throttled        Reason = "throttled"         // service protection limits
	Budget           Reason = "budget"            // the day's budget of requests is used up; nothing was sent
	Duplicate        Reason = "duplicate"         // duplicate alternate key or primary key
	DuplicateRule    Reason = "duplicate_rule"    // a duplicate-detection rule
	MissingReference Reason = "missing_reference" // a bound record is not there
	NotFound         Reason = "not_found"         // the addressed record is not there
	Merged           Reason = "merged"            // the addressed record was merged into another
	KeyReused        Reason = "key_reused"        // the key means another record than before
	Precondition     Reason = "precondition"      // If-Match or If-None-Match failed
	Unauthorized     Reason = "unauthorized"      // credentials refused
	Forbidden        Reason = "forbidden"         // a privilege is missing
	TargetForbidden  Reason = "target_forbidden"  // the named owner lacks a privilege
	Plugin           Reason = "plugin"            // custom logic refused
	Invalid          Reason = "invalid"           // a value, column or state is not acceptable
	KeyCharacters    Reason = "key_characters"    // the key cannot stand in a URL
	Unsupported      Reason = "unsupported"       // the server does not offer this
	Config           Reason = "config"            // table, key or tracking not as configured
	TokenExpired     Reason = "token_expired"     // change tracking must start over
	BadAnswer        Reason = "bad_answer"        // not JSON, truncated, a login page, a missing member
	ForeignLink      Reason = "foreign_link"      // a link left the configured origin or table
	TooLarge         Reason = "too_large"         // beyond a configured bound
	Expired          Reason = "expired"           // the event's own time is over
)

// Error is a failed call with its verdict.
type Error struct {
	Verdict Verdict
	Reason  Reason
	// Op names the call: "PATCH accounts(accountnumber='ABC123')". It may hold a
	// business key, so it belongs in errors and dead letters, not in labels.
	Op string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Code is the server's error code in lower case ("0x80060891"), or "".
	Code string
	// Equivalent is the code that the server gives the same finding, where the client
	// found it out itself, by a search; "" else. It is not what was answered.
	Equivalent string
	// Message is the server's text, shortened.
	Message string
	// Privilege is the privilege or access right that the server's text names as
	// missing (prvWriteAccount, WriteAccess), "" when it names none. It is never data.
	Privilege string
	// RetryAfter is the delay the server asked for, 0 when it did not.
	RetryAfter time.Duration
	// Ambiguous means that the server may have done the work all the same.
	Ambiguous bool
	// Err is the cause below, if any.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Op + ": "
	if e.Op == "" {
		s = ""
	}
	s += string(e.Reason)
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d", e.Status)
		if e.Code != "" {
			s += ", code " + e.Code
		}
		s += ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the verdict-carrying error within err, or nil when there is none.
func Of(err error) *Error {
	if err == nil {
		return nil // as most often: the search below allocates
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
