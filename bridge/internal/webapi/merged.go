package webapi

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// maxHops bounds how many records in a row may have been merged into the next one.
const maxHops = 5

// target is a record as it was read before a write.
type target struct {
	id, etag string
	merged   bool
	master   string
}

// applyMerged is run for a write that must not go to a merged record: the record is
// read, and then written by GUID and in the version that was read, so that nobody can
// merge it in between. A new one is made only if it is still not there.
//
// Source: "Merge table rows": the subordinate is deactivated, merged is set, and
// masterid names the record that goes on; "Perform conditional operations".
func (a *application) applyMerged(ctx context.Context) error {
	w := a.write
	if !validName(w.Merged.PrimaryID) {
		return &outcome.Error{Op: "write to " + w.Table, Verdict: outcome.Stop, Reason: outcome.Config,
			Message: "the table has no primary id"}
	}
	var err error
	for range maxRounds {
		a.write, a.etag = w, ""
		var t *target
		if t, err = a.find(ctx); err != nil {
			return err
		}
		switch {
		case t == nil && w.Operation == schema.OpDelete:
			a.result.Effect = schema.EffectAbsent
			a.client.owners.forget(w)
			return nil
		case t == nil && w.Operation == schema.OpUpdate:
			return &outcome.Error{Op: "GET " + w.EntitySet, Verdict: outcome.Reject, Reason: outcome.NotFound, Equivalent: codeNotThereByKey,
				Message: "no record of " + w.Table + " has this key"}
		case t == nil:
			err = a.makeNew(ctx)
		default:
			err = a.writeTo(ctx, w, t)
		}
		switch {
		case err == nil:
			return nil
		case hasReason(err, outcome.NotFound) && w.Operation == schema.OpUpsert:
		case hasReason(err, outcome.Precondition), t == nil && hasReason(err, outcome.Duplicate):
		default:
			return err
		}
		// Somebody made, changed, merged or deleted it in between: look again.
	}
	// As in updateOrCreate: the engine's bounded repetition for races decides.
	outcome.Of(err).Verdict = outcome.RetryRace
	return err
}

// makeNew makes the record that was not there.
func (a *application) makeNew(ctx context.Context) error {
	w := a.write
	body := w.OnCreate
	if body == nil {
		body = w.Body
	}
	var err error
	if w.Search != nil {
		err = a.insert(ctx, body)
	} else {
		err = a.patch(ctx, opCreate, body)
	}
	if err == nil {
		a.client.owners.replace(w, a.result.ID)
	}
	return err
}

// writeTo writes to the record that was found, or to the one it was merged into.
func (a *application) writeTo(ctx context.Context, w *schema.Write, t *target) error {
	before := a.client.owners.of(w)
	reused := before != "" && before != t.id
	if reused && w.Merged.Rule == schema.MergedReject {
		return &outcome.Error{Op: "GET " + w.EntitySet + "(" + t.id + ")", Verdict: outcome.Reject, Reason: outcome.KeyReused,
			Message: "the key meant record " + before + " before: if the other one is meant now, resume the route (cebridge resume --route), which forgets what its keys meant, and send the message again"}
	}
	last, err := a.follow(ctx, w, t)
	if err != nil {
		return err
	}
	a.addressBy(last.id)
	a.etag = "*"
	if w.Merged.Versioned {
		a.etag = last.etag
	}
	if w.Operation == schema.OpDelete {
		err = a.deleteVersion(ctx)
	} else {
		err = a.update(ctx)
	}
	if err != nil {
		return err
	}
	if a.result.ID == "" {
		a.result.ID = last.id
	}
	if w.Operation == schema.OpDelete {
		a.client.owners.forget(w)
	} else {
		a.client.owners.replace(w, t.id)
	}
	if last.id != t.id {
		a.client.measures.wentElsewhere(ctx, outcome.Merged)
	}
	if reused {
		a.client.measures.wentElsewhere(ctx, outcome.KeyReused)
		a.client.logger.WarnContext(ctx, "a key means another record than before: the message was written to it",
			"table", w.Table, "before", before, "now", t.id)
	}
	return nil
}

// follow finds the record that the writes of a merged one go to.
func (a *application) follow(ctx context.Context, w *schema.Write, t *target) (*target, error) {
	seen := map[string]bool{t.id: true}
	first := t
	for t.merged {
		refusal := &outcome.Error{Op: "GET " + w.EntitySet + "(" + first.id + ")", Verdict: outcome.Reject, Reason: outcome.Merged}
		switch {
		case t.master == "":
			refusal.Message = "the record " + t.id + " was merged, and nothing tells into which"
		case w.Merged.Rule != schema.MergedRedirect:
			refusal.Message = "the record was merged into " + t.master
		case w.Operation == schema.OpDelete:
			refusal.Message = "the record was merged into " + t.master + ", which a delete of this one must not delete"
		case seen[t.master]:
			refusal.Message = "the record was merged into " + t.master + ", in a circle"
		case len(seen) > maxHops:
			refusal.Message = "the record was merged into another more than " + strconv.Itoa(maxHops) + " times in a row; the next one is " + t.master
		default:
			seen[t.master] = true
			next, err := a.read(ctx, t.master)
			if err != nil {
				return nil, err
			}
			if next == nil {
				refusal.Message = "the record was merged into " + t.master + ", which is not there"
				return nil, refusal
			}
			t = next
			continue
		}
		return nil, refusal
	}
	return t, nil
}

// find reads the record that the write addresses; nil when there is none.
func (a *application) find(ctx context.Context) (*target, error) {
	predicate := a.predicate()
	if a.write.Search != nil {
		id, err := a.client.search(ctx, a.write.Search, a.sending)
		if err != nil || id == "" {
			return nil, err
		}
		predicate = id
	}
	return a.read(ctx, predicate)
}

// read reads what tells whether a record was merged; nil when it is not there.
func (a *application) read(ctx context.Context, predicate string) (*target, error) {
	w := a.write
	var t target
	name := w.EntitySet + "(" + predicate + ")"
	read := "_" + schema.MasterColumn + "_value"
	call := &call{
		op: opExists, method: http.MethodGet, name: name, limit: a.client.maxBody, inbound: true, sending: a.sending,
		path: name + "?$select=" + w.Merged.PrimaryID + "," + schema.MergedColumn + "," + read,
		accept: func(status int, _ http.Header, body io.Reader) error {
			row, err := readObject(status, body)
			if err != nil {
				return err
			}
			var ok bool
			if t.id, ok = parseGUID(row[w.Merged.PrimaryID]); !ok {
				return &malformed{"the record in the answer has no " + w.Merged.PrimaryID}
			}
			if t.etag = textOf(row["@odata.etag"]); t.etag == "" || !plainText(t.etag) {
				return &malformed{"the record in the answer has no etag"}
			}
			// Anything but a true and a record is no merge: rows from before the columns
			// had a value hold null.
			t.merged = string(row[schema.MergedColumn]) == "true"
			t.master, _ = parseGUID(row[read])
			return nil
		},
	}
	err := a.client.do(ctx, call)
	e := outcome.Of(err)
	switch {
	case err == nil:
		return &t, nil
	case e != nil && e.Reason == outcome.NotFound && saysMissing(e):
		return nil, nil
	}
	return nil, err
}

// deleteVersion removes the record in the version that was read.
func (a *application) deleteVersion(ctx context.Context) error {
	err := a.send(ctx, &call{op: opDelete, method: http.MethodDelete, header: map[string]string{"If-Match": a.etag}})
	if e := outcome.Of(err); e != nil && e.Reason == outcome.NotFound && saysMissing(e) {
		a.result.Effect = schema.EffectAbsent
		return nil
	}
	return err
}
