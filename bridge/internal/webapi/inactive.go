package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"

	"cebridge/schema"
	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"

	"go.opentelemetry.io/otel/trace"
)

// The columns that say whether a record is active. A record is made active, whatever
// the body says: statecode is valid for update only, and its status has to belong to
// the active state. Sources: table definitions (IsValidForCreate of statecode), code
// 0x80048408 of the error list. That a server may also ignore the state without a
// word is an assumption, which is why it is never sent with a create.
const (
	stateColumn  = "statecode"
	statusColumn = "statuscode"
)

// withoutState divides the body of a new record that is to be inactive: what it is
// made with, and what makes it inactive. ok is false for every other body.
func withoutState(body json.RawMessage) (made, state json.RawMessage, ok bool) {
	if !bytes.Contains(body, []byte(`"`+stateColumn+`"`)) {
		return body, nil, false
	}
	var columns map[string]json.RawMessage
	if json.Unmarshal(body, &columns) != nil {
		return body, nil, false
	}
	if n, err := strconv.Atoi(string(columns[stateColumn])); err != nil || n == 0 {
		return body, nil, false
	}
	after := map[string]json.RawMessage{}
	for _, name := range []string{stateColumn, statusColumn} {
		if value, has := columns[name]; has {
			after[name] = value
			delete(columns, name)
		}
	}
	made, errMade := unescaped(columns)
	state, errState := unescaped(after)
	return made, state, errMade == nil && errState == nil
}

// unescaped renders members byte for byte: a reference that a search has to find is
// recognized by its exact bytes, and its query has an ampersand.
func unescaped(members map[string]json.RawMessage) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(members)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// makeActiveFirst prepares a write that may have to make an inactive record. What it
// writes to an existing one stays whole.
func (a *application) makeActiveFirst() {
	body := a.write.Body
	switch a.write.Operation {
	case schema.OpUpsert:
		if a.write.OnCreate != nil {
			body = a.write.OnCreate
		}
	case schema.OpCreate:
	default:
		return
	}
	made, state, ok := withoutState(body)
	if !ok {
		return
	}
	w := *a.write
	if w.Operation == schema.OpUpsert {
		w.OnCreate = made
	} else {
		w.Body = made
	}
	a.write, a.state = &w, state
}

// deactivate is the second step: the record that was just made becomes inactive. It
// can be repeated, and is part of the update that the same message makes when it is
// delivered again.
func (a *application) deactivate(ctx context.Context) error {
	made := a.result
	if made.ID != "" {
		a.addressBy(made.ID)
	}
	trace.SpanFromContext(ctx).AddEvent(telemetry.EventMadeActive)
	a.client.measures.madeActive.Add(ctx, 1)
	err := a.patch(ctx, opUpdate, a.state)
	if err == nil {
		a.result.Effect = schema.EffectCreated
		if a.result.ID == "" {
			a.result.ID = made.ID
		}
		return nil
	}
	if e := outcome.Of(err); e != nil {
		e.Message = "the record was made, but is active: the step that gives it its state failed: " + e.Message
		if e.Reason == outcome.NotFound {
			e.Verdict = outcome.RetryRace // somebody deleted it in between
		}
	}
	return err
}
