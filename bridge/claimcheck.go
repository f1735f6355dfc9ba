package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cebridge/bridge/internal/jet"
	"cebridge/bridge/internal/yamltree"
	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// ClaimCheckConfig says where the data of events is kept that are too large for a
// message.
type ClaimCheckConfig struct {
	// Bucket of the object store; empty means the event stream's name and _DATA.
	Bucket string
	// Above is the size of an event, headers included, from which its data is put
	// aside; 0 for what the server and the stream take.
	Above int64
	// TrimEvery is how often objects are removed that no event can refer to any more.
	TrimEvery time.Duration
}

func (r *reader) claimCheck(outbound *yamltree.Map) *ClaimCheckConfig {
	if !outbound.Has("claim_check") {
		return nil
	}
	m := outbound.Map("claim_check")
	c := &ClaimCheckConfig{
		Bucket:    m.String("bucket", ""),
		Above:     m.Bytes("above", 0, 1<<10),
		TrimEvery: m.Duration("trim_every", time.Hour, time.Second, 24*time.Hour),
	}
	if c.Bucket != "" && !schema.ValidToken(c.Bucket) {
		m.Note("bucket", "use 1 to 64 letters, digits, '_' or '-'")
	}
	m.Done()
	return c
}

// bucket is the name of the object store bucket. It has one also where no claim check
// is configured: earlier events may refer to it.
func (b *Bridge) bucket() string {
	if c := b.cfg.Outbound.ClaimCheck; c != nil && c.Bucket != "" {
		return c.Bucket
	}
	return b.EventStream() + "_DATA"
}

func (b *Bridge) payloads() *jet.Payloads {
	limit := 0
	if c := b.cfg.Outbound.ClaimCheck; c != nil {
		limit = int(c.Above)
	}
	return b.conn.Payloads(b.bucket(), b.conn.Log(b.EventStream()), limit)
}

// dataOf reads the data of a stored event, wherever it is.
func (b *Bridge) dataOf(ctx context.Context, m outbound.Stored) (event.Data, error) {
	d, err := event.ReadData(m.Header, m.Data)
	if err == nil {
		d, err = outbound.ResolveData(ctx, b.payloads(), d)
	}
	if err != nil {
		return event.Data{}, fmt.Errorf("message %d: %w", m.Sequence, err)
	}
	return d, nil
}

// wholeLine is a stored event as one line of structured JSON with its data, wherever
// that is.
func (b *Bridge) wholeLine(ctx context.Context, m outbound.Stored) ([]byte, error) {
	d, err := event.ReadData(m.Header, m.Data)
	if err != nil || d.Ref == "" {
		return jsonLine(m.Header, m.Data)
	}
	payload, err := b.payloads().Get(ctx, d.Ref)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Ref, err)
	}
	e, err := event.Unmarshal(m.Header, m.Data)
	if err != nil {
		return nil, err
	}
	e.DataEncoded = payload
	line, err := e.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}

// payloadOf takes the name of an object apart that outbound.PayloadName made.
func payloadOf(name string) (table, id, sequence string, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || !schema.ValidToken(parts[0]) || !schema.IsGUID(parts[1]) {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

const (
	// trimMost bounds what one trim removes and remembers; the next goes on.
	trimMost = 10_000
	// trimSoon is when the first trim of a bridge begins, at most.
	trimSoon = time.Minute
)

// trim removes, now and then, what is not needed any more, until ctx ends. A failure
// costs space alone, and the next turn tries again.
func (b *Bridge) trim(ctx context.Context) {
	every := b.cfg.Outbound.ClaimCheck.TrimEvery
	timer := time.NewTimer(min(every, trimSoon))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		removed, err := b.trimOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			b.log.Warn("claim check: the object store was not trimmed, trying again", "retry_in", every, "error", err)
		case removed > 0:
			b.log.Info("claim check: removed objects that no event needs", "objects", removed)
		}
		timer.Reset(every)
	}
}

// trimOnce removes the objects of every record that are older than the oldest event
// that the stream still has of it. Versions of a record only grow, so no event can
// refer to one of them again, nor can one that is on its way: it would be older than
// what is published. Records without any event are left alone: their first may be on
// its way.
func (b *Bridge) trimOnce(ctx context.Context) (removed int, err error) {
	p := b.payloads()
	oldest := map[string]string{}
	var garbage []string
	err = p.Objects(ctx, func(name string) error {
		table, id, sequence, ok := payloadOf(name)
		if !ok {
			return nil // somebody else's
		}
		subject := b.names.Record(table, id)
		first, known := oldest[subject]
		if !known {
			var err error
			if first, err = b.oldestEvent(ctx, subject); err != nil {
				return err
			}
			if len(oldest) == trimMost {
				clear(oldest)
			}
			oldest[subject] = first
		}
		if sequence < first {
			garbage = append(garbage, name)
		}
		if len(garbage) == trimMost {
			return errEnoughGarbage
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnoughGarbage) {
		return 0, err
	}
	for _, name := range garbage {
		if err := p.Remove(ctx, name); err != nil {
			return removed, err
		}
		removed++
	}
	orphans, err := p.RemoveOrphans(ctx, time.Now())
	return removed + orphans, err
}

var errEnoughGarbage = errors.New("enough for one turn")

// oldestEvent is the sequence attribute of the oldest event that a subject has, "" if
// it has none.
func (b *Bridge) oldestEvent(ctx context.Context, subject string) (string, error) {
	m, err := b.conn.Oldest(ctx, b.EventStream(), subject)
	if err != nil || m.Sequence == 0 {
		return "", err
	}
	p, err := event.ReadHeader(m.Header)
	if err != nil {
		return "", fmt.Errorf("message %d on %s: %w", m.Sequence, subject, err)
	}
	return event.Sequence(p.Version, p.Epoch, p.Deleted()), nil
}

// eraseObjects removes the data that the object store holds of a record's events.
func (o *Operator) eraseObjects(ctx context.Context, opt EraseOptions, r *Receipt) error {
	p := o.b.payloads()
	err := p.Objects(ctx, func(name string) error {
		if table, id, _, ok := payloadOf(name); ok && table == opt.Table && id == opt.Record {
			r.Objects = append(r.Objects, p.Bucket()+"/"+name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, object := range r.Objects {
		if err := p.Remove(ctx, strings.TrimPrefix(object, p.Bucket()+"/")); err != nil {
			return err
		}
	}
	return nil
}
