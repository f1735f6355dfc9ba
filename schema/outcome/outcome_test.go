package outcome_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"cebridge/schema/outcome"
)

func TestAnErrorTellsCallReasonStatusCodeAndCause(t *testing.T) {
	for want, e := range map[string]*outcome.Error{
		"network":                               {Reason: outcome.Network},
		"GET accounts: network: unexpected EOF": {Op: "GET accounts", Reason: outcome.Network, Err: io.ErrUnexpectedEOF},
		"PATCH x: missing_reference (status 404, code 0x80060891): not there": {Op: "PATCH x", Reason: outcome.MissingReference, Status: 404, Code: "0x80060891", Message: "not there"},
		"bad_answer (status 200): not JSON":                                   {Reason: outcome.BadAnswer, Status: 200, Message: "not JSON"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOfFindsTheVerdictThroughWrapping(t *testing.T) {
	e := &outcome.Error{Verdict: outcome.Park, Err: io.EOF}
	wrapped := fmt.Errorf("apply: %w", e)
	if got := outcome.Of(wrapped); got != e {
		t.Errorf("got %v", got)
	}
	if outcome.Of(io.EOF) != nil || outcome.Of(nil) != nil {
		t.Error("a plain error has a verdict")
	}
	if !errors.Is(wrapped, io.EOF) {
		t.Error("the cause is lost")
	}
}
