package webapi

import (
	"context"
	"errors"
	"testing"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

type failingWriter struct{ err error }

func (f failingWriter) Apply(context.Context, *schema.Write) (schema.Result, error) {
	return schema.Result{Requests: 1}, f.err
}

func TestARouteGivesItsOwnVerdictsByCodeThenStatus(t *testing.T) {
	t.Parallel()
	o, err := NewOverrides(map[string]string{"0X80040265": "retry", "409": "reject", "403": "park", "500": "stop"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		e    outcome.Error
		want outcome.Verdict
	}{
		"code":                      {outcome.Error{Status: 400, Code: "0x80040265", Verdict: outcome.Reject}, outcome.Retry},
		"code before status":        {outcome.Error{Status: 500, Code: "0x80040265", Verdict: outcome.Reject}, outcome.Retry},
		"status":                    {outcome.Error{Status: 409, Code: "0x80040999", Verdict: outcome.Retry}, outcome.Reject},
		"status without code":       {outcome.Error{Status: 403, Verdict: outcome.Stop, Reason: outcome.Forbidden}, outcome.Park},
		"another":                   {outcome.Error{Status: 400, Code: "0x80040999", Verdict: outcome.Reject}, outcome.Reject},
		"throttled":                 {outcome.Error{Status: 500, Code: "0x80072322", Verdict: outcome.RetryAfter}, outcome.RetryAfter},
		"no answer":                 {outcome.Error{Verdict: outcome.Retry, Reason: outcome.Network}, outcome.Retry},
		"credentials":               {outcome.Error{Status: 403, Verdict: outcome.Stop, Reason: outcome.Unauthorized}, outcome.Stop},
		"credentials to be renewed": {outcome.Error{Status: 403, Verdict: outcome.Reauthenticate}, outcome.Reauthenticate},
	} {
		result, err := Override(failingWriter{&c.e}, o).Apply(t.Context(), upsertOf(1))
		if e := outcome.Of(err); e == nil || e.Verdict != c.want || result.Requests != 1 {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for _, err := range []error{nil, context.Canceled} {
		if _, got := Override(failingWriter{err}, o).Apply(t.Context(), upsertOf(1)); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if w := Override(failingWriter{}, nil); w != (failingWriter{}) {
		t.Errorf("without overrides the writer is %T", w)
	}
}

func TestOverridesAreChecked(t *testing.T) {
	t.Parallel()
	for key, verdict := range map[string]string{
		"": "retry", "0x": "retry", "0x0": "retry", "80040265": "retry", "0xzz": "retry", "200": "retry", "600": "retry",
		"401": "reject", "429": "reject", "0x80072322": "reject", "0x80040265": "retry-after", "500": "", "502": "maybe",
	} {
		if _, err := NewOverrides(map[string]string{key: verdict}); err == nil {
			t.Errorf("%q: %q is accepted", key, verdict)
		}
	}
	if _, err := NewOverrides(map[string]string{"0x80040265": "retry", "0X80040265": "stop"}); err == nil {
		t.Error("one code twice is accepted")
	}
}
