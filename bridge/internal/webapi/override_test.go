package webapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

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

// A route's verdict holds for the searches of a write as for the write itself.
func TestARouteGivesItsOwnVerdictsOnSearches(t *testing.T) {
	t.Parallel()
	refused := scripted{status: 403, body: apiError("0x80040220", "no")}
	change := func(op schema.Operation) *schema.Write {
		w := searchedAccount()
		w.Operation = op
		return w
	}
	for name, c := range map[string]struct {
		write     *schema.Write
		answers   []scripted
		overrides map[string]string
		want      string
	}{
		"a reference that is not there": {referring(1, "x"), []scripted{found()}, map[string]string{"0x80060891": "reject"}, "reject missing_reference"},
		"by status":                     {referring(1, "x"), []scripted{found()}, map[string]string{"404": "reject"}, "reject missing_reference"},
		"the code comes first":          {referring(1, "x"), []scripted{found()}, map[string]string{"404": "stop", "0x80060891": "reject"}, "reject missing_reference"},
		"an update of nothing":          {change(schema.OpUpdate), []scripted{found()}, map[string]string{"0x80060891": "park"}, "park not_found"},
		"two":                           {change(schema.OpUpsert), []scripted{found(guid1, guid2)}, map[string]string{"0x8006089d": "stop"}, "stop config"},
		"two, by status":                {change(schema.OpUpsert), []scripted{found(guid1, guid2)}, map[string]string{"400": "stop"}, "stop config"},
		"a search that is refused":      {change(schema.OpUpsert), []scripted{refused}, map[string]string{"403": "reject"}, "reject forbidden"},
		"refused, by code":              {referring(1, "x"), []scripted{refused}, map[string]string{"0x80040220": "park"}, "park forbidden"},
		"another code":                  {change(schema.OpUpsert), []scripted{refused}, map[string]string{"0x80040265": "park", "404": "park"}, "stop forbidden"},
		"a record made meanwhile is no failure": {change(schema.OpUpsert), []scripted{found(), duplicate, found(guid1), noContent},
			map[string]string{"0x80060891": "stop", "0x80060892": "stop", "412": "stop"}, "updated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := newTestClient(t, &script{t: t, answers: c.answers})
			o, err := NewOverrides(c.overrides)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Override(client, o).Apply(t.Context(), c.write)
			got := string(r.Effect)
			if e := outcome.Of(err); e != nil {
				got = string(e.Verdict) + " " + string(e.Reason)
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// Two routes may share one search, and judge its failure differently.
func TestAVerdictOfOneRouteDoesNotReachAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{hold: make(chan struct{})}
		d.missing.Store(true)
		c, stop := newPipeClient(t, d)
		defer stop()
		defer c.Close()
		verdicts := make(chan string, 2)
		for i, text := range []string{"stop", "reject"} {
			o, err := NewOverrides(map[string]string{"0x80060891": text})
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := Override(c, o).Apply(t.Context(), referring(i, "x"))
				verdicts <- text + " gave " + string(outcome.Of(err).Verdict)
			}()
		}
		synctest.Wait()
		flight := firstFlight(c)
		close(d.hold)
		for range 2 {
			if v := <-verdicts; v != "stop gave stop" && v != "reject gave reject" {
				t.Error(v)
			}
		}
		if d.searches.Load() != 1 || outcome.Of(flight.err).Verdict != outcome.Park {
			t.Errorf("%d searches; what they share is %v", d.searches.Load(), flight.err)
		}
	})
}

func firstFlight(c *Client) *flight {
	c.references.mu.Lock()
	defer c.references.mu.Unlock()
	for _, f := range c.references.flights {
		return f
	}
	return nil
}
