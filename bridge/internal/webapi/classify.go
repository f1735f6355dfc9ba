package webapi

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"cebridge/schema/outcome"
)

// answer is everything known about the end of one request.
type answer struct {
	accepted bool // nothing to judge
	status   int  // 0: none arrived
	header   http.Header
	lines    partFields // instead of header, of an accepted part of a batch
	body     []byte     // the beginning of a failed answer's body
	// err is why no whole, good answer is there: the transport's error, the
	// read's, or a *malformed. It is nil for a plain error answer.
	err error
	// sent: the request may have reached the server.
	sent bool
	at   time.Time
}

// errTimeout is the cause of the client's own deadline.
var errTimeout = errors.New("no complete answer in time")

// errTooLarge is the cause of an answer beyond its bound.
var errTooLarge = errors.New("the answer is larger than the configured limit")

// classify gives the one verdict on a call. The error code decides first, the
// status second, the shape of the body last.
func classify(c *call, a answer) *outcome.Error {
	e := &outcome.Error{Op: c.title(), Status: a.status}
	if a.header != nil {
		e.RetryAfter, _ = parseRetryAfter(a.header.Get("Retry-After"), a.at)
	}
	set := func(v outcome.Verdict, r outcome.Reason) { e.Verdict, e.Reason = v, r }

	if a.err != nil {
		e.Err = a.err
		// A good status whose body could not be read says that the work was done,
		// but not by whom: a proxy may have answered.
		e.Ambiguous = c.isWrite() && a.sent
		j := judgeError(a.err)
		set(j.verdict, j.reason)
		var bad *malformed
		if errors.As(a.err, &bad) {
			e.Message, e.Err = bad.text, nil
		}
		return e
	}

	f := readFault(a.body)
	e.Code, e.Message = f.code, f.message
	j := judgeAnswer(c, a, f)
	set(j.verdict, j.reason)
	if j.reason == outcome.Forbidden || j.reason == outcome.TargetForbidden {
		e.Privilege = missingPrivilege(f.message)
	}
	if j.verdict != outcome.RetryAfter && a.status == http.StatusServiceUnavailable && e.RetryAfter > 0 {
		e.Verdict = outcome.RetryAfter
	}
	switch {
	case f.known:
	case looksLikeMarkup(a.header, a.body):
		e.Message = "the answer is a page of markup, not JSON (a login page or a proxy?)"
	case a.status >= 300 && a.status < 400:
		e.Message = "the server redirects (a login page, or http instead of https?); redirects are not followed"
	case len(a.body) == 0:
		e.Message = "the answer has no body"
	default:
		e.Message = "the answer is not a Web API error"
	}
	e.Ambiguous = c.isWrite() && mayBeDone(a.status, f.known)
	return e
}

// judgeError is the verdict where no good answer could be read.
func judgeError(err error) judgement {
	var bad *malformed
	login := outcome.Of(err)
	switch {
	case login != nil: // refused before the request was sent
		return judgement{login.Verdict, login.Reason}
	case errors.As(err, &bad):
		return judgement{outcome.Retry, outcome.BadAnswer}
	case errors.Is(err, errTooLarge):
		return judgement{outcome.Stop, outcome.TooLarge}
	case errors.Is(err, errForeignLink):
		return judgement{outcome.Stop, outcome.ForeignLink}
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return judgement{outcome.Retry, outcome.Timeout}
	}
	return judgement{outcome.Retry, outcome.Network}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// mayBeDone tells whether a write answered like this may have been done all the
// same: gateways answer for a server that goes on working, and a 2xx or 5xx that
// is not the API's own says nothing about it.
func mayBeDone(status int, known bool) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500 && !known || status >= 200 && status < 300
}

// judgeAnswer is the verdict on an answer that arrived whole.
func judgeAnswer(c *call, a answer, f fault) judgement {
	if a.status == http.StatusTooManyRequests {
		return judgement{outcome.RetryAfter, outcome.Throttled}
	}
	if j, ok := judgeCode(c, f); ok {
		return j
	}
	if f.known {
		if j, ok := judgeMessage(c, a.status, f.message); ok {
			return j
		}
	}
	return judgeStatus(c, a.status, f)
}

// judgeCode is the verdict by error code.
func judgeCode(c *call, f fault) (judgement, bool) {
	if j, ok := byCode[f.code]; ok {
		if f.code == codeTokenExpired && c.isWrite() {
			return judgement{}, false
		}
		return j, true
	}
	switch f.code {
	case codeNotThere, codeNotThereByKey:
		return judgeMissing(c), true
	case codeDuplicateKey, codeDuplicate, codeUniqueIndex:
		return judgeDuplicate(c), true
	case codeNoPrivilege, codeNoRight, codeUserDisabled, codeUserUnlicensed, codeUserNoRoles:
		return judgeForbidden(c, f), true
	}
	return judgement{}, false
}

// judgeMissing: on an upsert or create the addressed record cannot be missing,
// so a bound one is. Update and delete are told apart by Apply, which knows more.
func judgeMissing(c *call) judgement {
	switch {
	case c.op == opUpsert || c.op == opCreate:
		return judgement{outcome.Park, outcome.MissingReference}
	case c.op == opMetadata:
		return judgement{outcome.Stop, outcome.Config}
	}
	return judgement{outcome.Reject, outcome.NotFound}
}

// judgeDuplicate: two writers met, and the request sent again becomes an update;
// only a create has nothing to gain from that.
func judgeDuplicate(c *call) judgement {
	if c.op == opCreate {
		return judgement{outcome.Reject, outcome.Duplicate}
	}
	return judgement{outcome.RetryRace, outcome.Duplicate}
}

// Texts of answers whose code is empty: older and on-premises servers, and
// faults found by the OData layer. Source: the documented examples of
// conditional operations, alternate keys and change tracking.
var (
	textTokenExpired = regexp.MustCompile(`(?i)version ?stamp|delta ?token|skip ?token|paging ?cookie`)
	textMissing      = regexp.MustCompile(`(?i)does not exist`)
	textDuplicate    = regexp.MustCompile(`(?i)matching key values already exists|duplicate (record|key)|cannot insert duplicate`)
	textBadKey       = regexp.MustCompile(`(?i)key in the request uri is not valid|resource not found for the segment`)
	textNoTracking   = regexp.MustCompile(`(?i)change ?tracking.*(not|isn't) (been )?(enabled|supported)`)
	textBadProperty  = regexp.MustCompile(`(?i)property .* does not exist|could not find a property`)
)

// judgeMessage is the verdict by text, for API errors with no telling code.
func judgeMessage(c *call, status int, message string) (judgement, bool) {
	client := status >= 400 && status < 500
	switch {
	case !client && status != http.StatusInternalServerError:
	case textDuplicate.MatchString(message):
		return judgeDuplicate(c), true
	case !client:
	case textBadKey.MatchString(message), textNoTracking.MatchString(message):
		return judgement{outcome.Stop, outcome.Config}, true
	case c.op == opPage && c.linked && status != http.StatusUnauthorized && textTokenExpired.MatchString(message):
		return judgement{outcome.Reject, outcome.TokenExpired}, true
	case textBadProperty.MatchString(message):
		if c.isWrite() {
			return judgement{outcome.Reject, outcome.Invalid}, true
		}
		return judgement{outcome.Stop, outcome.Config}, true
	case (status == http.StatusNotFound || status == http.StatusBadRequest) && textMissing.MatchString(message):
		return judgeMissing(c), true
	}
	return judgement{}, false
}

// judgeStatus is the verdict by status.
func judgeStatus(c *call, status int, f fault) judgement {
	switch status {
	case http.StatusUnauthorized:
		return judgement{outcome.Reauthenticate, outcome.Unauthorized}
	case http.StatusProxyAuthRequired:
		return judgement{outcome.Stop, outcome.Unauthorized}
	case http.StatusRequestTimeout:
		return judgement{outcome.Retry, outcome.Timeout}
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return judgement{rejectOrStop(c), outcome.TooLarge}
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return judgement{outcome.Stop, outcome.Unsupported}
	case http.StatusGone:
		if c.op == opPage && c.linked {
			return judgement{outcome.Reject, outcome.TokenExpired}
		}
	}
	switch {
	case status >= 500:
		return judgement{outcome.Retry, outcome.Server}
	case status >= 400 && !f.known:
		return judgeForeignAnswer(c, status)
	case status >= 400:
		return judgeClientError(c, status, f)
	case status >= 300:
		return judgement{outcome.Stop, outcome.BadAnswer}
	}
	return judgement{outcome.Retry, outcome.BadAnswer}
}

// judgeForeignAnswer: a 4xx that the API did not write comes from a proxy or
// from the web server in front. It says nothing about the data, except for 400:
// there the web server could not read this very address.
func judgeForeignAnswer(c *call, status int) judgement {
	if status == http.StatusBadRequest && c.isWrite() {
		return judgement{outcome.Reject, outcome.KeyCharacters}
	}
	return judgement{outcome.Retry, outcome.BadAnswer}
}

// judgeClientError is the verdict on a 4xx of the API's own without a telling
// code or text.
func judgeClientError(c *call, status int, f fault) judgement {
	switch status {
	case http.StatusForbidden:
		return judgeForbidden(c, f)
	case http.StatusNotFound:
		switch {
		case c.op == opUpdate || c.op == opDelete:
			return judgement{outcome.Reject, outcome.NotFound}
		case c.isWrite() && c.binds():
			return judgement{outcome.Park, outcome.MissingReference}
		}
		return judgement{outcome.Stop, outcome.Config}
	case http.StatusMethodNotAllowed:
		return judgement{rejectOrStop(c), outcome.Unsupported}
	case http.StatusPreconditionFailed:
		switch c.op {
		case opCreate, opUpsert:
			return judgeDuplicate(c)
		}
		return judgement{outcome.Reject, outcome.Precondition}
	case http.StatusConflict, http.StatusLocked, http.StatusTooEarly:
		return judgement{outcome.Retry, outcome.Server}
	}
	if c.isWrite() {
		return judgement{outcome.Reject, outcome.Invalid}
	}
	return judgement{outcome.Stop, outcome.Config}
}

// rejectOrStop: what is wrong with one write concerns its data; what is wrong
// with a read concerns the configuration it was made from.
func rejectOrStop(c *call) outcome.Verdict {
	if c.isWrite() {
		return outcome.Reject
	}
	return outcome.Stop
}
