package webapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cebridge/inbound"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// OverrideVerdicts are the verdicts that a person may give.
var OverrideVerdicts = []outcome.Verdict{outcome.Retry, outcome.Park, outcome.Reject, outcome.Stop}

// Overrides are verdicts that one route gives otherwise than the client: for an
// error code of the platform ("0x80040265"), or else for an HTTP status ("409").
// They concern failures that the API answered, to a write or to a read that it needs, and what a search
// found out in its place: no record counts as 0x80060891 and 404, several as
// 0x8006089d and 400. What is said by 401, by 429 or by
// a throttling code is no opinion about a write, and stays.
type Overrides map[string]outcome.Verdict

// NewOverrides checks the texts of a configuration and normalises the codes. The
// error names the faulty key.
func NewOverrides(texts map[string]string) (Overrides, error) {
	o := make(Overrides, len(texts))
	for key, text := range texts {
		name, ok := overrideKey(key)
		verdict := outcome.Verdict(text)
		_, twice := o[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("%q: write an error code such as 0x80040265, or a status from 400 to 599 other than 401 and 429", key)
		case !slices.Contains(OverrideVerdicts, verdict):
			return nil, fmt.Errorf("%q: the verdict %q is none of %q", key, text, OverrideVerdicts)
		case byCode[name].verdict == outcome.RetryAfter:
			return nil, fmt.Errorf("%q: throttling holds for everybody, not for one route", key)
		case twice:
			return nil, fmt.Errorf("%q stands there twice", key)
		}
		o[name] = verdict
	}
	return o, nil
}

func overrideKey(key string) (string, bool) {
	if strings.HasPrefix(strings.ToLower(key), "0x") {
		code := normalCode(key)
		return code, code != ""
	}
	n, err := strconv.Atoi(key)
	return key, err == nil && n >= 400 && n <= 599 && n != http.StatusUnauthorized && n != http.StatusTooManyRequests
}

// Override returns a writer whose failures have the verdicts of o.
func Override(w inbound.Writer, o Overrides) inbound.Writer {
	if len(o) == 0 {
		return w
	}
	return overriding{w, o}
}

type overriding struct {
	writer    inbound.Writer
	overrides Overrides
}

// Apply implements inbound.Writer.
func (o overriding) Apply(ctx context.Context, w *schema.Write) (schema.Result, error) {
	result, err := o.writer.Apply(ctx, w)
	if e := outcome.Of(err); e != nil && e.Verdict != outcome.RetryAfter && e.Verdict != outcome.Reauthenticate && e.Reason != outcome.Unauthorized {
		if verdict, ok := o.overrides.of(e); ok {
			e.Verdict = verdict
		}
	}
	return result, err
}

// equivalentStatus is the status that goes with outcome.Error.Equivalent.
var equivalentStatus = map[string]int{codeNotThereByKey: http.StatusNotFound, codeSeveralByKey: http.StatusBadRequest}

// of is the verdict that a person gave such a failure.
func (o Overrides) of(e *outcome.Error) (outcome.Verdict, bool) {
	code, status := e.Code, e.Status
	if e.Equivalent != "" {
		code, status = e.Equivalent, equivalentStatus[e.Equivalent]
	}
	if status == 0 {
		return "", false
	}
	if v, ok := o[code]; ok {
		return v, true
	}
	v, ok := o[strconv.Itoa(status)]
	return v, ok
}
