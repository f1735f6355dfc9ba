package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// bound is the record that a reference of the write was found to mean.
type bound struct {
	id  string
	old bool // an earlier answer
}

// applySearched is run for a record that its key cannot address: it is searched for
// and then addressed by GUID, or made with the key in the body. The server's index
// of the key is what keeps a record from being made twice.
func (a *application) applySearched(ctx context.Context) error {
	w := a.write
	if w.Operation == schema.OpCreate {
		return a.create(ctx)
	}
	var err error
	for range maxRounds {
		var id string
		if id, err = a.client.search(ctx, w.Search, a.sending); err != nil {
			return err
		}
		switch {
		case id != "":
			a.addressBy(id)
			if w.Operation == schema.OpDelete {
				err = a.delete(ctx)
			} else {
				err = a.update(ctx)
			}
			if err == nil && a.result.ID == "" {
				a.result.ID = id
			}
			if w.Operation != schema.OpUpsert || !hasReason(err, outcome.NotFound) {
				return err
			}
			// It went away in between: make it, then.
		case w.Operation == schema.OpDelete:
			a.result.Effect = schema.EffectAbsent
			return nil
		case w.Operation == schema.OpUpdate:
			return &outcome.Error{Op: "GET " + searchName(w.Search), Verdict: outcome.Reject, Reason: outcome.NotFound, Equivalent: codeNotThereByKey,
				Message: "no record of " + w.Table + " has this " + strings.Join(w.Search.Columns, ", ")}
		default:
			body := w.OnCreate
			if body == nil {
				body = w.Body
			}
			if err = a.insert(ctx, body); !hasReason(err, outcome.Duplicate) {
				return err
			}
			// Somebody made it in between: update it, then.
		}
	}
	// As in updateOrCreate: the engine's bounded repetition for races decides.
	outcome.Of(err).Verdict = outcome.RetryRace
	return err
}

// addressBy continues with the same write addressed by GUID.
func (a *application) addressBy(id string) {
	w := *a.write
	w.ID, w.Predicate = id, id
	a.write = &w
}

// insert makes a record whose key stands in the body.
func (a *application) insert(ctx context.Context, body json.RawMessage) error {
	body, err := a.bind(ctx, joined(a.write.KeyMembers, body))
	if err != nil {
		return err
	}
	w := *a.write
	w.ID, w.Predicate = "", ""
	a.write = &w
	return a.send(ctx, &call{op: opCreate, method: http.MethodPost, body: body, header: map[string]string{}})
}

// joined makes one JSON object of two compact ones.
func joined(first, second json.RawMessage) json.RawMessage {
	switch {
	case len(second) <= 2:
		return first
	case len(first) <= 2:
		return second
	}
	out := make([]byte, 0, len(first)+len(second))
	out = append(out, first[:len(first)-1]...)
	return append(append(out, ','), second[1:]...)
}

// bind puts the records that a body refers to in the place of their searches.
func (a *application) bind(ctx context.Context, body json.RawMessage) (json.RawMessage, error) {
	for i := range a.write.References {
		ref := &a.write.References[i]
		if !bytes.Contains(body, ref.Member()) {
			continue
		}
		b := a.found[i]
		if b.id == "" {
			var err error
			if b.id, b.old, err = a.client.refer(ctx, ref, a.sending); err != nil {
				return nil, err
			}
			if a.found == nil {
				a.found = map[int]bound{}
			}
			a.found[i] = b
		}
		body = ref.Bind(body, b.id)
	}
	return body, nil
}

// forgetStale drops remembered answers that a refusal shows to be wrong: the record
// they name is gone. It tells whether there were any, so that the write is worth a
// second try.
func (a *application) forgetStale(err error) bool {
	if len(a.found) == 0 || !hasReason(err, outcome.MissingReference) {
		return false
	}
	gone, ok := goneByID(err)
	if !ok {
		return false // what was remembered is bound by GUID
	}
	stale := false
	for i, b := range a.found {
		if b.old && (gone == "" || strings.EqualFold(gone, b.id)) {
			a.client.references.forget(a.write.References[i].Query(), b.id)
			stale = true
		}
	}
	return stale
}

// goneByID tells which record a refusal misses, "" where it does not say; not ok means
// one that was named by its key.
func goneByID(err error) (id string, ok bool) {
	e := outcome.Of(err)
	if e.Code == codeNotThereByKey || textMissingByKey.MatchString(e.Message) {
		return "", false
	}
	if m := textMissingByID.FindStringSubmatch(e.Message); m != nil {
		id = m[2]
	}
	return id, true
}

func (a *application) sending() { a.result.Requests++ }
