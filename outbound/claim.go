package outbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"cebridge/schema/event"
)

// ErrNoPayload: the payload that an event refers to is not there.
var ErrNoPayload = errors.New("the data that an event refers to is not in the object store")

// Payloads keeps the data of events that are too large for a message. Its errors wrap
// the sentinels of a Log.
type Payloads interface {
	// Above is the size of an event, headers included, above which its data is put aside.
	Above(ctx context.Context) (int, error)
	// Put stores data under a name and returns the URI that stands for it, once it is
	// stored for good. The same data under the same name again is stored once.
	Put(ctx context.Context, name string, data []byte) (uri string, err error)
	// Get reads what a URI of Put stands for; ErrNoPayload when it is not there.
	Get(ctx context.Context, uri string) ([]byte, error)
}

// encodeOne encodes one event. Where it is too large for a message its data is put
// aside first, so that a stored event never refers to nothing. The name follows from
// the event and its data: a crash before the commit leaves what the next try finds.
func (w *Worker) encodeOne(ctx context.Context, r *event.Record, above int) (header map[string][]string, data []byte, err error) {
	bad := func(err error) error {
		return halt(failEncode, "%w; leave the column out or mend the record, then resume the table", err)
	}
	if !w.cfg.ClaimCheck || len(r.Row)+len(r.Former)+len(r.References) <= above {
		header, data, err = w.encoder.Encode(r)
		if err != nil {
			return nil, nil, bad(err)
		}
		if !w.cfg.ClaimCheck || eventSize(header, data) <= above {
			return header, data, nil
		}
	}
	payload := event.Payload(r)
	if len(payload) > event.MaxPayload {
		return nil, nil, halt(failTooLarge, "the data of record %s, version %d, has %d bytes, more than %d: leave out large columns, "+
			"then resume the table", r.RecordID, r.Version, len(payload), event.MaxPayload)
	}
	claimed := *r
	if claimed.DataRef, err = w.payloads.Put(ctx, PayloadName(w.table, r, payload), payload); err != nil {
		return nil, nil, fmt.Errorf("put the data of record %s, version %d, into the object store: %w", r.RecordID, r.Version, err)
	}
	if header, data, err = w.encoder.Encode(&claimed); err != nil {
		return nil, nil, bad(err)
	}
	w.measures.claim(ctx)
	return header, data, nil
}

// above is the size above which the data of an event is put aside.
func (w *Worker) above(ctx context.Context) (int, error) {
	if !w.cfg.ClaimCheck {
		return 0, nil
	}
	n, err := w.payloads.Above(ctx)
	if err != nil {
		return 0, fmt.Errorf("read how large an event may be: %w", err)
	}
	return n, nil
}

// PayloadName is the name of an event's data in the object store:
// <table>/<record id>/<sequence>/<digest>. The sequence orders the names of a record,
// and the digest keeps two instances that read the same version at different moments
// from overwriting each other's references.
func PayloadName(table string, r *event.Record, payload []byte) string {
	sum := sha256.Sum256(payload)
	return table + "/" + r.RecordID + "/" + event.Sequence(r.Version, r.Epoch, r.Change == event.Deleted) + "/" + hex.EncodeToString(sum[:8])
}

// eventSize is what a message takes: every header is a line.
func eventSize(header map[string][]string, data []byte) int {
	size := len(data)
	for name, values := range header {
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	return size
}

// readData reads the data of a stored event, wherever it is.
func (w *Worker) readData(ctx context.Context, m *Stored) (event.Data, error) {
	data, err := event.ReadData(m.Header, m.Data)
	if err != nil || data.Ref == "" {
		return data, err
	}
	if w.payloads == nil {
		return event.Data{}, fmt.Errorf("%w: %s", ErrNoPayload, data.Ref)
	}
	return ResolveData(ctx, w.payloads, data)
}

// outOfReach tells that data could not be read now, and may be later.
func outOfReach(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull))
}

// ResolveData reads the data that an event refers to.
func ResolveData(ctx context.Context, p Payloads, d event.Data) (event.Data, error) {
	if d.Ref == "" {
		return d, nil
	}
	payload, err := p.Get(ctx, d.Ref)
	if err != nil {
		return event.Data{}, fmt.Errorf("read %s: %w", d.Ref, err)
	}
	return event.ReadPayload(payload)
}
