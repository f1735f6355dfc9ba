package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// fetch reads the data of an event that was too large for a message out of the object
// store. dataref is nats-object:<bucket>/<name>. there is false when the data is gone: the
// event fell out of the history since it was delivered, and a later one, which has the
// whole record, is on its way.
func fetch(ctx context.Context, js jetstream.JetStream, e *event) (there bool, err error) {
	if e.DataRef == "" || e.Data.Record != nil {
		return true, nil
	}
	bucket, name, ok := strings.Cut(strings.TrimPrefix(e.DataRef, "nats-object:"), "/")
	if !ok {
		return false, fmt.Errorf("the event refers to %q, which is no object", e.DataRef)
	}
	store, err := js.ObjectStore(ctx, bucket)
	if err != nil {
		return false, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	data, err := store.GetBytes(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", e.DataRef, err)
	}
	if err := json.Unmarshal(data, &e.Data); err != nil {
		return false, fmt.Errorf("read %s: %w", e.DataRef, err)
	}
	return true, nil
}
