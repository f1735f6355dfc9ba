package webapi

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"cebridge/schema"
	"cebridge/schema/outcome"
	"cebridge/schema/telemetry"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// maxRounds bounds how often a write with OnCreate goes back to updating after
// somebody else created the record in between.
const maxRounds = 3

// Apply implements inbound.Writer.
func (c *Client) Apply(ctx context.Context, w *schema.Write) (schema.Result, error) {
	if !c.traced {
		return c.apply(ctx, w)
	}
	ctx, span := c.tracer.Start(ctx, telemetry.SpanUpsert, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String(telemetry.AttrTable, w.Table)))
	defer span.End()
	result, err := c.apply(ctx, w)
	if err != nil {
		failSpan(span, err)
		return result, err
	}
	span.SetAttributes(attribute.String(telemetry.AttrResult, string(result.Effect)))
	return result, nil
}

func (c *Client) apply(ctx context.Context, w *schema.Write) (schema.Result, error) {
	a := &application{client: c, write: w}
	err := a.run(ctx)
	if stale := a.forgetStale(err); a.forgetParents(w, err) || stale {
		a.write, a.found, a.parents, a.state, a.etag = w, nil, nil, nil, ""
		err = a.run(ctx)
	}
	if err != nil {
		return schema.Result{Requests: a.result.Requests}, err
	}
	return a.result, nil
}

// application is one write on its way.
type application struct {
	client *Client
	write  *schema.Write
	result schema.Result
	// found holds what its references were found to mean, by their place.
	found map[int]bound
	// parents holds what the records that its key refers to were found to be.
	parents []bound
	// etag is the version that an update is for; "" stands for any.
	etag string
	// state is what makes the record inactive once it was made; nil else.
	state json.RawMessage
}

// run makes the write, and the second step of one that made an inactive record.
func (a *application) run(ctx context.Context) error {
	a.makeActiveFirst()
	err := a.once(ctx)
	if err == nil && a.state != nil && a.result.Effect == schema.EffectCreated {
		return a.deactivate(ctx)
	}
	return err
}

func (a *application) once(ctx context.Context) error {
	if err := a.findParents(ctx); err != nil {
		if a.write.Operation == schema.OpDelete && hasReason(err, outcome.MissingReference) {
			a.result.Effect = schema.EffectAbsent
			return nil
		}
		return err
	}
	w := a.write
	if !validName(w.EntitySet) || !validName(w.Table) || w.Search == nil && !a.address() {
		return &outcome.Error{Op: "write to " + shorten(w.Table), Verdict: outcome.Reject, Reason: outcome.KeyCharacters,
			Message: "the record's address is incomplete or cannot stand in a URL"}
	}
	if w.Merged != nil && w.Operation != schema.OpCreate {
		return a.applyMerged(ctx)
	}
	if w.Search != nil {
		return a.applySearched(ctx)
	}
	switch w.Operation {
	case schema.OpUpsert:
		if w.OnCreate != nil {
			return a.updateOrCreate(ctx)
		}
		return a.patch(ctx, opUpsert, w.Body)
	case schema.OpCreate:
		return a.create(ctx)
	case schema.OpUpdate:
		return a.update(ctx)
	case schema.OpDelete:
		return a.delete(ctx)
	}
	return &outcome.Error{Op: "write to " + w.Table, Verdict: outcome.Stop, Reason: outcome.Unsupported,
		Message: "no such operation: " + shorten(string(w.Operation))}
}

// address checks the predicate; it is already encoded and must stay one path segment.
func (a *application) address() bool {
	p := a.predicate()
	if p == "" || !plainText(p) {
		return false
	}
	for i := range len(p) {
		switch p[i] {
		case '/', '\\', '?', '#':
			return false
		}
	}
	return true
}

func (a *application) predicate() string {
	if a.write.Predicate == "" && schema.IsGUID(a.write.ID) {
		return a.write.ID
	}
	return a.write.Predicate
}

// create makes a record. A duplicate that an earlier attempt of the same write made is
// as good.
func (a *application) create(ctx context.Context) error {
	w, make := a.write, a.insert
	if w.Search == nil {
		make = func(ctx context.Context, body json.RawMessage) error { return a.patch(ctx, opCreate, body) }
	}
	err := make(ctx, w.Body)
	if w.Repeat && hasReason(err, outcome.Duplicate) {
		a.write = w
		return a.isOwn(ctx, w.Body, err)
	}
	return err
}

// updateOrCreate writes Body to an existing record, or OnCreate to a new one.
// Both requests are conditional, so that neither can do the other's work.
func (a *application) updateOrCreate(ctx context.Context) error {
	var err error
	for range maxRounds {
		if err = a.update(ctx); !hasReason(err, outcome.NotFound) {
			return err
		}
		if err = a.patch(ctx, opCreate, a.write.OnCreate); !hasReason(err, outcome.Duplicate) {
			return err
		}
		// Somebody created it in between: update it, then.
	}
	// Neither there nor new: the duplicate is another record's key, or the record
	// comes and goes. The engine's bounded repetition for races decides.
	outcome.Of(err).Verdict = outcome.RetryRace
	return err
}

// update writes Body to an existing record only.
func (a *application) update(ctx context.Context) error {
	err := a.patch(ctx, opUpdate, a.write.Body)
	if !hasReason(err, outcome.NotFound) {
		return err
	}
	return a.whoIsMissing(ctx, outcome.Of(err))
}

// delete removes the record; one that the API says is not there is as good.
func (a *application) delete(ctx context.Context) error {
	err := a.send(ctx, &call{op: opDelete, method: http.MethodDelete})
	if e := outcome.Of(err); e != nil && e.Reason == outcome.NotFound && saysMissing(e) {
		a.result.Effect = schema.EffectAbsent
		return nil
	}
	return err
}

// patch sends one PATCH with the precondition of the operation.
func (a *application) patch(ctx context.Context, op string, body []byte) error {
	if len(body) == 0 {
		return &outcome.Error{Op: "PATCH " + a.write.EntitySet, Verdict: outcome.Reject, Reason: outcome.Invalid,
			Message: "there is nothing to write"}
	}
	body, err := a.bind(ctx, body)
	if err != nil {
		return err
	}
	call := &call{op: op, method: http.MethodPatch, body: body}
	switch op {
	case opUpdate:
		call.set("If-Match", cmp.Or(a.etag, "*"))
	case opCreate:
		call.set("If-None-Match", "*")
	}
	return a.send(ctx, call)
}

// send completes a call to the record, makes it and takes its result.
func (a *application) send(ctx context.Context, call *call) error {
	a.complete(call)
	if b := a.client.batches; b != nil && a.write.OnCreate == nil && a.write.Search == nil && a.write.Merged == nil && a.state == nil {
		return b.do(ctx, call)
	}
	return a.client.do(ctx, call)
}

// complete addresses a call to the record and reads its answer.
func (a *application) complete(call *call) {
	call.name = a.write.EntitySet
	if call.method != http.MethodPost {
		call.name += "(" + a.predicate() + ")"
	}
	call.path = call.name
	call.limit = a.client.maxBody
	if a.write.WantResult && call.method != http.MethodDelete {
		// The primary id comes with every selection.
		call.path += "?$select=" + versionColumn
		call.set("Prefer", "return=representation")
	}
	call.accept = func(status int, header fields, body io.Reader) error {
		result, err := readResult(call.op, a.write.Table, status, header, body)
		if err == nil {
			result.Requests = a.result.Requests
			a.result = result
		}
		return err
	}
	call.sending = a.sending
}

// hasReason tells whether err is a verdict for that reason.
func hasReason(err error, reason outcome.Reason) bool {
	e := outcome.Of(err)
	return e != nil && e.Reason == reason
}
