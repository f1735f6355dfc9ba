package webapi

import (
	"context"
	"encoding/json"
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

// readMerged reads whether the record was merged. Anything but a true and a record is no
// merge: rows from before the columns had a value hold null.
func (t *target) readMerged(row map[string]json.RawMessage) {
	t.merged = string(row[schema.MergedColumn]) == "true"
	t.master, _ = parseGUID(row[schema.MasterReadName])
}

// mergedLookup is counted as the reason why a lookup binds another record than the event
// names.
const mergedLookup outcome.Reason = "merged_lookup"

// mergeCase is where a merged record lies, and what is to be done about it.
type mergeCase struct {
	set, primaryID string
	rule           schema.MergedRule
	deletes        bool
	what           string // the record, in a refusal
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
	last, err := a.client.follow(ctx, mergeCase{
		set: w.EntitySet, primaryID: w.Merged.PrimaryID, rule: w.Merged.Rule, deletes: w.Operation == schema.OpDelete, what: "the record",
	}, t, a.sending)
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
func (c *Client) follow(ctx context.Context, m mergeCase, t *target, sending func()) (*target, error) {
	seen := map[string]bool{t.id: true}
	first := t
	for t.merged {
		refusal := &outcome.Error{Op: "GET " + m.set + "(" + first.id + ")", Verdict: outcome.Reject, Reason: outcome.Merged}
		switch {
		case t.master == "":
			refusal.Message = m.what + " " + t.id + " was merged, and nothing tells into which"
		case m.rule != schema.MergedRedirect:
			refusal.Message = m.what + " was merged into " + t.master
		case m.deletes:
			refusal.Message = m.what + " was merged into " + t.master + ", which a delete of this one must not delete"
		case seen[t.master]:
			refusal.Message = m.what + " was merged into " + t.master + ", in a circle"
		case len(seen) > maxHops:
			refusal.Message = m.what + " was merged into another more than " + strconv.Itoa(maxHops) + " times in a row; the next one is " + t.master
		default:
			seen[t.master] = true
			next, err := c.readTarget(ctx, m.set, m.primaryID, t.master, sending)
			if err != nil {
				return nil, err
			}
			if next == nil {
				refusal.Message = m.what + " was merged into " + t.master + ", which is not there"
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
	return a.client.readTarget(ctx, a.write.EntitySet, a.write.Merged.PrimaryID, predicate, a.sending)
}

// readTarget reads what tells whether a record was merged; nil when it is not there.
func (c *Client) readTarget(ctx context.Context, set, primaryID, predicate string, sending func()) (*target, error) {
	var t target
	name := set + "(" + predicate + ")"
	call := &call{
		op: opExists, method: http.MethodGet, name: name, limit: c.maxBody, inbound: true, sending: sending,
		path: name + "?$select=" + primaryID + "," + schema.MergedColumn + "," + schema.MasterReadName,
		accept: func(status int, _ fields, body io.Reader) error {
			row, err := readObject(status, body)
			if err != nil {
				return err
			}
			var ok bool
			if t.id, ok = parseGUID(row[primaryID]); !ok {
				return &malformed{"the record in the answer has no " + primaryID}
			}
			if t.etag = textOf(row["@odata.etag"]); t.etag == "" || !plainText(t.etag) {
				return &malformed{"the record in the answer has no etag"}
			}
			t.readMerged(row)
			return nil
		},
	}
	err := c.do(ctx, call)
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
