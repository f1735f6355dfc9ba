package webapi

import (
	"encoding/json"
	"strings"
	"testing"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

func TestANewInactiveRecordIsMadeActiveFirst(t *testing.T) {
	t.Parallel()
	const whole = `{"name":"F","statecode":1,"statuscode":2}`
	update := `PATCH accounts(accountnumber='A%201') If-Match:* ` + whole
	const made = `PATCH accounts(accountnumber='A%201') If-None-Match:* {"name":"F"}`
	const state = `PATCH accounts(accountnumber='A%201') If-Match:* {"statecode":1,"statuscode":2}`
	refused := scripted{status: 400, body: apiError("0x80048408", "2 is not a valid status code")}
	unavailable := scripted{status: 503, body: apiError("", "later")}
	onCreate := func(w *schema.Write) {
		w.Body, w.OnCreate = json.RawMessage(`{"name":"F"}`), json.RawMessage(whole)
	}
	create := func(w *schema.Write) { w.Operation = schema.OpCreate }
	for name, c := range map[string]struct {
		change  func(*schema.Write)
		answers []scripted
		seen    []string
		effect  schema.Effect
		fails   string
	}{
		"an upsert of a known record": {nil, []scripted{noContent}, []string{update}, schema.EffectUpdated, ""},
		"an upsert of a new one":      {nil, []scripted{missingSelf, noContent, noContent}, []string{update, made, state}, schema.EffectCreated, ""},
		"one made by another meanwhile": {nil, []scripted{missingSelf, exists412, noContent}, []string{update, made, update},
			schema.EffectUpdated, ""},
		"on_create": {onCreate, []scripted{missingSelf, noContent, noContent},
			[]string{`PATCH accounts(accountnumber='A%201') If-Match:* {"name":"F"}`, made, state}, schema.EffectCreated, ""},
		"a create":             {create, []scripted{noContent, noContent}, []string{made, state}, schema.EffectCreated, ""},
		"a create of a known":  {create, []scripted{exists412}, []string{made}, "", "reject duplicate"},
		"the state is refused": {nil, []scripted{missingSelf, noContent, refused}, []string{update, made, state}, "", "reject invalid"},
		"the state has to wait": {nil, []scripted{missingSelf, noContent, unavailable}, []string{update, made, state},
			"", "retry server"},
		"deleted before its state": {nil, []scripted{missingSelf, noContent, missingSelf}, []string{update, made, state},
			"", "retry-race not_found"},
		"a known record refuses the state": {nil, []scripted{refused}, []string{update}, "", "reject invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{t: t, answers: c.answers}
			client, _ := newTestClient(t, s)
			w := upsertAccount()
			w.Body = json.RawMessage(whole)
			if c.change != nil {
				c.change(w)
			}
			got, err := client.Apply(t.Context(), w)
			if diff := cmp.Diff(c.seen, s.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if got.Requests != len(c.seen) || got.Effect != c.effect {
				t.Errorf("result %+v", got)
			}
			if (c.fails != "") != (err != nil) {
				t.Fatal(err)
			}
			if c.fails != "" {
				e := outcome.Of(err)
				wantVerdict(t, name, e, c.fails)
				if twoSteps := strings.Contains(e.Message, "the record was made, but is active"); twoSteps != (len(c.seen) == 3) {
					t.Errorf("the text does not tell how far it came: %s", e.Message)
				}
			}
			if string(w.Body) != whole && string(w.OnCreate) != whole {
				t.Errorf("the write was changed: %s", w.Body)
			}
		})
	}
}

func TestActiveAndUnreadableStatesAreWrittenAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"name":"F"}`, `{"statecode":0,"statuscode":1}`, `{"statecode":null}`, `{"statecode":"x"}`, `{"description":"\"statecode\""}`} {
		made, state, ok := withoutState(json.RawMessage(body))
		if ok || state != nil || string(made) != body {
			t.Errorf("%s became %s and %s", body, made, state)
		}
	}
}

// A record ends inactive whatever the server does with a state on a create, and
// whichever of the steps fails first.
func TestAnInactiveRecordIsMadeOnTheSimulator(t *testing.T) {
	t.Parallel()
	for _, lenient := range []bool{false, true} {
		bothProfiles(t, func(t *testing.T, profile sim.Profile) {
			o := newOrganization(t, sim.Options{Profile: profile, Assumptions: sim.Assumptions{InactiveOnCreate: lenient}})
			if o.client.batches = newBatcher(o.client, BatchConfig{Max: 10}); o.client.batches == nil {
				t.Fatal("no batches")
			}
			for i, w := range []*schema.Write{
				o.write(t, schema.OpUpsert, "I1", `{"name":"One","statecode":1,"statuscode":2}`),
				o.write(t, schema.OpCreate, "I2", `{"name":"Two","statecode":1}`),
				o.write(t, schema.OpUpsert, "I3", `{"name":"Three"}`),
			} {
				if i == 2 {
					w.OnCreate = json.RawMessage(`{"name":"Three","statecode":1}`)
				}
				w.WantResult = true
				got, err := o.client.Apply(t.Context(), w)
				if err != nil || got.Effect != schema.EffectCreated || got.ID == "" {
					t.Fatalf("%d: %+v, %v", i, got, err)
				}
				row, ok := o.sim.Row("account", got.ID)
				if !ok || textOfAny(row["statecode"]) != "1" || textOfAny(row["statuscode"]) != "2" {
					t.Errorf("%d: %v", i, row)
				}
				// The same message again, as after a crash between the steps.
				w.Repeat = true
				if _, err := o.client.Apply(t.Context(), w); err != nil {
					t.Errorf("%d again: %v", i, err)
				}
			}
		})
	}
}

func TestASecondStepThatFailsIsMadeUpForByTheRepetition(t *testing.T) {
	t.Parallel()
	for _, op := range []schema.Operation{schema.OpUpsert, schema.OpCreate} {
		faults := sim.NewFaults(1)
		o := newOrganization(t, sim.Options{Faults: faults})
		if faults.Add(sim.Rule{Kind: sim.FaultCutBeforeCommit, Method: "PATCH", After: map[schema.Operation]int{schema.OpUpsert: 2, schema.OpCreate: 1}[op], Times: 1}) == 0 {
			t.Fatal("the rule is not taken")
		}
		w := o.write(t, op, "S1", `{"name":"S","statecode":1}`)
		_, err := o.client.Apply(t.Context(), w)
		if e := outcome.Of(err); e == nil || !e.Ambiguous || !strings.Contains(e.Message, "is active") {
			t.Fatalf("%s: %v", op, err)
		}
		w.Repeat, w.WantResult = true, true
		got, err := o.client.Apply(t.Context(), w)
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		if row, ok := o.sim.Row("account", got.ID); !ok || textOfAny(row["statecode"]) != "1" {
			t.Errorf("%s: %v", op, row)
		}
	}
}

func textOfAny(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
