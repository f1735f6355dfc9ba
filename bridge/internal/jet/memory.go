package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
	"cebridge/schema"
)

// Revisions keeps the last applied revision of each key of a route in the event
// stream: one subject per key, last value only. It is safe for concurrent use.
type Revisions struct {
	c      *Conn
	stream string
	names  schema.Names
	route  string
}

var _ inbound.Revisions = (*Revisions)(nil)

// Revisions names the stream and the route. It does no I/O.
func (c *Conn) Revisions(stream string, names schema.Names, route string) *Revisions {
	return &Revisions{c: c, stream: stream, names: names, route: route}
}

// storedRevision is the message on a key's subject, in format 1.
type storedRevision struct {
	Format      int    `json:"format"`
	Revision    string `json:"revision"`
	Incarnation string `json:"incarnation"`
	Sequence    uint64 `json:"sequence"`
}

const revisionFormat = 1

// Applied implements inbound.Revisions. It asks the stream's leader.
func (r *Revisions) Applied(ctx context.Context, key string) (inbound.Applied, error) {
	subject := r.names.Revision(r.route, key)
	fail := func(err error) (inbound.Applied, error) {
		return inbound.Applied{}, fmt.Errorf("read the last revision on %s: %w", subject, err)
	}
	m, err := r.c.lastOf(ctx, r.stream, subject)
	if err != nil {
		return fail(err)
	}
	if m.Seq == 0 {
		return inbound.Applied{}, nil
	}
	var s storedRevision
	if err := json.Unmarshal(m.Data, &s); err != nil {
		return fail(err)
	}
	if s.Format != revisionFormat || s.Revision == "" {
		return fail(fmt.Errorf("sequence %d of stream %s is not in format %d: purge the subject to begin anew", m.Seq, r.stream, revisionFormat))
	}
	return inbound.Applied{Revision: s.Revision, Incarnation: s.Incarnation, Sequence: s.Sequence, Place: m.Seq}, nil
}

// Advance implements inbound.Revisions: the stream itself compares the place.
func (r *Revisions) Advance(ctx context.Context, key string, a inbound.Applied) (uint64, error) {
	subject := r.names.Revision(r.route, key)
	data, err := json.Marshal(storedRevision{
		Format: revisionFormat, Revision: a.Revision, Incarnation: a.Incarnation, Sequence: a.Sequence,
	})
	if err != nil {
		return 0, fmt.Errorf("store a revision on %s: %w", subject, err)
	}
	answer, err := r.c.store(ctx, &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		jetstream.MsgRollup:                 {jetstream.MsgRollupSubject},
		jetstream.ExpectedStreamHeader:      {r.stream},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(a.Place, 10)},
	}})
	switch c := code(err); {
	case err == nil:
		return answer.Sequence, nil
	case c == codeWrongLastSequence, c == codeWrongLastConcurrent:
		return 0, fmt.Errorf("%w: %s", inbound.ErrOutdated, subject)
	case errors.Is(err, inbound.ErrOutboxFull):
		return 0, fmt.Errorf("store a revision on %s: %w", subject, inbound.ErrStateFull)
	}
	return 0, fmt.Errorf("store a revision on %s: %w", subject, err)
}
