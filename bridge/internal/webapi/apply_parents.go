package webapi

import (
	"context"
	"strings"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// findParents puts the GUIDs of the records that the write's key refers to into its
// address. One that is not there is waited for, as one that the body refers to is; but a
// record that would be below it, and is to be deleted, is not there either.
func (a *application) findParents(ctx context.Context) error {
	parents := a.write.Parents()
	if len(parents) == 0 {
		return nil
	}
	a.parents = make([]bound, len(parents))
	ids := make([]string, len(parents))
	for i, p := range parents {
		b := &a.parents[i]
		var err error
		if b.id, b.old, err = a.client.refer(ctx, &p.Reference, a.sending); err != nil {
			return err
		}
		ids[i] = b.id
	}
	a.write = a.write.WithParents(ids)
	return nil
}

// forgetParents drops remembered parents of a record that turned out not to be there:
// one of them may be gone, and another record may have its name by now. It tells whether
// there were any, so that the write is worth a second try.
func (a *application) forgetParents(w *schema.Write, err error) bool {
	gone, which := "", false
	switch {
	case hasReason(err, outcome.MissingReference):
		if gone, which = goneByID(err); !which {
			return false
		}
	case hasReason(err, outcome.NotFound), err == nil && a.result.Effect == schema.EffectAbsent:
	default:
		return false
	}
	stale := false
	for i, b := range a.parents {
		if b.old && (gone == "" || strings.EqualFold(gone, b.id)) {
			a.client.references.forget(w.Parents()[i].Query(), b.id)
			stale = true
		}
	}
	return stale
}
